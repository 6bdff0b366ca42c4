"""Mistakes that scripts make, and the names that reports may call each by.

A kind of mistake is a function that yields every such mistake of a script, or a sample of them where they are many.
A change that does not fit its script raises ``Refused`` when the script runs.
"""

from random import Random

from sweeps.simulator.faults import fields, loading, numbers, orders, updating
from sweeps.simulator.faults.fault import Fault, Kind
from sweeps.simulator.script import Script

STRUCTURE: tuple[Kind, ...] = (*fields.KINDS, *orders.KINDS, *loading.KINDS, *updating.KINDS)
NUMBERS: tuple[Kind, ...] = numbers.KINDS
KINDS = STRUCTURE + NUMBERS


def drawn(kind: Kind, script: Script, rng: Random) -> Fault | None:
    """One of that kind, at random; None if the script can make none."""
    every = list(kind(script, rng))
    return rng.choice(every) if every else None


__all__ = ["KINDS", "NUMBERS", "STRUCTURE", "Fault", "Kind", "drawn"]
