"""What the windows show."""


def learn(result):
    table = result["windows"]

    def cell(column, case):
        return table.cell(column, case=case)

    def value(column, case):
        return table.value(column, case=case)

    kept, dropped, actual = "from 256 kept", "from 256 dropped", "windows, mean over the steps present"
    samples, norm = "windows, mean over samples", "batch normalisation, windows, mean over samples"
    result.say(
        "It is, in one of seven ways. Windows of 4 batches of 64, each divided by its number of samples, end "
        f"{cell(kept, samples)} from batches of 256, which is float64's rounding: the same {cell('updates', samples)} "
        "updates.",
        value(kept, samples) < 1e-12,
        value("updates", samples) == value("updates", "batches of 256, the rest kept"),
        all(row[kept] is None or row[kept] > 1e-6 for row in table.rows if row["case"] != samples),
    )
    result.say(
        "The mean over the steps present, as tutorials have it, ends "
        f"{cell(kept, actual)} away: in the last window of an epoch a batch of 29 counts as much as one of 64. Divided "
        f"by 4 whatever is present, as Keras and Lightning do, it is {cell(kept, 'windows, divided by 4')}. The "
        f"held-out loss shows little of either, {cell('loss held out', actual)} and "
        f"{cell('loss held out', 'windows, divided by 4')} against {cell('loss held out', samples)}. Summed it is a "
        f"rate four times as high, and {cell(kept, 'windows, summed')} away.",
        value(kept, "windows, summed") > value(kept, "windows, divided by 4"),
    )
    left = "windows, the unfinished dropped"
    result.say(
        "To drop an unfinished window is to drop the rest of the large batch, exactly: "
        f"{cell(dropped, left)} from batches of 256 with the rest dropped, though {cell('samples seen', left)} samples "
        f"went through the network where these saw {cell('samples seen', 'batches of 256, the rest dropped')}. Carried "
        f"over, or left in the gradients, it ends {cell(kept, 'windows, the unfinished carried over')} and "
        f"{cell(kept, 'windows, the unfinished left in the gradients')} from the large batch.",
        value(dropped, left) < 1e-12,
    )
    result.say(
        "With batch normalisation no way is the same: each batch of 64 is normalised by its own statistics, and the "
        f"one that was exact ends {cell(kept, norm)} away.",
        value(kept, norm) > 1e-3,
    )
    result.say(
        "Each way is the same in both frameworks, up to "
        f"{table.kinds['frameworks differ by'].text(max(row['frameworks differ by'] for row in table.rows))}.",
        max(row["frameworks differ by"] for row in table.rows) < 1e-9,
        all(row["alike"] for row in table.rows),
    )
    result.say("Not shown: which way trains better. That all of them train is why nobody notices.")
