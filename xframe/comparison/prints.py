"""Prints of samples, as checks read them: of each sample an exact hash, and four numbers that rounding hardly moves.

``xframe.recording.identity`` defines how they are made. A column of prints holds three int64 a sample, one batch after
the other; a batch that is not known has none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.trace.rows import Rows

WIDTH = 3
CLOSE = 1e-5  # of the largest of a sample's numbers, within which two samples are one up to rounding

Floats = NDArray[np.float64]


class Prints(NamedTuple):
    """The prints of consecutive rows.

    Attributes:
        values: of shape (samples, 3).
        counts: samples of each row; 0 where the row's are not known.
        known: which rows have prints.
    """

    values: NDArray[np.int64]
    counts: NDArray[np.int64]
    known: NDArray[np.bool_]

    def of(self, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Those of these rows."""
        return self.values if rows.all() else self.values[np.repeat(rows, self.counts)]


def prints_of(rows: Rows, name: str, length: int) -> Prints:
    """The prints of the first ``length`` rows."""
    values, known = rows.column(name)
    known = np.ones(len(rows), np.bool_) if known is None else known
    counts = np.where(known, rows.batch_size.clip(min=0), 0)[:length]
    return Prints(values[: WIDTH * int(counts.sum())].reshape(-1, WIDTH), counts, known[:length])


def numbers(prints: NDArray[np.int64]) -> Floats:
    """The four numbers of each sample, of shape (samples, 4)."""
    return np.ascontiguousarray(prints[:, 1:], dtype="<i8").view("<f4").reshape(-1, 4).astype(np.float64)


def close(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Which samples are the same up to rounding, by their numbers; none whose numbers are NaN."""
    scale = np.maximum(np.abs(a), np.abs(b)).max(axis=1, initial=0.0)
    with np.errstate(invalid="ignore"):
        near: NDArray[np.bool_] = (np.abs(a - b) <= CLOSE * scale[:, None]).all(axis=1)
    return near


class Line(NamedTuple):
    """``b`` as a multiple of ``a``, shifted by a constant: what is the same for all samples."""

    factor: float
    shifted: bool


def line(a: Floats, b: Floats) -> Line | None:
    """How the numbers of ``b`` follow from those of ``a`` in every sample, by least squares; None if they do not.

    A shift of all values moves each of the four numbers by a constant of its own.
    """
    if len(a) < 3 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    x, y = a - a.mean(axis=0), b - b.mean(axis=0)
    spread = float((x * x).sum())
    scale = max(float(np.abs(b).max()), float(np.finfo(np.float32).tiny))
    if spread <= (CLOSE * float(np.abs(a).max())) ** 2 * a.size:
        return None
    factor = float((x * y).sum()) / spread
    if abs(factor) * float(np.abs(a).max()) < CLOSE * scale or np.abs(y - factor * x).max() > 10 * CLOSE * scale:
        return None
    shifted = bool(np.abs(b - factor * a).max() > 10 * CLOSE * scale)
    if not shifted:  # nothing but the factor: then as closely as all of it shows
        factor = float((a * b).sum() / (a * a).sum())
    return Line(factor, shifted)
