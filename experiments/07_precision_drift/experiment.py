"""One training in float32, bfloat16 and float64 in both frameworks: how far apart are they, and when?"""

from itertools import product

from experiments.common.grid import BOTH, Setup
from experiments.common.results import order

from .drift import apart, lined_up

UPDATES = 1, 10, 100, 500
SETTINGS = {"calm": {"rate": 0.1}, "restless": {"rate": 0.5, "momentum": 0.9}}
PRECISIONS = "float64", "float32", "bfloat16"
NUDGED = "torch nudged"


def run(lab):
    seeds, lengths = lab.seeds(3), UPDATES[:3] if lab.small else UPDATES
    result = lab.result(seeds)
    setups = {}
    for setting, updates in product(SETTINGS, lengths):
        plan, options = {"batch_size": 64, "updates": updates}, SETTINGS[setting]
        for adapter, precision in product(BOTH, PRECISIONS):
            setups[adapter, precision, setting, updates] = Setup(plan, "digits", options, precision, (adapter,))
        setups[NUDGED, "float32", setting, updates] = Setup(plan, "nudged", options, "float32", ("torch",))
    points = lab.grid(setups, seeds)
    rows = [
        {"setting": setting, "runs": name, **{f"after {n}": apart(points, *pair, setting, n) for n in lengths}}
        for setting, (name, *pair) in product(SETTINGS, lined_up(BOTH, PRECISIONS, NUDGED))
    ]
    kinds = {f"after {updates}": order() for updates in UPDATES}
    result.table("weights", "How far apart the weights are after so many updates", rows, kinds)
    runs = [run for point in points.values() for run in point.runs]
    as_many = len({run.trace.certificate for run in runs}) == len(seeds) * len(lengths)  # one for each seed and length
    result.table("steps", "What they did", [{"runs": len(runs), "all alike": as_many}])
    for setting, p in product(SETTINGS, PRECISIONS):
        losses = [points[adapter, p, setting, lengths[-1]].trace.column("loss") for adapter in BOTH]
        result.curves.setdefault(setting, {})[p] = losses
    return result
