"""The causes that two runs can differ by: a file a cause or a small family, found by walking this folder.

A new cause is a new file with a subclass of ``xframe.diagnosis.cause.Cause``: its name and meaning, how it is found,
its rank, its fixes. Nothing else has to know of it, unless it asks for what no cause
asked for before: ``case.py`` (rows, early stopping) or ``numbers.py`` (losses, rates, weights, fingerprints) then
offers it, and ``explaining.py`` fills it in. Its fault, to prove that it is found, goes to
``xframe/testing/faults``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Mapping
from functools import cache

from xframe.diagnosis.cause import Cause


@cache
def every() -> tuple[Cause, ...]:
    """All causes, by rank.

    Raises:
        ValueError: two causes have one name.
    """
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    causes = [
        value()
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Cause) and value.__module__ == module.__name__
        if hasattr(value, "name")
    ]
    twice = [name for name, count in Counter(cause.name for cause in causes).items() if count > 1]
    if twice:
        raise ValueError(f"causes of one name: {twice}")
    return tuple(sorted(causes, key=lambda cause: (cause.rank, cause.name)))


def by_name() -> Mapping[str, Cause]:
    """All causes by their names."""
    return {cause.name: cause for cause in every()}
