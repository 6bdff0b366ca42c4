"""One value for each window or each whole image. See window.py for strides and padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from xframe.errors import UsageError
from xframe.tasks.layers import window
from xframe.tasks.layers.layer import Layer, Shape


@dataclass(frozen=True, slots=True, repr=False)
class _Pool2D(Layer):
    """One value for each size × size window, side by side unless ``strides`` are set. No weights.

    What is left over at the ends is cut off.
    """

    ranks: ClassVar[tuple[int, ...]] = (3,)
    size: int
    strides: int | None = None
    padding: Literal["same", "valid"] | int = "valid"

    def __post_init__(self) -> None:
        Layer.__post_init__(self)  # super() does not know a class with slots
        if isinstance(self.padding, int) and 2 * self.padding > self.size:  # a window could be of padding alone
            raise UsageError("a layer's padding", got=self.padding, expected=f"at most {self.size // 2}, half its size")

    @property
    def step(self) -> int:
        """From one window to the next."""
        return self.size if self.strides is None else self.strides

    def pads(self, inputs: Shape) -> tuple[tuple[int, int], ...]:
        """What is added before and after each axis but the last."""
        return tuple(window.pads(length, self.size, self.step, self.padding) for length in inputs[:-1])

    def present(self, inputs: Shape) -> tuple[tuple[int, ...], ...]:
        """By axis but the last, of each window how many places are no padding."""
        return tuple(
            tuple(
                min(start + self.size, length) - max(start, 0)
                for start in range(-before, length + after - self.size + 1, self.step)
            )
            for length, (before, after) in zip(inputs, self.pads(inputs), strict=False)
        )

    def outputs(self, inputs: Shape) -> Shape:
        return (*window.counts(self, inputs, self.size, self.step, self.padding), inputs[-1])


class MaxPool2D(_Pool2D):
    """The greatest of each size × size window, as ``_Pool2D`` lays them; padding is never it.

    Where several are greatest the gradient goes to the first of them.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True, repr=False)
class AveragePool2D(_Pool2D):
    """The mean of each size × size window, as ``_Pool2D`` lays them.

    Padding does not count in it, as in Keras; with ``count_padding``, as in torch unless told otherwise, it is so many
    zeros.
    """

    count_padding: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class GlobalAveragePool2D(Layer):
    """The mean over all places of each channel: (H, W, channels) → (channels,). No weights."""

    ranks: ClassVar[tuple[int, ...]] = (3,)

    def outputs(self, inputs: Shape) -> Shape:
        return inputs[-1:]
