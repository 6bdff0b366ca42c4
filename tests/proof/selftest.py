"""The self-test at full size: all faults, many mutations, ``size`` clean random runs."""

from __future__ import annotations

from typing import Any

from xframe.testing.selftest import selftest
from xframe.testing.selftest.results import text

ADAPTERS = ("numpy", "torch", "tensorflow")
MUTATIONS = 600
SEED = 20_000


def full(size: int = 1000) -> dict[str, Any]:
    """At least ``size`` clean random runs, shared out among the adapters."""
    plans = -(-size // len(ADAPTERS))
    result = selftest(ADAPTERS, None, MUTATIONS, plans, SEED)
    figures = result.to_dict()
    parts = {"named faults": figures, "mutations": figures["mutations"]}
    keys = ("detected", "localised", "cause_right", "cause_wrong_but_certain")
    totals = [
        f"{name}: of {part['faults']:,}, " + ", ".join(f"{part[key]:,} {key}" for key in keys)
        for name, part in parts.items()
    ]
    bad = [] if result else ["the self-test fails", *totals]
    bad += [str(one) for one in result.findings if not (one.detected and one.localised) or one.cause_wrong_but_certain]
    bad += result.clean.alarms
    return {
        "size": f"{figures['faults']:,} faults, {figures['mutations']['faults']:,} mutations of recorded rows, "
        f"{plans * len(ADAPTERS):,} random clean runs and {result.clean.runs - plans * len(ADAPTERS):,} more, "
        f"{result.clean.comparisons:,} comparisons of clean runs, seed {SEED}",
        "bad": bad,
        "text": text(result),
    }
