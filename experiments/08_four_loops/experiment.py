"""Keras' fit, a GradientTape, a PyTorch loop and Lightning on one plan: counts, time, result."""

from importlib.util import find_spec

import numpy as np

from experiments.common.grid import Setup
from experiments.common.results import TIME, order

LOOPS = {
    "PyTorch loop": "torch:loader",
    "Lightning": "torch:lightning",
    "GradientTape": "tensorflow:function",
    "Keras fit": "tensorflow:fit",
}
WINDOWS = {"no windows": {}, "windows of 4 steps": {"gradient_accumulation_steps": 4, "loss_normalization": "window"}}
PLAN = {"batch_size": 64, "epochs": 10, "validation_every": 10}


def run(lab):
    seeds = lab.seeds(4)
    loops = {name: loop for name, loop in LOOPS.items() if name != "Lightning" or find_spec("lightning")}
    result = lab.result(seeds)
    if loops != LOOPS:
        result.setting += " Lightning was not installed."
    setups = {(p, name): Setup({**PLAN, **WINDOWS[p]}, adapters=(loops[name],)) for p in WINDOWS for name in loops}
    points = lab.grid(setups, seeds)
    rows = [measured(*at, point, points[at[0], "PyTorch loop"]) for at, point in points.items()]
    result.table("loops", "Each loop", rows, {"from PyTorch's loss": order(1e-4), "seconds": TIME})
    return result


def measured(windows, loop, point, base):
    row = {"plan": windows, "loop": loop, **point.counted("steps", "updates", "samples seen")}
    row |= {"certificate": point.trace.certificate[:12]}
    row |= {"as PyTorch": all(a.trace.certificate == b.trace.certificate for a, b in zip(point.runs, base.runs))}
    row |= point.held_out()
    away = None if point is base else float(np.abs(point.last("loss") - base.last("loss")).max())
    return {**row, "from PyTorch's loss": away, "seconds": np.median([one.seconds for one in point.runs]).item()}
