"""A learning rate that falls along half a cosine: what its clock ticks by, and for how many ticks it was made."""

from experiments.common.lab import BOTH
from experiments.common.results import EXACT, about, order
from experiments.common.statistics import INTERVAL, mean
from experiments.common.tasks import named
from experiments.common.training import Trial

EPOCHS, PEAK = 20, 0.5
HORIZONS = {"epochs": 20, "updates": 120, "steps": 460, "samples": 28740}  # 23 steps and 6 updates in an epoch
CLOCKS = "epochs", "updates", "steps"
KINDS = {
    **dict.fromkeys(("clock", "made for", "ticks made", "ticks due", "last rate", "alike"), EXACT),
    "loss held out": about(0.01),
    "accuracy held out": about(0.005),
    "frameworks differ by": order(1e-4),
}


def run(lab):
    seeds = lab.seeds(4)
    result = lab.result(
        "The schedule's clock: updates, steps or epochs?",
        f"""The perceptron on 1,437 digits, {EPOCHS} epochs of batch 64 in windows of 4 steps, which each epoch's end
        flushes: 460 steps, 120 updates. The learning rate falls from {PEAK} to 0 along half a cosine, made for the
        number of epochs, updates, steps or samples of the training, and ticking by the one that is named. In float32,
        torch:eager and tensorflow:block, {len(seeds)} seeds of starting weights and order; {INTERVAL}, both frameworks
        of a seed taken together. *Frameworks differ by*: the largest difference in held-out loss between them.""",
    )
    plan = {"batch_size": 64, "epochs": EPOCHS, "gradient_accumulation_steps": 4, "validation_every": EPOCHS}
    grid = [(clock, unit) for clock in CLOCKS for unit in HORIZONS]
    runs = lab.train(
        Trial(
            {**plan, "schedule_clock": clock, "seed": seed},
            named("scheduled", peak=PEAK, ticks=HORIZONS[unit], seed=seed),
            adapter,
            labels={"clock": clock, "made for": unit, "seed": seed},
        )
        for clock, unit in grid
        for seed in seeds
        for adapter in BOTH
    )
    rows, curves = [], {}
    for clock, unit in grid:
        ours = [one for one in runs if (one["clock"], one["made for"]) == (clock, unit)]
        counts, pairs = ours[0].counts, list(zip(ours[::2], ours[1::2]))
        curves[clock, unit] = [one.trace.column("lr") for one in ours[:2]]
        rows.append(
            {
                "clock": clock,
                "made for": unit,
                "ticks made": HORIZONS[unit],
                "ticks due": getattr(counts, f"num_{clock}"),
                "last rate": f"{curves[clock, unit][0][-1]:.4f}",
                **mean("loss held out", [(a.last.loss + b.last.loss) / 2 for a, b in pairs]),
                **mean("accuracy held out", [(a.last.accuracy + b.last.accuracy) / 2 for a, b in pairs]),
                "frameworks differ by": max(abs(a.last.loss - b.last.loss) for a, b in pairs),
                "alike": all(a.trace.certificate == b.trace.certificate for a, b in pairs),
            }
        )
    result.table("clocks", "Each clock, with each length that a schedule may be made for", KINDS, rows)
    result.curves = curves
    return result
