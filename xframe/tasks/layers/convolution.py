"""Convolutions, with their kernels not flipped, and Upsample2D.

Strides, dilation and kernel sizes are the same along all axes. See window.py for strides and padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from xframe.errors import UsageError
from xframe.tasks.layers import window
from xframe.tasks.layers.layer import Function, Layer, Shape, divisible, nonempty

Padding = Literal["same", "valid"] | int


@dataclass(frozen=True, slots=True, repr=False)
class _Conv(Layer):
    """What convolutions share: a kernel's places are ``dilation`` apart."""

    filters: int
    kernel_size: int
    activation: Function = "linear"
    padding: Literal["same", "valid", "causal"] | int = "same"
    use_bias: bool = True
    strides: int = 1
    dilation: int = 1
    groups: int = 1

    @property
    def reach(self) -> int:
        """How many places a window spans."""
        return self.dilation * (self.kernel_size - 1) + 1

    def pads(self, inputs: Shape) -> tuple[tuple[int, int], ...]:
        """What is added before and after each axis but the last."""
        return tuple(window.pads(length, self.reach, self.strides, self.padding) for length in inputs[:-1])

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        kernel = (*[self.kernel_size] * (len(inputs) - 1), inputs[-1] // self.groups, self.filters)
        return {"kernel": kernel, **({"bias": (self.filters,)} if self.use_bias else {})}

    def outputs(self, inputs: Shape) -> Shape:
        divisible(self, "channels", inputs[-1], self.groups)
        divisible(self, "filters", self.filters, self.groups)
        return (*window.counts(self, inputs, self.reach, self.strides, self.padding), self.filters)


@dataclass(frozen=True, slots=True, repr=False)
class Conv2D(_Conv):
    """``activation(Σ x[strides · h + dilation · i, strides · w + dilation · j] @ kernel[i, j] + bias)``, x padded.

    Channels and filters are split into ``groups`` of neighbours; a group's filters take its own channels alone.
    kernel (kernel_size, kernel_size, inputs / groups, filters), bias (filters,). Before a BatchNorm it does nothing.
    """

    ranks: ClassVar[tuple[int, ...]] = (3,)


@dataclass(frozen=True, slots=True, repr=False)
class Conv1D(_Conv):
    """``activation(Σ x[strides · t + dilation · i] @ kernel[i] + bias)``, x padded, of (T, channels).

    Padding may also be ``causal``. kernel (kernel_size, inputs / groups, filters), bias (filters,).
    """

    ranks: ClassVar[tuple[int, ...]] = (2,)
    words: ClassVar[dict[str, tuple[str, ...]]] = {"padding": ("same", "valid", "causal")}


@dataclass(frozen=True, slots=True, repr=False)
class DepthwiseConv2D(Layer):
    """Each channel's own convolution, with ``multiplier`` filters; channel c's give channels c · multiplier and on.

    ``activation(Σ x[strides · h + dilation · i, strides · w + dilation · j, c] · kernel[i, j, c, m] + bias)``
    kernel (kernel_size, kernel_size, channels, multiplier), bias (channels · multiplier,).
    """

    ranks: ClassVar[tuple[int, ...]] = (3,)
    kernel_size: int
    multiplier: int = 1
    activation: Function = "linear"
    padding: Padding = "same"
    use_bias: bool = True
    strides: int = 1
    dilation: int = 1

    def conv(self, inputs: Shape) -> Conv2D:
        """The convolution that it is, with as many groups as channels and the kernel's last two axes as one."""
        filters, groups = inputs[-1] * self.multiplier, inputs[-1]
        settings = (self.activation, self.padding, self.use_bias, self.strides, self.dilation)
        return Conv2D(filters, self.kernel_size, *settings, groups)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        shapes = self.conv(inputs).weights(inputs)
        return shapes | {"kernel": (self.kernel_size, self.kernel_size, inputs[-1], self.multiplier)}

    def outputs(self, inputs: Shape) -> Shape:
        return self.conv(inputs).outputs(inputs)


@dataclass(frozen=True, slots=True, repr=False)
class ConvTranspose2D(Layer):
    """The transpose of a convolution: each place of x adds a kernel's worth of places, ``strides`` apart.

    ``y[strides · h + i, strides · w + j] += x[h, w] @ kernel[i, j]``, and ``activation(y + bias)``.
    That has (n − 1) · strides + kernel_size places along an axis of n, of which ``crop`` gives the part that is kept.
    By words, as in Keras: ``valid`` all, ``same`` n · strides, as many cut off at each end, the odd one at the end;
    both have zeros at the end where kernel_size < strides. By a number, as in torch: as many cut off at each end, less
    ``output_padding`` at the end, which may reach beyond it into zeros. kernel (kernel_size, kernel_size, inputs,
    filters), bias (filters,).
    """

    ranks: ClassVar[tuple[int, ...]] = (3,)
    filters: int
    kernel_size: int
    activation: Function = "linear"
    padding: Padding = "same"
    use_bias: bool = True
    strides: int = 1
    output_padding: int = 0

    def __post_init__(self) -> None:
        Layer.__post_init__(self)  # super() does not know a class with slots
        most = self.strides - 1 if isinstance(self.padding, int) else 0
        if self.output_padding > most:
            expected = f"0 to {most}, below the strides" if most else "0, with padding by a word or strides 1"
            raise UsageError("a layer's output_padding", got=self.output_padding, expected=expected)

    @property
    def unsafe(self) -> bool:
        """Whether oneDNN, by which frameworks compute on the CPU, writes outside its memory (seen in 3.x, float32)."""
        return self.kernel_size == 1 and self.strides > 1

    def crop(self, length: int) -> tuple[int, int]:
        """Where along an axis of the sum the kept part begins, and its length, for that many places of x."""
        full = (length - 1) * self.strides + self.kernel_size
        if isinstance(self.padding, int):
            return self.padding, full - 2 * self.padding + self.output_padding
        over = max(self.kernel_size - self.strides, 0)
        return (over // 2, length * self.strides) if self.padding == "same" else (0, length * self.strides + over)

    def weights(self, inputs: Shape) -> dict[str, Shape]:
        kernel = (self.kernel_size, self.kernel_size, inputs[-1], self.filters)
        return {"kernel": kernel, **({"bias": (self.filters,)} if self.use_bias else {})}

    def outputs(self, inputs: Shape) -> Shape:
        return nonempty(self, inputs, (*(self.crop(length)[1] for length in inputs[:-1]), self.filters))


@dataclass(frozen=True, slots=True, repr=False)
class Upsample2D(Layer):
    """``size`` × size places for each, by the ``nearest`` one, or ``bilinear``. No weights.

    Place h of the result lies at (h + 1/2) / size − 1/2 of x; beyond the ends is what is at the ends.
    """

    ranks: ClassVar[tuple[int, ...]] = (3,)
    size: int
    method: Literal["nearest", "bilinear"] = "nearest"

    def shares(self, length: int) -> NDArray[np.float64]:
        """Of each of ``length`` places in each of the result's along an axis, (length · size, length)."""
        places = np.arange(length * self.size)
        at = places // self.size if self.method == "nearest" else (places + 0.5) / self.size - 0.5
        low = np.floor(at).astype(int)
        shares = np.zeros((len(places), length))
        for place, share in ((low, 1 - (at - low)), (low + 1, at - low)):
            np.add.at(shares, (places, np.clip(place, 0, length - 1)), share)
        return shares

    def outputs(self, inputs: Shape) -> Shape:
        return (inputs[0] * self.size, inputs[1] * self.size, inputs[2])
