"""Large random samples whose right answers are known. The tests run each with few cases, ``make proof`` with many.

Every module here is a sweep: its ``run(size, seed)`` looks at that many random cases and returns a `Result`.
By hand, in tests/: ``python -m sweeps counting 3000 --seed 1``. The `simulator` is what most of them compare with.
"""

import importlib
import pkgutil
from dataclasses import dataclass, field
from types import ModuleType


@dataclass
class Result:
    """How many cases a sweep looked at, and what was wrong in which of them; a sweep may count more beside."""

    cases: int = 0
    mismatches: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What was looked at, in one line; a sweep may add a table below it."""
        return f"{self.cases:,} cases"


def names() -> list[str]:
    """The sweeps there are."""
    modules = pkgutil.iter_modules(__path__)
    return sorted(m.name for m in modules if not (m.ispkg or m.name.startswith(("test_", "_"))))


def load(name: str) -> ModuleType:
    """The module of a sweep, with its ``run(size, seed)``."""
    return importlib.import_module(f"{__name__}.{name}")
