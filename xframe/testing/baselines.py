"""What people compare two training runs by today, judged on the same runs as ``xframe.compare``.

Each baseline gets what it asks for from the traces, as a script would log it, and says whether two runs differ.
None of them can say where two runs diverge, or why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xframe.trace.trace import Trace


@dataclass(frozen=True, eq=False)
class Features:
    """Sums over each sample's features, from which those over any batch follow."""

    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    width: int

    @classmethod
    def of(cls, features: NDArray[np.float64]) -> Features:
        """From features of shape (samples, ...)."""
        rows = np.asarray(features, dtype=np.float64).reshape(len(features), -1)
        return cls(rows.sum(axis=1), (rows**2).sum(axis=1), rows.shape[1])


@dataclass(frozen=True, eq=False)
class Logged:
    """What a run's log has."""

    totals: tuple[int, int, int]  # steps, updates and samples
    losses: NDArray[np.float64]  # one a step
    means: NDArray[np.float64]  # of the features in each batch, over all of its elements
    norms: NDArray[np.float64]  # likewise

    @classmethod
    def of(cls, trace: Trace, features: Features) -> Logged:
        """What a script would log of that run on these features."""
        batches = [trace.ids(i) for i in range(trace.num_rows)]
        updates = int(trace.column("updates")[-1]) if batches else 0
        return cls(
            (len(batches), updates, sum(map(len, batches))),
            np.asarray(trace.column("loss"), dtype=np.float64),
            np.array([features.sums[ids].mean() / features.width for ids in batches]),
            np.array([np.sqrt(features.squares[ids].sum()) for ids in batches]),
        )


def _differ(a: NDArray[np.float64], b: NDArray[np.float64], rtol: float) -> bool:
    return len(a) != len(b) or not np.allclose(a, b, rtol=rtol, atol=0, equal_nan=True)


# Each says whether the two runs differ.
BASELINES: Mapping[str, Callable[[Logged, Logged], bool]] = {
    "totals": lambda a, b: a.totals != b.totals,
    "loss curve rtol 1e-5": lambda a, b: _differ(a.losses, b.losses, 1e-5),
    "loss curve rtol 1e-2": lambda a, b: _differ(a.losses, b.losses, 1e-2),
    "batch means and norms": lambda a, b: _differ(a.means, b.means, 1e-5) or _differ(a.norms, b.norms, 1e-5),
}


def differs(a: Logged, b: Logged) -> dict[str, bool]:
    """Whether each baseline calls the two runs different."""
    return {name: baseline(a, b) for name, baseline in BASELINES.items()}
