"""Batch size against updates, time and quality: at equal epochs, at equal updates, and with the rate in proportion."""

import numpy as np

from experiments.common.lab import BOTH
from experiments.common.results import EXACT, TIME, about, order
from experiments.common.statistics import INTERVAL, mean
from experiments.common.tasks import named
from experiments.common.training import Trial

SIZES = 8, 32, 128, 512, 1437
RATE, USUAL = 0.1, 32  # the rate, and the batch size that it is for where it is in proportion
EQUAL = {"epochs": {"epochs": 10}, "updates": {"updates": 450}}  # 450 updates are 10 epochs of batch 32
REGIMES = {"equal epochs": "epochs", "equal updates": "updates", "equal epochs, rate in proportion": "epochs"}
KINDS = {
    **dict.fromkeys(("at", "batch size", "rate", "updates", "epochs", "samples seen", "alike"), EXACT),
    "loss held out": about(0.01),
    "accuracy held out": about(0.005),
    "frameworks differ by": order(1e-4),
    "torch seconds": TIME,
    "tensorflow seconds": TIME,
}


def run(lab):
    seeds, sizes = lab.seeds(5), SIZES[1::2] if lab.small else SIZES
    result = lab.result(
        "What does the batch size change: updates, time, quality?",
        f"""The perceptron on 1,437 digits, SGD with a learning rate of {RATE}, in float32, torch:eager and
        tensorflow:function, one thread: 10 epochs, or 450 updates, or 10 epochs with a rate in proportion to the batch
        size ({RATE} for {USUAL}). {len(seeds)} seeds of starting weights and order; {INTERVAL}, both frameworks of a
        seed taken together. *Frameworks differ by*: the largest difference in held-out loss between them. *Seconds*
        are the median time of a step times the number of steps, without start and compilation.""",
    )
    grid = [(regime, size) for regime in REGIMES for size in sizes]
    runs = lab.train(
        Trial(
            {"batch_size": size, "seed": seed, **EQUAL[REGIMES[regime]], "validation_every": 10_000},
            named("digits", seed=seed, rate=rate(regime, size)),
            adapter,
            labels={"at": (regime, size)},
        )
        for regime, size in grid
        for seed in seeds
        for adapter in ("torch", "tensorflow:function")
    )
    rows = []
    for regime, size in grid:
        ours = [one for one in runs if one["at"] == (regime, size)]
        pairs, counts = list(zip(ours[::2], ours[1::2])), ours[0].counts
        rows.append(
            {
                "at": regime,
                "batch size": size,
                "rate": f"{rate(regime, size):g}",
                "updates": counts.num_updates,
                "epochs": counts.num_epochs,
                "samples seen": counts.samples_seen,
                **mean("loss held out", [(a.last.loss + b.last.loss) / 2 for a, b in pairs]),
                **mean("accuracy held out", [(a.last.accuracy + b.last.accuracy) / 2 for a, b in pairs]),
                "frameworks differ by": max(abs(a.last.loss - b.last.loss) for a, b in pairs),
                "alike": all(a.trace.certificate == b.trace.certificate for a, b in pairs),
                **{
                    f"{name} seconds": float(np.median([seconds(pair[i]) for pair in pairs]))
                    for i, name in enumerate(BOTH)
                },
            }
        )
    result.table("sizes", "Each batch size", KINDS, rows)
    return result


def rate(regime, size):
    return RATE * size / USUAL if "proportion" in regime else RATE


def seconds(run):
    """The median time between two steps, times their number."""
    return float(np.median(np.diff(run.trace.column("time_ns")))) * run.counts.num_steps / 1e9
