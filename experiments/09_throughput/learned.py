"""What the speeds show."""


def learn(result):
    table = result["speed"]
    models = list(dict.fromkeys(row["model"] for row in table.rows))
    sizes = [row["batch size"] for row in table.rows if row["model"] == models[0]]
    small, large = min(sizes), max(sizes)

    def cell(column, model, size):
        return table.cell(column, model=model, **{"batch size": size})

    def speed(name, model, size):
        return table.value(f"{name} samples/s", model=model, **{"batch size": size})

    perceptron, network = models
    result.say(
        f"Larger batches are faster in both frameworks: the perceptron trains {cell(TORCH, perceptron, small)} "
        f"samples a second with batches of {small} and {cell(TORCH, perceptron, large)} with batches of {large} in "
        f"torch, {cell(TENSORFLOW, perceptron, small)} and {cell(TENSORFLOW, perceptron, large)} in TensorFlow.",
        speed("torch", perceptron, large) > 1.5 * speed("torch", perceptron, small),
        speed("tensorflow", perceptron, large) > 1.1 * speed("tensorflow", perceptron, small),
    )

    def ratio(model, size):
        return f"{cell(RATIO, model, size)} ({cell('interval', model, size)})"

    open_ = sum(low(row) < 1 < high(row) for row in table.rows)
    result.say(
        f"TensorFlow's speed by torch's is {ratio(perceptron, small)} for the perceptron in batches of {small} and "
        f"{ratio(perceptron, large)} in batches of {large}; for the convolutions it is {ratio(network, small)} and "
        f"{ratio(network, large)}. That is the loop as much as the framework: its block of many steps in one call "
        "saves most where a step is short. Both trained the same all the while: every row is of runs with the same "
        f"steps, samples and updates. In {open_} of {len(table.rows)} the interval has 1 in it and leaves open which "
        "is faster.",
        all(row["comparable"] for row in table.rows),
    )
    unstable = sum(not row["stable"] for row in table.rows)
    result.say(
        f"Of the {len(table.rows)} ratios {unstable} are not stable, and say more about the direction than the size."
        if unstable
        else f"All {len(table.rows)} ratios are stable.",
    )
    result.say(
        "The first step is another matter: with the convolutions it came after "
        f"{cell('tensorflow first step, s', network, large)} s in TensorFlow and "
        f"{cell('torch first step, s', network, large)} s in torch. Not shown: GPUs, several threads, or other loops, "
        "such as a tutorial's, whose costs are in [bench.md](../bench.md)."
    )
    with result.figure("speed", "Samples a second by batch size, for both frameworks and models") as axes:
        for model, style in zip(models, ("-", "--")):
            rows = [row for row in table.rows if row["model"] == model]
            for name, marker in (("torch", "o"), ("tensorflow", "s")):
                y = [row[f"{name} samples/s"] for row in rows]
                axes.plot(sizes, y, marker + style, markersize=4, label=f"{name}, {model.partition(':')[0]}")
        axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel="samples a second")
        axes.set_xticks(sizes, sizes)
        axes.set_xticks([], minor=True)
        axes.legend(fontsize=7)


def low(row):
    return float(row["interval"].partition(" to ")[0])


def high(row):
    return float(row["interval"].partition(" to ")[2])


TORCH, TENSORFLOW, RATIO = "torch samples/s", "tensorflow samples/s", "tensorflow by torch"
