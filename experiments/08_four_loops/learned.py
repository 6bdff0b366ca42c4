"""What the loops show."""

PLAIN, WINDOWS = "no windows", "windows of 4 steps"


def learn(result):
    table = result["loops"]
    plain = [row for row in table.rows if row["plan"] == PLAIN]
    others = [row for row in plain if row["from PyTorch's loss"] is not None]
    farthest = max(others, key=lambda row: row["from PyTorch's loss"])

    def cell(column, plan, loop):
        return table.cell(column, plan=plan, loop=loop)

    result.say(
        f"Without accumulation it is one training, {len(plain)} times: {plain[0]['steps']} steps and "
        f"{plain[0]['updates']} updates, one certificate ({plain[0]['certificate']}…), and a held-out loss that "
        f"differs from the PyTorch loop's by at most {cell(APART, PLAIN, farthest['loop'])}.",
        all(row["as PyTorch"] for row in plain),
        farthest[APART] < 1e-4,
    )
    keras = table.row(plan=WINDOWS, loop="Keras fit")
    result.say(
        "With windows of 4 steps it is not. Each epoch ends within a window, which the plan flushes: "
        f"{cell('updates', WINDOWS, 'PyTorch loop')} updates. Keras' fit has no setting for that and carries it "
        f"into the next epoch: {cell('updates', WINDOWS, 'Keras fit')} updates from the same "
        f"{cell('steps', WINDOWS, 'Keras fit')} steps, and a held-out loss off by "
        f"{cell(APART, WINDOWS, 'Keras fit')} on one seed.",
        not keras["as PyTorch"],
        all(row["as PyTorch"] for row in table.rows if row is not keras),
    )
    if any(row["loop"] == "Lightning" for row in table.rows):
        result.say(
            f"Lightning makes {cell('updates', WINDOWS, 'Lightning')} of them, the same as the loop, and its held-out "
            f"loss is {cell(APART, WINDOWS, 'Lightning')} from the loop's.",
            table.row(plan=WINDOWS, loop="Lightning")["as PyTorch"],
        )
    slowest = max(plain, key=lambda row: row["seconds"])
    result.say(
        f"What a trainer does for its user costs time on a network this small: {slowest['loop']} took "
        f"{cell('seconds', PLAIN, slowest['loop'])} s a run, where the PyTorch loop took "
        f"{cell('seconds', PLAIN, 'PyTorch loop')} s and the GradientTape {cell('seconds', PLAIN, 'GradientTape')} s.",
    )
    result.say("Not shown: which is faster on a large network, where a step is longer than all that surrounds it.")


APART = "from PyTorch's loss"
