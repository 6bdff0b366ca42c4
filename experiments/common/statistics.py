"""Means over seeds, with their intervals."""

import numpy as np

INTERVAL = "± is half of the 95 % interval of the mean over the seeds, by Student's t"


def half(values):
    """Half the 95 % interval of the mean, by Student's t; NaN of fewer than two values."""
    from scipy.stats import t

    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return float("nan")
    return float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def mean(name, values):
    """Two cells of a row: the mean, and the interval around it."""
    return {name: float(np.mean(values)), f"{name} ±": half(values)}


def sure(values):
    """Whether the interval of the mean leaves out 0: of paired differences, whether there is one."""
    return abs(float(np.mean(values))) > half(values)
