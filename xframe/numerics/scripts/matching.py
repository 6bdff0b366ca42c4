"""Which captured steps of two scripts can be judged beside each other: the same update, made of the same batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.state.record import Record

Arrays = Mapping[str, NDArray[Any]]

_ROUNDED = 16  # units in the last place by which two scripts' features may differ that scale the same data


class Match(NamedTuple):
    """Two captured steps of the same update.

    Attributes:
        reference, candidate: the two; arrays of the candidate's batch in the reference's layout where it is the same.
        features, targets: whether these are the same numbers; None where one of the two has none.
        weights: whether both steps began from the same ones: ``equal`` bit by bit, ``near`` as rounding leaves two
            runs that began equal, ``other``, or ``unknown``.
        apart: by how much the weights differ, as a share of each tensor's largest.
        same_ids: the same samples by their indices; None where one of the two has none.
    """

    reference: Record
    candidate: Record
    features: bool | None
    targets: bool | None
    weights: str
    apart: float
    same_ids: bool | None

    @property
    def sides(self) -> tuple[Record, Record]:
        """Both."""
        return self.reference, self.candidate

    @property
    def same_batch(self) -> bool:
        """Whether features are the same, or the samples where these are not known; targets are judged."""
        return bool(self.same_ids) if self.features is None else self.features


NEAR = 1e-3  # beyond that weights are no rounding of each other


def update(record: Record) -> int:
    """How many updates came before it; of one that does not state that, its step."""
    known = {} if record.before is None else record.before.numbers
    return int(known.get("updates", record.step))


def matched(reference: Record, candidate: Record) -> Match:
    """Two captured steps of the same update, with common names and layouts."""
    ours, theirs = (one.stages.get("batch", {}) for one in (reference, candidate))
    features, targets = _same(ours, theirs, "features"), _same(ours, theirs, "targets")
    same_ids = bool(np.array_equal(ours["ids"], theirs["ids"])) if "ids" in ours and "ids" in theirs else None
    if same_ids is None and features is False and targets and _scaled(ours, theirs):
        same_ids = True  # the same samples, of which one script scales the features otherwise
    weights, apart = _weights(reference, candidate)
    return Match(reference, candidate, features, targets, weights, apart, same_ids)


def _scaled(ours: Arrays, theirs: Arrays) -> bool:
    """Whether the one's features are the other's times a number."""
    one, other = (np.asarray(side.get("features", np.zeros(0)), np.float64) for side in (ours, theirs))
    if one.shape != other.shape or one.size < 2 or not one.any():
        return False
    factor = float((one * other).sum() / (one * one).sum())
    return bool(factor and np.abs(other - factor * one).max() <= 1e-5 * np.abs(other).max())


def _same(ours: Arrays, theirs: Arrays, what: str) -> bool | None:
    """Whether that part of the batch is the same, in whichever layout and however often it was taken."""
    sides = [[held for name, held in side.items() if name.partition("/")[0] == what] for side in (ours, theirs)]
    if not all(sides):
        return None
    return all(any(aligned(a, b) is not None for b in sides[1]) for a in sides[0]) and all(
        any(aligned(a, b) is not None for a in sides[0]) for b in sides[1]
    )


def aligned(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[Any] | None:
    """The other's array in this one's layout if it has the same numbers: as it is, or channels moved; else None.

    A column and a vector are the same numbers; that their shapes differ stays visible to whoever compares these.
    """
    ways = [theirs]
    if ours.ndim == theirs.ndim > 2:
        ways += [np.moveaxis(theirs, 1, -1), np.moveaxis(theirs, -1, 1)]
    elif {ours.ndim, theirs.ndim} == {1, 2} and ours.size == theirs.size:
        ways = [theirs.reshape(ours.shape)]
    return next((way for way in ways if way.shape == ours.shape and _close(ours, way)), None)


def fitted(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[Any]:
    """The other's array in this one's layout, where shapes or the numbers themselves show what turns it into that."""
    turned = aligned(ours, theirs)
    if turned is not None or ours.shape == theirs.shape:
        return theirs if turned is None else turned
    if ours.ndim == theirs.ndim > 2:
        ways = (np.moveaxis(theirs, 1, -1), np.moveaxis(theirs, -1, 1))
        return next((way for way in ways if way.shape == ours.shape), theirs)
    return theirs


def _close(ours: NDArray[Any], theirs: NDArray[Any]) -> bool:
    """Whether the numbers are the same, but for the rounding of two ways to scale them."""
    if ours.dtype.kind != "f" or theirs.dtype.kind != "f":
        return bool(np.array_equal(ours, theirs))
    eps = max(np.finfo(one.dtype).eps for one in (ours, theirs))
    allowed = _ROUNDED * eps * np.maximum(np.abs(ours), np.abs(theirs))
    with np.errstate(invalid="ignore"):
        return bool(((np.abs(ours - theirs) <= allowed) | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all())


def _weights(reference: Record, candidate: Record) -> tuple[str, float]:
    if reference.before is None or candidate.before is None:
        return "unknown", float("inf")
    apart = 0.0
    trained = {**reference.before.parameters, **candidate.before.parameters}
    # What one of the two does not train is among its buffers, or among its parameters all the same.
    ours, theirs = ({**one.before.buffers, **one.before.parameters} for one in (reference, candidate) if one.before)
    if not trained or not {*trained} <= {*ours} & {*theirs}:
        return "unknown", float("inf")
    for name, values in ((name, ours[name]) for name in trained):
        if values.shape != theirs[name].shape:
            return "other", float("inf")
        if values.size:
            largest = float(np.abs(values).max())
            most = float(np.abs(values.astype(np.float64) - theirs[name]).max())
            share = 0.0 if most == 0 else most / largest if largest else float("inf")
            if not np.isfinite(share):
                return "other", float("inf")
            apart = max(apart, share)
    return ("equal" if apart == 0 else "near" if apart <= NEAR else "other"), apart
