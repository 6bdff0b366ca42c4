"""What a mistake is."""

import dataclasses
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from sweeps.simulator.script import Script


@dataclasses.dataclass(frozen=True)
class Fault:
    """A mistake: what it is, the causes that it may be called, and the script that makes it.

    ``only_numbers``: samples, updates and labels stay as they are.
    """

    text: str
    causes: frozenset[str]
    into: Callable[[Script], Script]
    only_numbers: bool = False


Kind = Callable[[Script, Random], Iterator[Fault]]


def field(causes: set[str], **fields: Any) -> Fault:
    """A plan with these fields changed."""
    text = ", ".join(f"{name} = {value}" for name, value in fields.items())
    return Fault(text, frozenset(causes), lambda script: script.but(fields=_fitting({**script.fields, **fields})))


def _fitting(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields without what then means nothing."""
    fields = {name: value for name, value in fields.items() if value is not None}
    if "steps_per_epoch" not in fields:
        fields = {name: fields[name] for name in fields if name not in ("epoch_iterator", "on_exhaustion")}
    if fields.get("remainder") == "carry":
        fields.pop("on_exhaustion", None)
    if fields.get("gradient_accumulation_steps", 1) == 1:
        away = ("accumulation_boundary", "accumulation_remainder", "accumulation_at_end", "loss_normalization")
        fields = {name: fields[name] for name in fields if name not in away}
    return fields
