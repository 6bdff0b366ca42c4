"""Dropout by masks that are the same in every framework."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import rshift
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from xframe.tasks.layers.layer import Layer, Shape

Shift = Callable[[Any, int], Any]
MASK = 0xFFFFFFFF  # 32 bits: products of ``mix`` stay below 2⁶³


def mix(x: Any, shift: Shift = rshift) -> Any:
    """A permutation of the 32-bit numbers that looks random, of an int or of an int64 array of any framework.

    It is hash32 "lowbias" with 16, 21f0aaad, 15, 735a2d97, 15, whose bias is the least known of its kind.
    """
    x = ((x ^ shift(x, 16)) * 0x21F0AAAD) & MASK
    x = ((x ^ shift(x, 15)) * 0x735A2D97) & MASK
    return x ^ shift(x, 15)


class Mask(NamedTuple):
    """Which elements a layer keeps, by integers alone. Arrays are int64, of any framework."""

    key: int
    threshold: int  # what a kept element's number is at least

    def kept(self, step: Any, rows: Any, elements: Any, shift: Shift = rshift) -> Any:
        """For each row (rows, 1) and each of ``elements`` (elements,), made by ``spread``; ``shift``: to the right."""
        a = mix(mix((step & MASK) ^ self.key, shift) ^ rows, shift)
        b = mix(a ^ 0x9E3779B9, shift)
        return mix(((elements + b) & MASK) ^ a, shift) >= self.threshold


def spread(elements: Any) -> Any:
    """What of their numbers depends on the elements, from their places in a sample, each below 2³²."""
    return (elements * 0x2545F491) & MASK


@dataclass(frozen=True, slots=True, repr=False)
class Dropout(Layer):
    """In training ``x · kept / (1 − rate)``, with kept 0 with probability rate and else 1; in validation x.

    Which elements are dropped is a function of the seed, the layer's name, the number of the training step, the row in
    its batch, and the element in its sample, the last axis fastest; nothing is drawn from a framework's random numbers.
    With ``mix`` and 32-bit unsigned arithmetic: ``a = mix(mix(step ^ key) ^ row)``, ``b = mix(a ^ 0x9E3779B9)``, and an
    element is kept where ``mix((element · 0x2545F491 + b) ^ a) ≥ round(rate · 2³²)``; the key is that of ``mask``.
    step () counts the training steps before this one, those that only accumulate included, in integers; it has no
    gradient.

    Attributes:
        name: what the masks belong to: in a model the layer's canonical name, unless another is set.
    """

    buffers: ClassVar[Mapping[str, int]] = MappingProxyType({"step": 0})
    rate: float
    seed: int = 0
    name: str = ""

    @property
    def mask(self) -> Mask:
        """What decides of its elements."""
        key = int(mix(mix(self.seed & MASK) ^ mix((self.seed >> 32) & MASK) ^ zlib.crc32(self.name.encode())))
        return Mask(key, round(self.rate * 2**32))

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"step": ()}

    def named(self, name: str) -> Layer:
        return self if self.name else replace(self, name=name)
