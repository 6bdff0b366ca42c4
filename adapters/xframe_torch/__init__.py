"""The PyTorch adapter: DataLoader, autograd and torch.optim. Importing it does not import torch.

Its files are named as those of ``xframe_numpy``, which says what each is for.
"""

from typing import Any

from xframe_torch.adapter import TorchAdapter

__all__ = ["TorchAdapter", "UpdateCounter"]


def __getattr__(name: str) -> Any:
    if name == "UpdateCounter":
        from xframe_torch.evidence import UpdateCounter

        return UpdateCounter
    raise AttributeError(f"module 'xframe_torch' has no attribute {name!r}")
