"""Which sample it is, by its content: prints, the same in NumPy, torch and TensorFlow.

A print is three int64 for each sample of a batch. The first is an exact hash. Float values count as float32, whose bits
are hashed; zero has one sign, NaN one form, and what is smaller than the least normal float32 is zero. Integers and
booleans count by value. So float64 and float32 of equal values have one hash, as all integer types have, and shapes
(B,) and (B, 1). The other two hold four float32 numbers by which samples are *close*: projections of the values onto
fixed random directions, or, for the kind ``layout``, sums that do not depend on the order of the values, so that
channels may come first or last. Zeros at a sample's end change nothing: padding may be longer in one of two runs.

This is the definition, in NumPy; ``identity.py`` of an adapter computes the same where the data lies.

    word = v ^ (v >> 16)                   v: the float32's bits as a signed integer, or the integer itself
    hash = sum of word[i] * odd[i % PERIOD] * fold[i // PERIOD]                                     (mod 2^64)
    projection = sum of value[i] * direction[i % PERIOD] * fold_direction[i // PERIOD]              (float64)

The shift brings a float's high bits down, for low ones are often zero, and zeros at the end of all words would be zeros
at the end of all hashes. Coefficients come from Philox streams of their own: no random number of the script's is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from xframe.errors import unknown

Kind = Literal["index", "exact", "close", "layout"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WIDTH = 3  # int64 of a print
PERIOD = 1 << 13
LEAST_NORMAL = float(np.finfo(np.float32).smallest_normal)
LARGEST_SMALL = float(np.nextafter(np.float32(LEAST_NORMAL), np.float32(0)))  # the largest that counts as zero
NAN_BITS = 0x7FC00000
UNKNOWN = NAN_BITS << 32 | NAN_BITS  # two NaN: of the kind ``exact`` nothing says what is close

Prints = NDArray[np.int64]


@cache
def coefficients() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of a period: odd numbers, of shape (PERIOD,), and four directions, of shape (PERIOD, 4)."""
    return _raw(1, PERIOD).view(np.int64) | 1, _directions(2, PERIOD)


@cache
def folds(count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of the first so many periods: odd numbers, of shape (count,), and factors, of shape (count, 4)."""
    odd, directions = _raw(3, count).view(np.int64) | 1, _directions(4, count)
    odd[:1], directions[:1] = 1, 1.0
    return odd, directions


def _raw(stream: int, count: int) -> NDArray[np.uint64]:
    return np.random.Philox(key=[0x7866_7261_6D65, stream]).random_raw(count)


def _directions(stream: int, count: int) -> NDArray[np.float64]:
    """Evenly drawn, of mean 0 and variance 1."""
    drawn = (_raw(stream, 4 * count) >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0
    scaled: NDArray[np.float64] = drawn.reshape(count, 4) * 3.0**0.5
    return scaled


def checked_kind(identity: str) -> Kind:
    """One of ``KINDS``.

    Raises:
        UsageError: it is none.
    """
    for kind in KINDS:
        if identity == kind:
            return kind
    raise unknown("identity", identity, KINDS)


def stated(kind: Kind, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Metadata of a trace whose prints are of that kind."""
    return {"identity": kind, **(metadata or {})}


def prints(data: Any, kind: Kind = "close") -> Prints | None:
    """The prints of a batch, of shape (B, 3): of an array, or of several in lists or by name, whose values are taken
    one array after the other, by sorted names.

    None if there is nothing numeric in it, or if its arrays have different numbers of rows.
    """
    arrays = [np.asarray(leaf) for leaf in leaves(data)]
    arrays = [array for array in arrays if array.ndim and array.dtype.kind in "fiub"]
    if not arrays or len({len(array) for array in arrays}) > 1:
        return None
    flat = [array.reshape(len(array), -1) for array in arrays]
    made = np.zeros((len(arrays[0]), WIDTH), dtype=np.int64)
    with np.errstate(all="ignore"):
        words = np.concatenate([_words(values) for values in flat], axis=1)
        made[:, 0] = _folded(words, *(table[0] for table in (coefficients(), folds(_periods(words)))))
        if kind != "exact":
            numbers = np.concatenate([values.astype(np.float64) for values in flat], axis=1)
            made[:, 1:] = packed(_sums(numbers) if kind == "layout" else _projected(numbers))
        else:
            made[:, 1:] = UNKNOWN
    return made


def leaves(data: Any) -> Iterator[Any]:
    """What stands in nested lists, tuples and mappings, these by sorted names; None is nothing."""
    if isinstance(data, (list, tuple)):
        for one in data:
            yield from leaves(one)
    elif isinstance(data, Mapping) or (hasattr(data, "keys") and hasattr(data, "__getitem__")):
        for name in sorted(data.keys(), key=str):
            yield from leaves(data[name])
    elif data is not None:
        yield data


def _periods(words: NDArray[Any]) -> int:
    return max(1, -(-int(words.shape[1]) // PERIOD))


def _words(values: NDArray[Any]) -> NDArray[np.int64]:
    if values.dtype.kind != "f":
        words = values.astype(np.int64)
    else:
        single = values.astype(np.float32)
        bits = single.view(np.int32)
        bits = np.where(np.abs(single) < LEAST_NORMAL, 0, np.where(np.isnan(single), NAN_BITS, bits))
        words = bits.astype(np.int64)
    return words ^ (words >> 16)


def _folded(words: NDArray[np.int64], odd: NDArray[np.int64], fold: NDArray[np.int64]) -> NDArray[np.int64]:
    total = np.zeros(len(words), dtype=np.int64)
    for index in range(len(fold)):
        part = words[:, index * PERIOD : (index + 1) * PERIOD]
        total += (part @ odd[: part.shape[1]]) * fold[index]
    return total


def _projected(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    (_, directions), (_, fold) = coefficients(), folds(_periods(numbers))
    total = np.zeros((len(numbers), 4))
    for index in range(len(fold)):
        part = numbers[:, index * PERIOD : (index + 1) * PERIOD]
        total += (part @ directions[: part.shape[1]]) * fold[index]
    return total


def _sums(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Four numbers of the unit of the values, in which these may come in any order."""
    squares = (numbers * numbers).sum(axis=1)
    some, norm = np.where(squares == 0, 1.0, squares), np.sqrt(squares)
    cubes, signed = (numbers**3).sum(axis=1), (numbers * np.abs(numbers)).sum(axis=1)
    return np.stack([numbers.sum(axis=1), norm, cubes / some, signed / np.sqrt(some)], axis=1)


def packed(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Four numbers a sample as two int64."""
    return np.ascontiguousarray(numbers, dtype="<f4").view("<i8")


def canonical(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Prints one after the other, in which each NaN has one form, whatever made it."""
    floats = values.view("<f4").reshape(-1, 2 * WIDTH)[:, 2:]
    unlike = np.isnan(floats)
    if not unlike.any():
        return values
    made = values.copy()
    made.view("<f4").reshape(-1, 2 * WIDTH)[:, 2:][unlike] = np.nan
    return made
