"""Prints of samples, computed where TensorFlow has them: the definition is ``xframe.recording.identity``.

The same eagerly, in a graph and compiled by XLA. Floats are taken apart as integers, for TensorFlow's own threads take
the smallest for zero, and XLA assumes that there is no NaN. Nothing is read back, and no random number is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import tensorflow as tf

from xframe.recording.identity import NAN_BITS, PERIOD, UNKNOWN, Kind, coefficients, folds

_MOST_FOLDS = 1 << 12


def prints(tensors: Sequence[Any], kind: Kind = "close") -> Any:
    """The prints of a batch, of shape (B, 3); None if there is nothing numeric in it.

    The tensors must have the same number of rows.
    """
    numeric = [tensor for tensor in tensors if _numeric(tensor)]
    if not numeric:
        return None
    flat = [_flat(tensor) for tensor in numeric]
    words = _joined([_words(values) for values in flat])
    hashes = _hash(words)
    if kind == "exact":
        return tf.pad(hashes[:, None], [[0, 0], [0, 2]], constant_values=UNKNOWN)
    numbers = _joined([tf.cast(values, tf.float64) for values in flat])
    near = tf.cast(_sums(numbers) if kind == "layout" else _projected(numbers), tf.float32)
    packed = tf.bitcast(tf.reshape(near, [-1, 2, 2]), tf.int64)
    return tf.concat([hashes[:, None], packed], axis=1)


def _numeric(tensor: Any) -> bool:
    if isinstance(tensor, (tf.RaggedTensor, tf.SparseTensor)) or not hasattr(tensor, "dtype"):
        return False
    kind = tf.as_dtype(tensor.dtype)
    shape = getattr(tensor, "shape", None)
    return (kind.is_floating or kind.is_integer or kind.is_bool) and (shape is None or shape.rank != 0)


def _flat(tensor: Any) -> Any:
    shape = tensor.shape
    size = -1
    if shape.rank is not None and all(dimension is not None for dimension in shape[1:]):
        size = 1
        for dimension in shape[1:]:
            size *= int(dimension)
    if size == -1:
        return tf.reshape(tensor, tf.stack([tf.shape(tensor)[0], tf.reduce_prod(tf.shape(tensor)[1:])]))
    return tensor if shape.rank == 2 else tf.reshape(tensor, [-1 if shape[0] is None else shape[0], size])


def _joined(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)


def _words(values: Any) -> Any:
    if tf.as_dtype(values.dtype).is_floating:
        bits = tf.bitcast(tf.cast(values, tf.float32), tf.int32)
        size = bits & 0x7FFFFFFF
        bits = tf.where(size < 0x00800000, 0, tf.where(size > 0x7F800000, NAN_BITS, bits))
        return tf.cast(bits ^ tf.bitwise.right_shift(bits, 16), tf.int64)
    words = tf.cast(values, tf.int64)
    return words ^ tf.bitwise.right_shift(words, tf.constant(16, tf.int64))


@cache
def _on_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def _product(words: Any, odd: Any) -> Any:
    """Of words of shape (…, n) and numbers of shape (n,), mod 2^64."""
    if _on_gpu():  # which multiplies no matrices of integers
        return tf.reduce_sum(words * odd, axis=-1)
    return tf.linalg.matvec(words, odd)


def _periods(values: Any) -> tuple[Any, Any]:
    """Values of shape (B, n) as (B, periods, PERIOD), zeros at the end, and how many periods."""
    rows, size = tf.unstack(tf.shape(values))
    count = -(-size // PERIOD)
    padded = tf.pad(values, [[0, 0], [0, count * PERIOD - size]])
    return tf.reshape(padded, tf.stack([rows, count, PERIOD])), count


def _hash(words: Any) -> Any:
    odd, size = coefficients()[0], words.shape[1]
    if size is not None and size <= PERIOD:
        return _product(words, tf.constant(odd[:size]))
    parts, count = _periods(words)
    by_period = tf.reduce_sum(parts * tf.constant(odd), axis=2)
    return tf.reduce_sum(by_period * tf.constant(folds(_most(size))[0])[:count], axis=1)


def _projected(numbers: Any) -> Any:
    directions, size = coefficients()[1], numbers.shape[1]
    if size is not None and size <= PERIOD:
        return tf.matmul(numbers, tf.constant(directions[:size]))
    parts, count = _periods(numbers)
    by_period = tf.einsum("bpn,nk->bpk", parts, tf.constant(directions))
    return tf.reduce_sum(by_period * tf.constant(folds(_most(size))[1])[:count], axis=1)


def _most(size: int | None) -> int:
    return _MOST_FOLDS if size is None else -(-size // PERIOD)


def _sums(numbers: Any) -> Any:
    squares = numbers * numbers
    total, square, cubes, signed = (
        tf.reduce_sum(values, axis=1) for values in (numbers, squares, squares * numbers, numbers * tf.abs(numbers))
    )
    some = tf.where(square == 0, tf.ones_like(square), square)
    return tf.stack([total, tf.sqrt(square), cubes / some, signed / tf.sqrt(some)], axis=1)
