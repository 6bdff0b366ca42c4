"""Normalisation, by the statistics of a batch or of each sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from xframe.tasks.layers.layer import Layer, Shape, divisible


@dataclass(frozen=True, slots=True, repr=False)
class BatchNorm(Layer):
    """``(x − m) / √(v + epsilon) · scale + bias``, over the last axis' channels.

    In training m and v are the batch's own mean and variance, over its N = rows (· H · W) values a channel, v their
    mean square distance from m, divided by N and not by N − 1. Each training step, one that only accumulates included,
    also moves the running ones, with that same v: ``mean ← momentum · mean + (1 − momentum) · m``, variance likewise.
    These are used in validation; they are weights without a gradient. scale, bias, mean, variance (channels,).
    """

    ranks: ClassVar[tuple[int, ...]] = (1, 3)
    buffers: ClassVar[Mapping[str, int]] = MappingProxyType({"mean": 0, "variance": 1})
    momentum: float = 0.9
    epsilon: float = 1e-5

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return dict.fromkeys(("scale", "bias", "mean", "variance"), inputs[-1:])


@dataclass(frozen=True, slots=True, repr=False)
class LayerNorm(Layer):
    """``(x − m) / √(v + epsilon) · scale + bias``, m and v the last axis' mean and variance. scale, bias (units,)."""

    epsilon: float = 1e-5

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return dict.fromkeys(("scale", "bias"), inputs[-1:])


@dataclass(frozen=True, slots=True, repr=False)
class GroupNorm(Layer):
    """``(x − m) / √(v + epsilon) · scale + bias``, m and v a group's mean and variance, within each sample.

    Channels are split into ``groups`` of neighbours; a group's m and v are over all its channels and places.
    scale, bias (channels,).
    """

    ranks: ClassVar[tuple[int, ...]] = (2, 3)
    groups: int
    epsilon: float = 1e-5

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return dict.fromkeys(("scale", "bias"), inputs[-1:])

    def outputs(self, inputs: Shape) -> Shape:
        divisible(self, "channels", inputs[-1], self.groups)
        return inputs


@dataclass(frozen=True, slots=True, repr=False)
class RMSNorm(Layer):
    """``x / √(q + epsilon) · scale``, with q the mean square over the last axis. scale (units,)."""

    epsilon: float = 1e-5

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        return {"scale": inputs[-1:]}
