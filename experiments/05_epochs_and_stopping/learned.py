"""What the epochs and the stops show."""

import numpy as np


def learn(result):
    fits, stops = result["epochs"], result["stops"]
    few, usual, many, clean = "2 units", "32 units", "256 units", "32 units, right labels"

    def cell(column, network):
        return fits.cell(column, network=network)

    def value(column, network):
        return fits.value(column, network=network)

    end, best, trained = "loss held out at the end", "best loss held out", "training loss at the end"
    # The entropy of a label that is drawn anew, of ten, with probability 0.2: 0.82 for its own, 0.02 for each other.
    honest = -(0.82 * np.log(0.82) + 9 * 0.02 * np.log(0.02))
    result.say(
        "Two units underfit: after all epochs their training loss is still "
        f"{cell(trained, few)}, and the held-out loss never gets below {cell(best, few)}. With 32 the training loss "
        f"falls to {cell(trained, usual)}, far below the {honest:.2f} that the true probabilities would give "
        "where a fifth of the labels is drawn anew: they are learned by heart. "
        f"The held-out loss is best at epoch {cell('best epoch', usual)} with {cell(best, usual)}, "
        f"and {cell(end, usual)} in the end; the accuracy held out falls from {cell(BEST, usual)} to "
        f"{cell('accuracy at the end', usual)}.",
        value(trained, few) > 2 * value(trained, usual),
        value(best, few) > value(best, usual),
        value(end, usual) > 1.1 * value(best, usual),
        value(BEST, usual) > value("accuracy at the end", usual),
    )
    result.say(
        f"Whether eight times the units overfit earlier is open: their best epoch is {cell('best epoch', many)}, and "
        f"their best loss held out {cell(best, many)}. What overfits is the noise: with right labels the same 32 units "
        f"end at {cell(end, clean)}, hardly above their best of {cell(best, clean)}.",
        value(end, clean) < 1.2 * value(best, clean),
        abs(value("best epoch", many) - value("best epoch", usual)) < fits.row(network=usual)["best epoch ±"],
        value(trained, usual) < honest / 2,
    )
    rows = {precision: [row for row in stops.rows if row["precision"] == precision] for precision in PRECISIONS}
    same = {precision: sum(row["same stop"] for row in rows[precision]) for precision in PRECISIONS}
    closest = {precision: min(rows[precision], key=ratio) for precision in PRECISIONS}

    def text(precision, column):
        return stops.kinds[column].text(closest[precision][column])

    result.say(
        f"Both frameworks stopped after the same epoch in {same['float64']} of {len(rows['float64'])} seeds in float64 "
        f"and in {same['float32']} of {len(rows['float32'])} in float32. The nearest that rounding came to moving a "
        f"float32 stop was a validation that missed or passed the best by {text('float32', 'closest decision')}, where "
        f"the frameworks differed by at most {text('float32', 'frameworks differ by')}; in float64 it was "
        f"{text('float64', 'closest decision')} and {text('float64', 'frameworks differ by')}.",
        same["float64"] == len(rows["float64"]),
        ratio(closest["float64"]) > 1,
    )
    apart = stops.kinds["frameworks differ by"].text(max(row["frameworks differ by"] for row in rows["bfloat16"]))
    result.say(
        f"In bfloat16 they stopped alike in {same['bfloat16']} of {len(rows['bfloat16'])} seeds: the frameworks differ "
        f"by up to {apart} in one validation, which is more than what decides. Its numbers are so few that a "
        f"validation may equal the best so far, to a margin of {text('bfloat16', 'closest decision')}: there the "
        "epoch of the stop is an accident of rounding.",
        all(ratio(row) < 1 for row in rows["bfloat16"]),
        same["bfloat16"] < len(rows["bfloat16"]),
        closest["bfloat16"]["closest decision"] < 1e-6,
    )
    result.say(
        "Not shown: that stopping early is better than a network of the right size, or more data. And a patience of 5 "
        "stops at the first plateau as well as at the last."
    )
    with result.figure("curves", "Held-out loss after each epoch, for each network, and the training loss") as axes:
        for name, (trace, _) in result.curves.items():
            (line,) = axes.plot([validation.loss for validation in trace.validations], label=name)
            axes.plot(np.asarray(trace.epochs()["loss"]), ":", color=line.get_color(), linewidth=1)
        axes.set(xlabel="epoch", ylabel="loss: held out, and in training (dotted)", ylim=(0, 2.4))
        axes.legend(fontsize=7)


BEST = "best epoch's accuracy"
PRECISIONS = "float64", "float32", "bfloat16"


def ratio(row):
    """How many times the frameworks' difference the closest decision was; below 1, rounding can move it."""
    return row["closest decision"] / max(row["frameworks differ by"], 1e-300)
