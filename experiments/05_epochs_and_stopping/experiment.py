"""Too few and too many epochs, stopping early, and how close rounding came to moving the stop."""

from experiments.common.grid import Setup
from experiments.common.results import about, order

from .curves import fitted, stopped

NETWORKS = {
    "2 units": {"hidden": 2, "noise": 0.2},
    "32 units": {"hidden": 32, "noise": 0.2},
    "256 units": {"hidden": 256, "noise": 0.2},
    "32 units, right labels": {"hidden": 32, "noise": 0.0},
}
PRECISIONS = "float64", "float32", "bfloat16"
PLAN = {"batch_size": 32, "epochs": 100, "validation_every": 1, "validation_batch_size": 360}
STOPPED = {"early_stopping_patience": 5, "restore_best": True}


def run(lab):
    seeds, plan = lab.seeds(4), {**PLAN, "epochs": 10} if lab.small else PLAN
    result = lab.result(seeds)
    setups = {name: Setup(plan, "noisy", {**network, "rate": 0.2}) for name, network in NETWORKS.items()}
    for precision in PRECISIONS:
        setups[precision] = Setup({**plan, **STOPPED}, "noisy", setups["32 units"].options, precision)
    points = lab.grid(setups, seeds)
    rows = [fitted(name, points[name]) for name in NETWORKS]
    kinds = dict.fromkeys([*rows[0]][1:], about(0.02)) | {"best epoch": about(3, ".1f")}
    result.table("epochs", "After every epoch", rows, kinds)
    rows = [stopped(p, seed, *runs) for p in PRECISIONS for seed, runs in zip(seeds, points[p].seeds)]
    kinds = dict.fromkeys(("closest decision", "frameworks differ by"), order(1e-9))
    result.table("stops", "Stopped early", rows, kinds)
    result.curves = {name: [one.trace for one in points[name].seeds[0]] for name in NETWORKS}
    return result
