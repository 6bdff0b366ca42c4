"""Which of a cause's fixes concern the runs at hand: those for the frameworks and trainers that their facts name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
