"""What the batch sizes show."""


def learn(result):
    table = result["sizes"]
    epochs, updates, scaled = "equal epochs", "equal updates", "equal epochs, rate in proportion"

    def cell(column, at, size):
        return table.cell(column, at=at, **{"batch size": size})

    def value(column, at, size):
        return table.value(column, at=at, **{"batch size": size})

    result.say(
        f"At equal epochs a larger batch learns less, because it updates less: {cell('updates', epochs, 8)} updates "
        f"with batches of 8 end at a held-out accuracy of {cell('accuracy held out', epochs, 8)}, the "
        f"{cell('updates', epochs, 512)} with batches of 512 at {cell('accuracy held out', epochs, 512)} and the "
        f"{cell('updates', epochs, 1437)} of gradient descent at {cell('accuracy held out', epochs, 1437)}.",
        value("accuracy held out", epochs, 8) > value("accuracy held out", epochs, 512),
        value("accuracy held out", epochs, 512) > value("accuracy held out", epochs, 1437),
    )
    result.say(
        f"At equal updates that is gone: with {cell('updates', updates, 8)} each, batches of 8 reach "
        f"{cell('accuracy held out', updates, 8)} and batches of 1,437 {cell('accuracy held out', updates, 1437)}, but "
        f"the one has seen {cell('samples seen', updates, 8)} samples and the other "
        f"{cell('samples seen', updates, 1437)}.",
        abs(value("accuracy held out", updates, 8) - value("accuracy held out", updates, 1437)) < 0.05,
    )
    result.say(
        "A rate in proportion to the batch makes up for fewer updates as long as there are some: batches of 128 at a "
        f"rate of {cell('rate', scaled, 128)} end at a held-out loss of {cell('loss held out', scaled, 128)} instead "
        f"of {cell('loss held out', epochs, 128)}, near the {cell('loss held out', epochs, 32)} of batches of 32; for "
        f"1,437 the rate would be {cell('rate', scaled, 1437)}, and {cell('updates', scaled, 1437)} such updates end "
        f"at {cell('loss held out', scaled, 1437)}.",
        abs(value("loss held out", scaled, 128) - value("loss held out", epochs, 32)) < 0.1,
        value("loss held out", scaled, 1437) > value("loss held out", epochs, 32),
    )
    result.say(
        "For the same samples small batches take longer: ten epochs of batches of 8 took "
        f"{cell('torch seconds', epochs, 8)} s in torch and {cell('tensorflow seconds', epochs, 8)} s in TensorFlow, "
        f"of 128 {cell('torch seconds', epochs, 128)} and {cell('tensorflow seconds', epochs, 128)} s, since each step "
        "costs what it costs for the smallest batch too. For the same updates large ones do: "
        f"{cell('updates', updates, 8)} of 8 took {cell('torch seconds', updates, 8)} and "
        f"{cell('tensorflow seconds', updates, 8)} s, of 1,437 {cell('torch seconds', updates, 1437)} and "
        f"{cell('tensorflow seconds', updates, 1437)} s. The shortest times rest on a few steps and are rough.",
        value("torch seconds", epochs, 8) > 5 * value("torch seconds", epochs, 128),
        value("tensorflow seconds", epochs, 8) > 5 * value("tensorflow seconds", epochs, 128),
        value("torch seconds", updates, 1437) > 2 * value("torch seconds", updates, 8),
        value("tensorflow seconds", updates, 1437) > 2 * value("tensorflow seconds", updates, 8),
    )
    wild = max(table.rows, key=lambda row: row[APART])
    size, others = wild["batch size"], [row for row in table.rows if row is not wild]
    result.say(
        "The frameworks are no part of any of it: in every row they made the same steps on the same samples, and their "
        f"held-out losses differ by at most {table.kinds[APART].text(max(row[APART] for row in others))}, but in one: "
        f"batches of {size} at a rate of {wild['rate']}, where the training is so unstable that rounding grows to "
        f"{table.kinds[APART].text(wild[APART])}, as it does [within one framework](../07_precision_drift/README.md) "
        "too.",
        all(row["alike"] for row in table.rows),
        wild["at"] == scaled,
        max(row[APART] for row in others) < 1e-4 < wild[APART],
    )
    result.say(
        "Not shown: that small batches generalise better. At equal updates the intervals of the held-out loss are the "
        "place to look, and five seeds of a small network do not settle it."
    )
    columns = ("loss held out", "accuracy held out")
    title = (
        "Held-out loss and accuracy by batch size, at equal epochs, at equal updates and with the rate in proportion"
    )
    with result.figure("quality", title, 2) as panels:
        for axes, column in zip(panels, columns):
            for at, style in ((epochs, "o-"), (updates, "s--"), (scaled, "^:")):
                rows = [row for row in table.rows if row["at"] == at]
                x, y = [row["batch size"] for row in rows], [row[column] for row in rows]
                axes.errorbar(x, y, [row[f"{column} ±"] for row in rows], fmt=style, markersize=4, capsize=2, label=at)
            axes.set(xscale="log", xlabel="batch size", ylabel=column)
            axes.set_xticks(x, x)
            axes.set_xticks([], minor=True)
        panels[0].legend(fontsize=7)


APART = "frameworks differ by"
