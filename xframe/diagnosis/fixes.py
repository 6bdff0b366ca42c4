"""Fixes: what their words are filled in with, and which concern the runs at hand, by what their facts name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xframe.plan.training_plan import TrainingPlan
from xframe.trace.facts import Facts

_GENERAL = {"torch", "tensorflow", "keras"}  # for a run that names none
_NAMED_BY = {  # a version in a run's facts
    "torch": {"torch"},
    "tensorflow": {"tensorflow", "keras"},
    "keras": {"keras"},
    "lightning": {"lightning"},
    "transformers": {"transformers"},
    "accelerate": {"accelerate"},
    "ignite": {"ignite"},
    "optax": {"optax"},
}


def in_use(fixes: Mapping[str, str], runs: Iterable[Facts]) -> dict[str, str]:
    """The fixes for what any of the runs uses; for a run that does not say what it uses, those for the general ones."""
    used: set[str] = set()
    for facts in runs:
        named = {*facts.versions, facts.adapter}
        own = set[str]().union(*(used_so for name, used_so in _NAMED_BY.items() if name in named))
        used |= own if own or facts.adapter else _GENERAL
    others = set[str]().union(*_NAMED_BY.values()) - (used or _GENERAL)
    return {where: text for where, text in fixes.items() if where not in others}


def fields_of(plan: TrainingPlan | None, num_samples: int | None) -> dict[str, Any]:
    """What fixes are filled in with, of a plan on that many samples; empty if either is not known."""
    if plan is None or num_samples is None:
        return {}
    return {
        "remainder": plan.remainder,
        "leftover": plan.accumulation_remainder,
        "boundary": plan.accumulation_boundary,
        "at_end": "update" if plan.accumulation_at_end == "flush" else "no update",
        "b": plan.batch_size,
        "k": plan.gradient_accumulation_steps,
        "order": plan.order,
        "n": num_samples,
        "s": plan.steps_per_epoch,
        "missing": -num_samples % plan.batch_size,
    }
