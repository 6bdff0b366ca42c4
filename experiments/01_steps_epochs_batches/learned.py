"""What the counts show."""


def learn(result):
    table, sizes = result["cases"], result["sizes"]
    result.say(
        f"It does: each of {len(table.rows)} cases made the steps and updates of its formula, in both frameworks, with "
        "the same samples in each step.",
        all(row["as by hand"] and row["alike"] for row in table.rows),
    )
    rest = {word: f"a rest of 5, {word}" for word in ("kept", "dropped", "filled up", "into the next pass")}
    steps = {word: table.cell("steps", case=case) for word, case in rest.items()}
    seen = {word: table.cell("samples seen", case=case) for word, case in rest.items()}
    result.say(
        "What the textbook leaves open is the rest. Three epochs of 1,797 samples in batches of 64 are "
        f"{steps['kept']} steps with the short batch kept, {steps['dropped']} with it dropped and "
        f"{steps['into the next pass']} with its samples carried into the next pass; filled up they are "
        f"{steps['filled up']} again. The samples seen do not give it away either: {seen['kept']} are seen whether "
        "the rest is kept, filled up or carried.",
        seen["kept"] == seen["filled up"] == seen["into the next pass"],
        steps["kept"] == steps["filled up"],
    )
    dropped = {size: sizes.cell("samples dropped", **{"batch size": size}) for size in (48, 64, 96, 128)}
    result.say(
        "How much is dropped is a matter of division, not of the size alone: batches of 64 leave "
        f"{dropped[64]} of 1,797 out in every pass and batches of 48 leave {dropped[48]}; 128 leave {dropped[128]} and "
        f"96 leave {dropped[96]}. A larger batch can leave out more, up to one less than its size.",
        int(dropped[64]) < int(dropped[48]),
        int(dropped[128]) < int(dropped[96]),
    )
    windows = {
        word: f"windows of 4{word}" for word in (" steps, flushed", ", the unfinished dropped", ", carried over")
    }
    updates = [table.cell("updates", case=case) for case in windows.values()]
    result.say(
        f"Accumulation opens the same question a second time: windows of 4 over the 87 steps are {updates[0]} updates "
        f"if each epoch's end flushes the unfinished one. Carried over or dropped they are {updates[2]} and "
        f"{updates[1]}: the same by chance, in different steps.",
        updates[1] == updates[2],
    )
    with result.figure("sizes", "Steps in a pass over 1,797 samples, by batch size, the rest kept or dropped") as axes:
        x = [row["batch size"] for row in sizes.rows]
        for word, style in (("kept", "o-"), ("dropped", "s--")):
            axes.plot(x, [row[f"steps, rest {word}"] for row in sizes.rows], style, markersize=4, label=f"rest {word}")
        axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel="steps in a pass", title="1,797 samples")
        axes.legend()
