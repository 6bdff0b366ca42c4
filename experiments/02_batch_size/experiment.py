"""Batch size against updates, time and quality: at equal epochs, at equal updates, and with the rate in proportion."""

import numpy as np

from experiments.common.grid import Setup
from experiments.common.results import TIME

SIZES = 8, 32, 128, 512, 1437
EPOCHS, UPDATES = {"epochs": 10}, {"updates": 450}  # 450 updates are 10 epochs of batch 32
REGIMES = {"equal epochs": EPOCHS, "equal updates": UPDATES, "equal epochs, rate in proportion": EPOCHS}
ADAPTERS = {"torch seconds": "torch", "tensorflow seconds": "tensorflow:function"}


def run(lab):
    seeds, sizes = lab.seeds(5), SIZES[1::2] if lab.small else SIZES
    result = lab.result(seeds)
    points = lab.grid({(regime, size): setup(regime, size) for regime in REGIMES for size in sizes}, seeds)
    rows = [{"at": regime, "batch size": size, **measured(point)} for (regime, size), point in points.items()]
    result.table("sizes", "Each batch size", rows, dict.fromkeys(ADAPTERS, TIME))
    return result


def setup(regime, size):
    rate = 0.1 * size / 32 if "proportion" in regime else 0.1
    plan = {"batch_size": size, **REGIMES[regime], "validation_every": 10_000}
    return Setup(plan, options={"rate": rate}, adapters=(*ADAPTERS.values(),))


def measured(point):
    row = {"rate": f"{point.setup.options['rate']:g}", **point.counted("updates", "epochs", "samples seen")}
    row |= {"alike": point.alike, **point.held_out(), "frameworks differ by": point.apart}
    return row | {column: np.median([seconds(one) for one in point.of(of)]).item() for column, of in ADAPTERS.items()}


def seconds(run):
    """The median time between two steps, times their number."""
    return float(np.median(np.diff(run.trace.column("time_ns")))) * run.counts.num_steps / 1e9
