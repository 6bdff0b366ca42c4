"""What a neutral layer becomes, and the order of axes between modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from xframe.tasks.builders import Parameter
from xframe.tasks.layers import Shape

Lowered = tuple[nn.Module, Mapping[str, Parameter]]  # a Sequential stands for its parts, one after the other
Lowering = Callable[[Any, Shape], Lowered]
TRANSPOSED = (1, 0)  # torch keeps (units, inputs)
IMAGES = (0, 3, 1, 2)  # torch has (rows, channels, H, W)


def empty(kind: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> Any:
    """A module whose weights have no values: none is drawn where values are copied in."""
    return kind(*args, **kwargs, device="meta").to_empty(device="cpu")


def in_a_row(*modules: nn.Module | None) -> nn.Module:
    """Those that there are, one after the other."""
    there = [module for module in modules if module is not None]
    return there[0] if len(there) == 1 else nn.Sequential(*there)


class Images(nn.Module):
    """Modules of torch's (rows, channels, H, W) on (rows, H, W, channels)."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.modules_ = nn.Sequential(*modules)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.modules_(images.permute(0, 3, 1, 2))
        return outputs.permute(0, 2, 3, 1)


class Series(nn.Module):
    """Modules of torch's (rows, channels, T) on (rows, T, channels)."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.modules_ = nn.Sequential(*modules)

    def forward(self, series: Tensor) -> Tensor:
        outputs: Tensor = self.modules_(series.transpose(1, 2))
        return outputs.transpose(1, 2)
