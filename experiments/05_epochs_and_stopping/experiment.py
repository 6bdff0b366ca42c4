"""Too few and too many epochs, stopping early, and how close rounding came to moving the stop."""

import math

import numpy as np

from experiments.common.lab import BOTH
from experiments.common.results import EXACT, about, order
from experiments.common.statistics import INTERVAL, mean
from experiments.common.tasks import named
from experiments.common.training import Trial
from xframe.plan.stopping import EarlyStopping

SIZES = {"2 units": (2, 0.2), "32 units": (32, 0.2), "256 units": (256, 0.2), "32 units, right labels": (32, 0.0)}
EPOCHS, PATIENCE = 100, 5
PLAN = {"batch_size": 32, "validation_every": 1, "validation_batch_size": 360}
STOPPED = {"early_stopping_patience": PATIENCE, "restore_best": True}
PRECISIONS = "float64", "float32", "bfloat16"


def run(lab):
    seeds, epochs = lab.seeds(4), 10 if lab.small else EPOCHS
    result = lab.result(
        "Underfitting, overfitting, stopping early: and how close did rounding come to moving the stop?",
        f"""A perceptron with one hidden layer, on 240 digits a fifth of whose labels is drawn anew (or none),
        {EPOCHS} epochs of batch 32, SGD with a learning rate of 0.2; after each epoch it is validated on 360 digits
        held out, whose labels are right. torch:eager and tensorflow:block; {len(seeds)} seeds of starting weights and
        order; {INTERVAL}, both frameworks of a seed taken together. The true probabilities of labels so drawn have a
        loss of 0.87. Then the 32 units again, stopped after {PATIENCE}
        validations in a row without improvement. *Closest decision*: the least by which a validation missed or passed
        the best so far, of either framework; *frameworks differ by*: the largest difference of the two in the loss of
        one validation. Where that is more than the closest decision, rounding can move the stop.""",
    )

    def trial(name, seed, adapter, precision, **plan):
        hidden, noise = SIZES[name]
        task = named("noisy", hidden=hidden, noise=noise, rate=0.2, seed=seed)
        labels = {"at": (name, seed, precision, bool(plan))}
        return Trial({**PLAN, "epochs": epochs, "seed": seed, **plan}, task, adapter, precision, labels)

    grid = [(name, seed, "float32", {}) for name in SIZES for seed in seeds]
    grid += [("32 units", seed, precision, STOPPED) for precision in PRECISIONS for seed in seeds]
    runs = lab.train(trial(name, seed, a, precision, **plan) for name, seed, precision, plan in grid for a in BOTH)
    pairs = {one["at"]: (one.trace, other.trace) for one, other in zip(runs[::2], runs[1::2])}
    fits = [fitted(name, [pairs[name, seed, "float32", False] for seed in seeds]) for name in SIZES]
    kinds = {"network": EXACT, **dict.fromkeys([*fits[0]][1:], about(0.02)), "best epoch": about(3, ".1f")}
    result.table("epochs", "After every epoch", {c: k for c, k in kinds.items() if not c.endswith("±")}, fits)
    stops = [stopped(p, seed, *pairs["32 units", seed, p, True]) for p in PRECISIONS for seed in seeds]
    kinds = dict.fromkeys(stops[0], EXACT) | dict.fromkeys(("closest decision", "frameworks differ by"), order(1e-9))
    result.table("stops", "Stopped early", kinds, stops)
    result.curves = {name: pairs[name, 0, "float32", False] for name in SIZES}
    return result


def losses(trace):
    return np.array([validation.loss for validation in trace.validations])


def fitted(name, pairs):
    """A network's row: what it learned by heart, its best epoch, and what was left of that in the end."""
    curves = [(losses(a) + losses(b)) / 2 for a, b in pairs]
    accuracy = [np.mean([[v.accuracy for v in trace.validations] for trace in pair], axis=0) for pair in pairs]
    trained = [np.mean([trace.epochs()["loss"].iloc[-1] for trace in pair]) for pair in pairs]
    return {
        "network": name,
        **mean("training loss at the end", trained),
        **mean("best epoch", [curve.argmin() + 1.0 for curve in curves]),
        **mean("best loss held out", [curve.min() for curve in curves]),
        **mean("loss held out at the end", [curve[-1] for curve in curves]),
        **mean("best epoch's accuracy", [a[curve.argmin()] for a, curve in zip(accuracy, curves)]),
        **mean("accuracy at the end", [a[-1] for a in accuracy]),
    }


def stopped(precision, seed, one, other):
    """A seed's row: when either framework stopped, and by what margin."""
    margins = []
    for trace in (one, other):
        rule = EarlyStopping(trace.plan)
        margins += [rule.see(loss).margin for loss in losses(trace)]
    both = min(len(one.validations), len(other.validations))
    return {
        "precision": precision,
        "seed": seed,
        **{f"{name} stopped after": len(trace.validations) for name, trace in zip(BOTH, (one, other))},
        "same stop": one.certificate == other.certificate,
        "closest decision": min(margin for margin in margins if not math.isnan(margin)),
        "frameworks differ by": float(np.abs(losses(one)[:both] - losses(other)[:both]).max()),
    }
