"""Which of many runs were meant to be alike: those of one plan, task and precision, or of scripts those of one seed.

Ten runs of a sweep are ten trainings; to compare each with the first would say no more than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xframe.trace.trace import Trace

_FEWEST = 3  # two runs are there to be compared, whatever they state


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that were meant to be alike.

    Attributes:
        by: ``plan`` or ``seed``, which all of them have in common.
        what: by name, what other groups have otherwise; None where this one does not state it.
        traces: the runs, in the order in which they were given.
    """

    by: str
    what: Mapping[str, Any]
    traces: tuple[Trace, ...]

    @property
    def words(self) -> str:
        """For example ``batch_size 32, seed 0``."""
        return ", ".join(f"{name} {'not set' if value is None else value}" for name, value in self.what.items())


def grouped(traces: Sequence[Trace]) -> list[Group]:
    """The runs by what they state, in its order; one group alone where nothing shows that they were meant to differ."""
    if all(trace.plan is not None for trace in traces):
        by, stated = "plan", [_planned(trace) for trace in traces]
    else:
        by, stated = "seed", [_seeded(trace) for trace in traces]
    groups: dict[str, list[int]] = {}
    for i, facts in enumerate(stated):
        groups.setdefault(repr(sorted(facts.items())), []).append(i)
    if len(traces) < _FEWEST or len(groups) == 1 or not all(stated):
        return [Group(by, {}, tuple(traces))]
    names = dict.fromkeys(name for facts in stated for name in facts)
    varied = [name for name in names if len({repr(facts.get(name)) for facts in stated}) > 1]
    made = [
        Group(by, {name: stated[at[0]].get(name) for name in varied}, tuple(traces[i] for i in at))
        for at in groups.values()
    ]
    return sorted(made, key=lambda group: [_rank(value) for value in group.what.values()])


def _rank(value: Any) -> tuple[int, float, str]:
    """What is not set, then numbers, then words."""
    number = isinstance(value, (int, float))
    return (0 if value is None else 1 if number else 2, float(value) if number else 0.0, str(value))


def _planned(trace: Trace) -> dict[str, Any]:
    """What a run was asked to do."""
    facts = trace.facts
    plan = {} if trace.plan is None else trace.plan.to_dict()
    rule = {f"optimizer.{name}": value for name, value in facts.optimizer.items()}
    return {"task": facts.task, **rule, "samples": facts.num_samples, "precision": facts.precision, **plan}


def _seeded(trace: Trace) -> dict[str, Any]:
    """The seeds that a script's settings show, whichever of its libraries had them; empty where they show none."""
    seeds = {repr(value) for name, value in trace.settings.items() if name.startswith("seed.") and value is not None}
    return {"seed": " and ".join(sorted(seeds))} if seeds else {}
