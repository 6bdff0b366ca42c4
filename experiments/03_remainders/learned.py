"""What the policies show."""


def learn(result):
    table = result["policies"]

    def cell(column, size, rest, order="new each pass"):
        return table.cell(column, remainder=rest, order=order, **{"batch size": size})

    def value(column, size, rest, order="new each pass"):
        return table.value(column, remainder=rest, order=order, **{"batch size": size})

    def change(size, rest, order="new each pass"):
        row = table.row(remainder=rest, order=order, **{"batch size": size})
        return row["less keep"], row["less keep ±"]

    result.say(
        "With the usual small rest the choice costs next to nothing: batches of 64 leave 29 of 1,437, and over 20 "
        f"epochs dropping them is {cell('steps', 64, 'drop')} steps instead of {cell('steps', 64, 'keep')}, and a "
        f"held-out loss that differs by {cell('less keep', 64, 'drop')}.",
        abs(value("less keep", 64, "drop")) < 0.05,
    )
    result.say(
        "What it changes can be large all the same. Batches of 478 leave 3: kept, they are a batch of their own, and a "
        f"sample in it weighs {cell('heaviest sample', 478, 'keep')} times as much as one in a full batch; it makes "
        f"one of every four updates. Filled up, {cell('padded', 478, 'pad')} rows are trained twice, and the held-out "
        f"loss changes by {cell('less keep', 478, 'pad')}; dropped, the {cell('steps', 478, 'keep')} updates become "
        f"{cell('steps', 478, 'drop')}, and it changes by {cell('less keep', 478, 'drop')}, or "
        f"{cell('less keep', 478, 'drop', 'kept')} where the first order is kept: poor as a batch of three is, its "
        "updates were worth more than none.",
        change(478, "pad")[0] < -change(478, "pad")[1],
        change(478, "drop", "kept")[0] > change(478, "drop", "kept")[1],
    )
    result.say(
        "The price of dropping is the other extreme: batches of 480 leave 477, a third of all samples in every pass, "
        f"{cell('dropped', 480, 'drop')} over the training, and the held-out loss rises by "
        f"{cell('less keep', 480, 'drop')}; filled up the rest is {cell('padded', 480, 'pad')} more rows.",
        change(480, "drop")[0] > change(480, "drop")[1],
    )
    kept = "kept"
    result.say(
        "Dropping with a new order in each pass leaves out other samples each time, and in the end "
        f"{cell('never seen', 480, 'drop')} were never seen. With the first order kept the same ones are left out in "
        f"every pass: {cell('never seen', 480, 'drop', kept)} of 1,437 were never trained on, and the counts of steps, "
        "of samples seen and of samples dropped are the same in both cases.",
        value("never seen", 480, "drop", kept) == 477,
        value("never seen", 480, "drop") == 0,
        all(value(c, 480, "drop", kept) == value(c, 480, "drop") for c in ("steps", "samples seen", "dropped")),
    )
    result.say(
        "Carrying the rest into the next pass loses nothing and has one odd batch, the very last: with batches of 64 "
        f"it has 4 samples of 28,740, each weighs {cell('heaviest sample', 64, 'carry')} times as much as usual, and "
        f"no update comes after it. The held-out loss is {cell('less keep', 64, 'carry')} higher, as much as any "
        "policy changed with that batch size: a surprise, and of the moment of looking more than of the training.",
        change(64, "carry")[0] > change(64, "carry")[1],
        value("samples seen", 64, "carry") == 28740,
    )
    result.say(
        "Not shown: that a difference whose interval includes 0 is none; with four seeds only large ones can be told."
    )
    with result.figure(
        "losses", "Held-out loss by remainder policy and batch size, with a new order in each pass"
    ) as axes:
        rests = ("keep", "drop", "pad", "carry")
        for shift, size in zip((-0.2, 0.0, 0.2), (64, 478, 480)):
            rows = [table.row(remainder=r, order="new each pass", **{"batch size": size}) for r in rests]
            y, high = [row["loss held out"] for row in rows], [row["loss held out ±"] for row in rows]
            axes.errorbar(
                [i + shift for i in range(4)], y, high, fmt="o", capsize=3, markersize=4, label=f"batch {size}"
            )
        axes.set(xticks=range(4), xticklabels=rests, ylabel="loss held out", ylim=(0, 2.4))
        axes.legend(ncols=3, fontsize=7, loc="upper center")
