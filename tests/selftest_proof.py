"""The self-proof at full size, a section of ``make proof``: all faults, many mutations, ``size`` clean random runs."""

from __future__ import annotations

from typing import Any

from xframe.testing.selftest import selftest

ADAPTERS = ("numpy", "torch", "tensorflow")
MUTATIONS = 600
SEED = 20_000


def full(size: int = 1000) -> dict[str, Any]:
    """At least ``size`` clean random runs, shared out among the adapters."""
    plans = -(-size // len(ADAPTERS))
    found = selftest(ADAPTERS, None, MUTATIONS, plans, SEED)
    figures = found.to_dict()
    parts = {"named faults": figures, "mutations": figures["mutations"]}
    keys = ("detected", "localised", "cause_right", "cause_wrong_but_certain")
    told = [
        f"{name}: of {part['faults']:,}, " + ", ".join(f"{part[key]:,} {key}" for key in keys)
        for name, part in parts.items()
    ]
    bad = [] if found else ["the self-test fails", *told]
    bad += [str(one) for one in found.findings if not (one.detected and one.localised) or one.misleads]
    bad += found.clean.alarms
    return {
        "size": f"{figures['faults']:,} faults, {figures['mutations']['faults']:,} mutations of recorded rows, "
        f"{plans * len(ADAPTERS):,} random clean runs and {found.clean.runs - plans * len(ADAPTERS):,} more, "
        f"{found.clean.comparisons:,} comparisons of clean runs, seed {SEED}",
        "bad": bad,
        "text": found.text(),
    }


if __name__ == "__main__":
    import sys

    told = full(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    print(told["text"], told["size"], *told["bad"][:20], sep="\n")
