"""The contract suite that binds any adapter, a third party's too; see ``xframe.testing``.

Its files:

    adapter.py    ``AdapterContract``: what every adapter must do; a new demand goes there, or to features.py
    features.py   its part about training as people do it: schedules, validation, clipping, precision
    drawn.py      its part that no adapter can have been made to fit: sizes, plans and samples drawn anew
    plans.py      the plans that are run
    observing.py  runs an adapter in the test's process, and a bare twin in one of its own
"""

from xframe.testing.contract.adapter import AdapterContract
from xframe.testing.contract.observing import bare_weights, observe
from xframe.testing.contract.plans import LEDGER, NUMBER_PLANS, PLANS, TWIN_PLANS

__all__ = ["LEDGER", "NUMBER_PLANS", "PLANS", "TWIN_PLANS", "AdapterContract", "bare_weights", "observe"]
