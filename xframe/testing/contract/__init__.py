"""The contract suite that binds any adapter, a third party's too; see ``xframe.testing``."""

from xframe.testing.contract.adapter import AdapterContract
from xframe.testing.contract.observing import bare_weights, observe
from xframe.testing.contract.plans import LEDGER, NUMBER_PLANS, PLANS, TWIN_PLANS

__all__ = ["LEDGER", "NUMBER_PLANS", "PLANS", "TWIN_PLANS", "AdapterContract", "bare_weights", "observe"]
