"""The machine that something was measured on, and the versions it was measured with."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from xframe.errors import counted, printable


def environment(threads: int, versions: dict[str, str]) -> dict[str, Any]:
    """The machine, as far as it says what it is, the threads of each process, and versions by package."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "versions": {"python": platform.python_version(), **versions},
    }


def versions(modules: Iterable[str]) -> dict[str, str]:
    """The versions of the distributions that hold these modules. Imports none of them."""
    holders = packages_distributions()
    names = sorted({name for module in modules for name in holders.get(module, ())})
    return {name: version(name) for name in names}


def environment_line(environment: dict[str, Any]) -> str:
    """The same in one line."""
    threads = counted(environment["threads"], "thread")
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    machine = f"{environment['processor']}, {environment['cores']} cores, {threads} each; {environment['system']}"
    return printable(f"{machine}; {versions}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
