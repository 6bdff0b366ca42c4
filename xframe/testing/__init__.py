"""Shipped tests: the contract suite that any adapter can be bound to, a third party's too, and the self-proof.

class TestMine(AdapterContract):
    adapter = "mine"                       # its entry point's name, or an instance
    twin = Path("tests/native/mine.py")    # the same training without xframe

The suite needs pytest; ``faults``, ``mutators``, ``baselines`` and ``selftest`` don't, and so do not import it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xframe.testing.contract import AdapterContract, observe

__all__ = ["AdapterContract", "observe"]

if (loaded := sys.modules.get("pytest")) is not None:
    loaded.register_assert_rewrite("xframe.testing.contract")  # so that a failure shows the values


def __getattr__(name: str) -> Any:
    if name in __all__:
        from xframe.testing import contract

        return getattr(contract, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
