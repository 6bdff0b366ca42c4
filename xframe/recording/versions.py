"""Versions of Python, xframe, and of the frameworks and trainers that a process has loaded."""

from __future__ import annotations

import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def loaded_versions() -> dict[str, str]:
    """Versions of Python, xframe and of the frameworks and trainers that this process has loaded."""
    frameworks = ("numpy", "torch", "tensorflow", "keras", "lightning", "transformers", "accelerate", "ignite", "optax")
    loaded = [name for name in frameworks if name in sys.modules]
    known = {"python": platform.python_version(), "xframe": _version("xframe-toolkit")}
    return known | {name: _version(name) for name in loaded}


@cache  # to look one up reads a file
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(distribution), "__version__", "unknown"))
