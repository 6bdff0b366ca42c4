"""The PyTorch adapter: DataLoader, autograd and torch.optim. Importing it does not import torch.

Its files are named as those of ``xframe_numpy``, which says what each is for. ``optim`` are optimizers for anyone's
scripts, which import torch alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xframe_torch.adapter import TorchAdapter
    from xframe_torch.evidence import UpdateCounter

__all__ = ["TorchAdapter", "UpdateCounter"]
_MODULES = {"TorchAdapter": "adapter", "UpdateCounter": "evidence"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"xframe_torch.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'xframe_torch' has no attribute {name!r}")
