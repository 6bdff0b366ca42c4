"""Which runs are compared, and how far apart their weights are."""

import numpy as np

from experiments.common.training import distance


def lined_up(adapters, precisions, nudged):
    """What each row compares: its name, and both sides as adapter and precision."""
    for precision in precisions:
        yield f"{' and '.join(adapters)}, {precision}", *((adapter, precision) for adapter in adapters)
    yield f"{nudged}, float32", ("torch", "float32"), (nudged, "float32")
    for precision in ("float32", "bfloat16"):
        for adapter in adapters:
            yield f"{adapter}, {precision} and float64", (adapter, "float64"), (adapter, precision)


def apart(points, one, other, setting, updates):
    """The median over the seeds of the largest difference of any weight."""
    sides = (points[*side, setting, updates].runs for side in (one, other))
    return float(np.median([distance(a.trace, b.trace) for a, b in zip(*sides)]))
