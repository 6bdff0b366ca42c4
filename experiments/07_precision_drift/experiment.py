"""One training in float32, bfloat16 and float64 in both frameworks: how far apart are they, and when?"""

import numpy as np

from experiments.common.lab import BOTH
from experiments.common.results import EXACT, order
from experiments.common.tasks import named
from experiments.common.training import Trial, distance

UPDATES = 1, 10, 100, 500
SETTINGS = {"calm": {"rate": 0.1}, "restless": {"rate": 0.5, "momentum": 0.9}}
PRECISIONS = "float64", "float32", "bfloat16"
MEASURED = {f"after {updates}": order() for updates in UPDATES}


def run(lab):
    seeds, steps = lab.seeds(3), UPDATES[:3] if lab.small else UPDATES
    result = lab.result(
        "How do float64, float32 and bfloat16 runs of both frameworks drift apart?",
        f"""The perceptron with one layer of 32, on 1,437 digits in batches of 64, trained for 1, 10, 100 and 500
        updates: *calm* with a learning rate of 0.1, *restless* with 0.5 and a momentum of 0.9. torch:eager and
        tensorflow:block from the same starting weights, with the same samples in each step, one thread. *Apart* is
        the largest difference of any weight, relative to the largest weight; the median over {len(seeds)} seeds of
        starting weights and order. *Nudged* is torch against torch, its starting weights each moved to a neighbouring
        float32 number, which shows what rounding alone becomes.""",
    )

    def trials(kind, precision, adapter, task):
        for setting, options in SETTINGS.items():
            for seed in seeds:
                for updates in steps:
                    plan = {"batch_size": 64, "updates": updates, "seed": seed}
                    labels = {"run": kind, "precision": precision, "at": (setting, seed, updates)}
                    yield Trial(plan, named(task, seed=seed, **options), adapter, precision, labels)

    asked = [one for p in PRECISIONS for adapter in BOTH for one in trials(adapter, p, adapter, "digits")]
    asked += trials("nudged", "float32", "torch", "nudged")
    runs = {(one["run"], one["precision"], one["at"]): one.trace for one in lab.train(asked)}

    def apart(one, other, setting, updates):
        values = [distance(runs[*one, (setting, s, updates)], runs[*other, (setting, s, updates)]) for s in seeds]
        return float(np.median(values))

    pairs = {f"torch and tensorflow, {p}": [(adapter, p) for adapter in BOTH] for p in PRECISIONS}
    pairs["torch nudged, float32"] = [("torch", "float32"), ("nudged", "float32")]
    pairs |= {f"{adapter}, float32 and float64": [(adapter, p) for p in PRECISIONS[:2]] for adapter in BOTH}
    pairs |= {f"{adapter}, bfloat16 and float64": [(adapter, p) for p in PRECISIONS[::2]] for adapter in BOTH}
    rows = [
        {"setting": s, "runs": name, **{f"after {u}": apart(*pair, s, u) for u in steps}}
        for s in SETTINGS
        for name, pair in pairs.items()
    ]
    kinds = {"setting": EXACT, "runs": EXACT, **{name: MEASURED[name] for name in MEASURED if name in rows[0]}}
    result.table("weights", "How far apart the weights are after so many updates", kinds, rows)
    longest = {
        precision: [runs[a, precision, ("calm", 0, steps[-1])].column("loss") for a in BOTH] for precision in PRECISIONS
    }
    wild = {
        precision: [runs[a, precision, ("restless", 0, steps[-1])].column("loss") for a in BOTH]
        for precision in PRECISIONS
    }
    result.curves = {"calm": longest, "restless": wild}
    same = {a.certificate == b.certificate for (_, p, at), a in runs.items() for b in [runs["torch", p, at]]}
    result.table(
        "steps",
        "What they did",
        {"runs": EXACT, "all alike": EXACT},
        [{"runs": len(runs), "all alike": same == {True}}],
    )
    return result
