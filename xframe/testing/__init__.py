"""Shipped tests: the contract suite that any adapter can be bound to, a third party's too.

class TestMine(AdapterContract):
    adapter = "mine"                       # its entry point's name, or an instance
    twin = Path("tests/native/mine.py")    # the same training without xframe
"""

import pytest

pytest.register_assert_rewrite("xframe.testing.contract")  # so that a failure shows the values

from xframe.testing.contract import AdapterContract, observe  # noqa: E402

__all__ = ["AdapterContract", "observe"]
