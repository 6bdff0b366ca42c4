"""What the clocks show."""


def learn(result):
    table = result["clocks"]

    def loss(clock, unit):
        return table.cell("loss held out", clock=clock, **{"made for": unit})

    def value(clock, unit):
        return table.value("loss held out", clock=clock, **{"made for": unit})

    def last(clock, unit):
        return table.cell("last rate", clock=clock, **{"made for": unit})

    result.say(
        "A schedule made for one unit and ticking by another is a different training, and nothing fails. Made for 20 "
        f"epochs and ticked once an update, the rate is 0 after a sixth of the training: the held-out loss ends at "
        f"{loss('updates', 'epochs')}, where ticked by epochs it ends at {loss('epochs', 'epochs')}; ticked by steps "
        f"it ends at {loss('steps', 'epochs')}.",
        value("steps", "epochs") > value("updates", "epochs") > 2 * value("epochs", "epochs"),
    )
    result.say(
        "The other way round nobody would notice: made for 28,740 samples and ticked by updates, the rate ends at "
        f"{last('updates', 'samples')} of a peak of 0.5000, and the held-out loss of {loss('updates', 'samples')} is "
        f"even lower than the {loss('updates', 'updates')} of the schedule as it was meant. What was a mistake in the "
        "clock was here, with so short a training, an advantage: the result does not tell which of the two happened.",
        value("updates", "samples") < value("updates", "updates"),
        last("epochs", "samples") == "0.5000",
    )
    result.say(
        "With the length that belongs to it, each of the three clocks ends alike: "
        + ", ".join(f"{loss(unit, unit)} by {unit}" for unit in ("epochs", "updates", "steps"))
        + ". Both frameworks made the same steps and updates at the same rates in all of it, and the largest "
        f"difference in held-out loss between them is {table.kinds['frameworks differ by'].text(largest(table))}.",
        largest(table) < 1e-3,
        all(row["alike"] for row in table.rows),
    )
    result.say(
        "Not shown: whether the same holds for a long training, in which a rate that does not fall costs what here it "
        "gained."
    )
    with result.figure(
        "rates", "The learning rate in each step by each clock, made for its own unit and for others", 3, sharey=True
    ) as panels:
        for axes, clock in zip(panels, ("epochs", "updates", "steps")):
            for unit, style in (("epochs", "-"), ("updates", "--"), ("steps", "-."), ("samples", ":")):
                axes.plot(result.curves[clock, unit][0], style, label=f"made for {unit}")
            axes.set(title=f"ticks by {clock}", xlabel="step")
        panels[0].set_ylabel("learning rate, as observed")
        panels[0].legend(fontsize=7)


def largest(table):
    return max(row["frameworks differ by"] for row in table.rows)
