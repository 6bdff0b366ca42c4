"""What one side's features or targets are of the other's: other rows, scaled, shifted, turned, rounded, one-hot."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np

from xframe.numerics.naming.pair import Pair
from xframe.numerics.naming.saying import FIXES, caused
from xframe.numerics.naming.trials import Array, Trial, best_first, distance
from xframe.numerics.result import Did, NumericCause
from xframe.precision import rounding
from xframe.state.record import Record

_AXES = 4  # up to which all orders of a sample's axes are tried
_MOST = 1 << 22  # elements of which rows are looked for


def named_batch(reference: Record, candidate: Record, name: str = "features") -> list[Did]:
    """What the candidate's ``features`` or ``targets`` are of the reference's, best first."""
    own, other = (one.stages.get("batch", {}).get(name) for one in (candidate, reference))
    if own is None or other is None or not np.size(own) or not np.size(other):
        return []
    a, b = np.asarray(other, float), np.asarray(own, float)
    share = 4 * rounding(candidate.precision)
    trials = [
        Trial(changes, text, None, settings, distance(made, b, share * max(float(np.abs(b).max()), scale)))
        for changes, text, made, settings, scale in _ways(a, b, name)
        if made.shape == b.shape
    ]
    return best_first(trials, "batch", name)


def causes(pair: Pair) -> Iterator[NumericCause]:
    """Why a batch of the same samples differs."""
    ids = [one.stages.get("batch", {}).get("ids") for one in (pair.reference, pair.candidate)]
    if ids[0] is not None and ids[1] is not None and not np.array_equal(ids[0], ids[1]):
        return
    for name in ("features", "targets"):
        dids = named_batch(pair.reference, pair.candidate, name)
        if dids and not (dids[0].proven and not dids[0].settings["changes"]):
            what = f"the {name} of {pair.names[0]} are the same samples'"
            same = Did("batch", name, None, {"changes": ()}, 0.0, "as they are")
            yield from caused(pair, name, what, [[same], dids], FIXES)


Tried = tuple[tuple[str, ...], str, Array, dict[str, float], float]


def _ways(a: Array, b: Array, name: str) -> Iterator[Tried]:
    yield (), "as they are", a, {}, 0.0
    if name == "targets":
        yield from _of_classes(a, b)
    yield from _of_rows(a, b, name)
    if a.shape == b.shape:
        yield from _of_numbers(a, b, name)
        if a.ndim > 1:
            for axis in range(1, a.ndim):
                yield (f"{name}-flipped",), f"axis {axis} from last to first", np.flip(a, axis), {}, 0.0
            for axis in range(1, a.ndim):
                for by in (1, -1) if a.shape[axis] > 1 else ():  # of a single place nothing is left to compare
                    text = f"shifted by one along axis {axis}"
                    yield (f"{name}-shifted-along",), text, _moved(a, b, axis, by), {}, 0.0
    if 2 < a.ndim <= _AXES + 1:
        for order in permutations(range(1, a.ndim)):
            if order != tuple(range(1, a.ndim)):
                text = f"their axes in the order {(0, *order)}"
                yield (f"{name}-transposed",), text, a.transpose(0, *order), {}, 0.0
                turned = a.transpose(0, *order)
                if turned.shape != b.shape and turned.size == b.size:
                    yield (f"{name}-transposed",), f"{text}, reshaped", turned.reshape(b.shape), {}, 0.0
    if a.size == b.size and a.shape != b.shape:
        yield (f"{name}-reshaped",), f"reshaped to {b.shape}", a.reshape(b.shape), {}, 0.0


def _moved(a: Array, b: Array, axis: int, by: int) -> Array:
    """Shifted along an axis; what came in at the end is as it is."""
    moved = np.roll(a, by, axis)
    edge = [slice(None)] * a.ndim
    edge[axis] = slice(0, 1) if by > 0 else slice(-1, None)
    moved[tuple(edge)] = b[tuple(edge)]
    return moved


def _of_rows(a: Array, b: Array, name: str) -> Iterator[Tried]:
    """Each of the candidate's rows is some of the reference's."""
    if (
        a.shape[1:] != b.shape[1:]
        or len(a) != len(b)
        or a.size > _MOST
        or (a.reshape(len(a), -1) == a[:1].ravel()).all()
    ):
        return
    whole = name == "features"
    where = {row.tobytes(): at for at, row in reversed(list(enumerate(np.ascontiguousarray(a))))}
    found = [where.get(row.tobytes()) for row in np.ascontiguousarray(b)]
    if all(at is not None for at in found):
        order = np.array(found)
        if whole or sorted(map(bytes, a)) == sorted(map(bytes, b)):
            yield (f"{name}-of-other-rows",), "those of other rows of the batch", a[order], {}, 0.0


def _of_classes(a: Array, b: Array) -> Iterator[Tried]:
    if a.shape == b.shape and (a == np.trunc(a)).all():
        classes = {float(one): float(other) for one, other in zip(a.ravel(), b.ravel(), strict=True)}
        if {*classes.values()} == {*classes} and len(classes) > 1:
            text = f"other numbers for classes: {', '.join(f'{one:g} as {other:g}' for one, other in classes.items())}"
            yield ("targets-renumbered",), text, np.vectorize(classes.get)(a).astype(float), {}, 0.0
    if b.ndim == a.ndim + 1 and b.shape[-1] > 1:
        yield (
            ("targets-one-hot",),
            "one-hot in the place of indices",
            np.eye(b.shape[-1])[_indices(a, b.shape[-1])],
            {},
            0.0,
        )
    if a.ndim == b.ndim + 1 and a.shape[-1] > 1:
        yield ("targets-one-hot",), "indices in the place of one-hot", a.argmax(axis=-1).astype(float), {}, 0.0


def _indices(a: Array, classes: int) -> Array:
    indices: Array = np.clip(a.astype(int), 0, classes - 1)
    return indices


def _of_numbers(a: Array, b: Array, name: str) -> Iterator[Tried]:
    """Rounded, or times a factor and shifted: by one for all, or one for each channel."""
    for kind in (np.float16, np.float32):
        with np.errstate(over="ignore"):
            yield (f"{name}-rounded",), f"rounded to {np.dtype(kind).name}", a.astype(kind).astype(float), {}, 0.0
    yield (f"{name}-rounded",), "rounded to whole numbers", np.trunc(a), {}, 0.0
    if len(np.unique(a)) < (3 if name == "features" else 2):
        return  # a factor and a shift make anything of two numbers
    size = float(np.abs(a).max())
    square = float((a**2).sum())
    if square and name == "features":
        factor = float((a * b).sum()) / square
        text = f"times {factor:.9g}"
        yield (f"{name}-scaled",), text, factor * a, {"factor": factor}, abs(factor) * size
    middle, spread = float(a.mean()), float(a.var())
    if not spread:
        return
    factor = float(((a - middle) * (b - b.mean())).mean()) / spread
    shift = float(b.mean()) - factor * middle
    scale = abs(factor) * size + abs(shift)
    if abs(factor - 1) < 1e-9:
        yield (f"{name}-shifted",), f"plus {shift:.9g}", a + shift, {"shift": shift}, scale
    elif abs(shift) <= 1e-9 * scale:
        yield (f"{name}-scaled",), f"times {factor:.9g}", factor * a, {"factor": factor}, scale
    else:
        text = f"times {factor:.9g} plus {shift:.9g}"
        settings = {"factor": factor, "shift": shift}
        yield (f"{name}-scaled",), text, factor * a + shift, settings, scale
    if a.ndim > 1 and a.shape[-1] > 1 and name == "features" and a.size > 3 * a.shape[-1]:
        yield from _of_channels(a, b, name, size)


def _of_channels(a: Array, b: Array, name: str, size: float) -> Iterator[Tried]:
    axes = tuple(range(a.ndim - 1))
    spread = a.var(axis=axes)
    with np.errstate(all="ignore"):
        factors = np.where(spread > 0, ((a - a.mean(axes)) * (b - b.mean(axes))).mean(axes) / spread, 1.0)
    shifts = b.mean(axes) - factors * a.mean(axes)
    scale = float(np.abs(factors).max()) * size + float(np.abs(shifts).max())
    if np.ptp(factors) <= 1e-9 * scale and np.ptp(shifts) <= 1e-9 * scale:
        return
    yield (f"{name}-normalised",), "times and plus a number for each channel", factors * a + shifts, {}, scale
