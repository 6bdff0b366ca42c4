"""What each remainder policy costs and changes: with a small rest, one of three samples, and one of nearly a batch."""

from itertools import product

import numpy as np

from experiments.common.grid import Setup
from experiments.common.results import about
from experiments.common.statistics import mean

SIZES = 64, 478, 480  # 1,437 leaves over 29, 3 and 477
ORDERS = {"new each pass": True, "kept": False}
POLICIES = "keep", "drop", "pad", "carry"
PLAN = {"epochs": 20, "validation_every": 20}


def run(lab):
    seeds, sizes = lab.seeds(4), SIZES[1:2] if lab.small else SIZES
    result = lab.result(seeds)
    grid = product(sizes, ORDERS, POLICIES)
    setups = {(b, o, p): Setup({**PLAN, "batch_size": b, "reshuffle": ORDERS[o], "remainder": p}) for b, o, p in grid}
    points = lab.grid(setups, seeds)
    rows = [measured(*at, point, points[(*at[:2], "keep")]) for at, point in points.items()]
    result.table("policies", "Each policy", rows, {"less keep": about(0.01)})
    return result


def measured(size, order, policy, point, keep):
    smallest, loss = point.trace.column("batch_size").min(), point.last("loss")
    row = {"batch size": size, "remainder": policy, "order": order}
    row |= point.counted("steps", "samples seen", "dropped", "padded")
    row |= {"never seen": 1437 - len(np.unique(np.concatenate(list(point.trace.batches()))))}
    row |= {"heaviest sample": f"{size / smallest:.4g}", "alike": point.alike, **mean("loss held out", loss)}
    row |= {"less keep": None} if point is keep else mean("less keep", loss - keep.last("loss"))
    return {**row, "frameworks differ by": point.apart}
