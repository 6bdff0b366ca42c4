"""A learning rate that falls along half a cosine: what its clock ticks by, and for how many ticks it was made."""

from itertools import product

from experiments.common.grid import Setup

CLOCKS = "epochs", "updates", "steps"
HORIZONS = {"epochs": 20, "updates": 120, "steps": 460, "samples": 28740}  # 23 steps and 6 updates in an epoch
PLAN = {"batch_size": 64, "epochs": 20, "gradient_accumulation_steps": 4, "validation_every": 20}


def run(lab):
    seeds = lab.seeds(4)
    result = lab.result(seeds)
    points = lab.grid({at: setup(*at) for at in product(CLOCKS, HORIZONS)}, seeds)
    rows = [measured(*at, point) for at, point in points.items()]
    result.table("clocks", "Each clock, with each length that a schedule may be made for", rows)
    result.curves = {at: [one.trace.column("lr") for one in point.seeds[0]] for at, point in points.items()}
    return result


def setup(clock, unit):
    return Setup({**PLAN, "schedule_clock": clock}, "scheduled", {"peak": 0.5, "ticks": HORIZONS[unit]})


def measured(clock, unit, point):
    return {
        "clock": clock,
        "made for": unit,
        "ticks made": HORIZONS[unit],
        "ticks due": point.counted(clock)[clock],
        "last rate": f"{point.trace.column('lr')[-1]:.4f}",
        "alike": point.alike,
        **point.held_out(),
        "frameworks differ by": point.apart,
    }
