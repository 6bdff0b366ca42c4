"""Named faults: bugs as real training code has them, in pipeline or loop code that really runs.

A fault is a mixin over an adapter; ``make`` puts the two together. Training really goes wrong, and what happened is
recorded as in any other run. Each module here is a family of bugs; a decorator over each bug, a class or a function,
declares what a comparison must report: the check, the first step, the cause. A new fault goes to one of these files,
or to a new one: they are found by walking this folder. The threads are public reports of bugs of the same kind.
"""

import importlib
import pkgutil

from xframe.testing.faults.bases import Faulty, make, with_validation
from xframe.testing.faults.declaring import DECLARED, Fault, fault

__all__ = ["BY_NAME", "FAULTS", "Fault", "Faulty", "fault", "make", "with_validation"]

for one in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{one.name}")
FAULTS = tuple(DECLARED)
BY_NAME = {each.name: each for each in FAULTS}
if len(BY_NAME) != len(FAULTS):
    raise ValueError("two faults have one name")
