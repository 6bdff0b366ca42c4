"""Keras' fit, a GradientTape, a PyTorch loop and Lightning on one plan: counts, time, result."""

from importlib.util import find_spec

import numpy as np

from experiments.common.results import EXACT, TIME, about, order
from experiments.common.statistics import INTERVAL, mean
from experiments.common.tasks import named
from experiments.common.training import Trial

LOOPS = {
    "PyTorch loop": "torch:loader",
    "Lightning": "torch:lightning",
    "GradientTape": "tensorflow:function",
    "Keras fit": "tensorflow:fit",
}
PLANS = {"no windows": {}, "windows of 4 steps": {"gradient_accumulation_steps": 4, "loss_normalization": "window"}}
KINDS = {
    **dict.fromkeys(("plan", "loop", "steps", "updates", "samples seen", "certificate", "as PyTorch"), EXACT),
    "loss held out": about(0.01),
    "accuracy held out": about(0.005),
    "from PyTorch's loss": order(1e-4),
    "seconds": TIME,
}


def run(lab):
    seeds = lab.seeds(4)
    loops = {name: loop for name, loop in LOOPS.items() if name != "Lightning" or find_spec("lightning")}
    result = lab.result(
        "Keras' fit, a GradientTape, a PyTorch loop and Lightning on one plan: the same training?",
        f"""The perceptron on 1,437 digits, 10 epochs of batch 64, SGD with a learning rate of 0.1, in float32, one
        thread; then the same in windows of 4 steps, which the plan flushes at the end of each epoch, all gradients
        divided by 4. Each trainer gets the plan as its own settings, and counts by itself. {len(seeds)} seeds of
        starting weights and order; {INTERVAL}. *From PyTorch's loss*: the largest difference of the held-out loss
        from the PyTorch loop's on the same seed. *Seconds*: of a whole run, the median over the seeds, start of the
        trainer and compilation included, imports not.""",
    )
    if "Lightning" not in loops:
        result.setting += " Lightning was not installed."
    runs = lab.train(
        Trial(
            {"batch_size": 64, "epochs": 10, "seed": seed, "validation_every": 10, **PLANS[plan]},
            named("digits", seed=seed),
            loop,
            labels={"at": (plan, name)},
        )
        for plan in PLANS
        for name, loop in loops.items()
        for seed in seeds
    )
    rows = []
    for plan in PLANS:
        by_loop = {name: [one for one in runs if one["at"] == (plan, name)] for name in loops}
        base = by_loop["PyTorch loop"]
        for name, ours in by_loop.items():
            apart = [abs(a.last.loss - b.last.loss) for a, b in zip(ours, base)]
            rows.append(
                {
                    "plan": plan,
                    "loop": name,
                    "steps": ours[0].counts.num_steps,
                    "updates": ours[0].counts.num_updates,
                    "samples seen": ours[0].counts.samples_seen,
                    "certificate": ours[0].trace.certificate[:12],
                    "as PyTorch": all(a.trace.certificate == b.trace.certificate for a, b in zip(ours, base)),
                    **mean("loss held out", [one.last.loss for one in ours]),
                    **mean("accuracy held out", [one.last.accuracy for one in ours]),
                    "from PyTorch's loss": None if ours is base else max(apart),
                    "seconds": float(np.median([one.seconds for one in ours])),
                }
            )
    result.table("loops", "Each loop", KINDS, rows)
    return result
