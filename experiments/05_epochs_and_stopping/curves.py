"""What is read from a curve of held-out losses: where it is best, and by how much a stop was decided."""

import math

import numpy as np

from experiments.common.grid import BOTH
from experiments.common.statistics import mean
from xframe.plan.stopping import EarlyStopping


def losses(trace):
    return np.array([validation.loss for validation in trace.validations])


def fitted(name, point):
    """A network's row: what it learned by heart, its best epoch, and what was left of that in the end."""
    pairs = [[one.trace for one in runs] for runs in point.seeds]
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


def stopped(precision, seed, *runs):
    """A seed's row: when either framework stopped, and by what margin."""
    one, other = (each.trace for each in runs)
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
