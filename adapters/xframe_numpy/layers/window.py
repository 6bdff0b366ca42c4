"""Windows over images as strided views: for each place in a window, what all windows have there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from xframe_numpy.layers.layer import Array


class Windows(NamedTuple):
    """Windows of ``size`` places, ``dilation`` apart, at every ``strides``-th place; ``counts`` many, per axis."""

    size: tuple[int, int]
    strides: int
    dilation: int
    counts: tuple[int, int]

    def views(self, images: Array) -> Iterator[tuple[tuple[int, int], Array]]:
        """Each place (i, j) in a window, and what stands there: a view (rows, *counts, channels) to read or add to."""
        high, wide = map(range, self.size)
        for place in product(high, wide):
            along = (
                slice(self.dilation * at, self.dilation * at + self.strides * (count - 1) + 1, self.strides)
                for at, count in zip(place, self.counts, strict=True)
            )
            yield place, images[(slice(None), *along)]


def padded(images: Array, pads: tuple[tuple[int, int], ...], value: float = 0) -> Array:
    """Images with so much added before and after their two axes."""
    return np.pad(images, ((0, 0), *pads, (0, 0)), constant_values=value)


def inner(images: Array, pads: tuple[tuple[int, int], ...]) -> Array:
    """What ``padded`` was made of."""
    (top, _), (left, _) = pads
    height, width = (size - sum(pad) for size, pad in zip(images.shape[1:3], pads, strict=True))
    return images[:, top : top + height, left : left + width]
