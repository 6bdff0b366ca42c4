"""Which plan, and how many samples, runs are compared by: what is given, or else what all of them state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xframe.comparison.pairing import Run
from xframe.errors import UsageError, Verbatim, counted
from xframe.plan.training_plan import TrainingPlan

_MOST_FIELDS = 4  # of two plans that are listed


def in_force(
    runs: Sequence[Run], plan: TrainingPlan | None, num_samples: int | None
) -> tuple[TrainingPlan | None, int | None, list[str]]:
    """The plan and the number of samples, either None where no run is compared with a plan, and what is to be said.

    Raises:
        UsageError: one run is to be compared with a plan that is given, and how many samples there are is not known.
    """
    sizes = {run.facts.num_samples for run in runs}
    size = num_samples if num_samples is not None else sizes.pop() if len(sizes) == 1 else None
    if plan is not None and size is None and len(runs) == 1:
        raise no_size(runs)
    said = [] if plan is None else [*_under_another(runs, plan), *_of_another_size(runs, size)]
    if plan is None:
        plan, said = _common(runs)
    if plan is not None and size is None:
        said.append(
            "no run is compared with the plan: the size of the data set is not known, or not the same in all runs"
        )
    return plan, size, said


def no_size(runs: Sequence[Run]) -> UsageError:
    """That runs cannot be compared with a plan, since how many samples there are is not known."""
    sizes = {run.name: run.facts.num_samples for run in runs}
    stated = [f"{name}: {'not stated' if size is None else counted(size, 'sample')}" for name, size in sizes.items()]
    return UsageError(
        "a plan, and the number of samples is not known",
        got=Verbatim(", ".join(stated)),
        expected="the same number in all runs, or one that is given",
        remedy="Give it: xframe compare --plan PLAN.toml --samples N, in Python num_samples=N.",
    )


def _common(runs: Sequence[Run]) -> tuple[TrainingPlan | None, list[str]]:
    """The plan recorded in all runs, if it is one."""
    plans, said = [_plan(run) for run in runs], list[str]()
    for run, plan in zip(runs, plans, strict=True):
        if plan is None and run.facts.plan:  # a script's own, or of a newer version
            said.append(f"what {run.name} states as its plan is no valid plan, so no run is compared with it")
    if len({plan.digest for plan in plans if plan is not None}) > 1 and None not in plans:
        said.append("the runs were recorded under different plans, so none is compared with a plan")
        return None, said
    return plans[0] if None not in plans else None, said


def _plan(run: Run) -> TrainingPlan | None:
    return None if run.trace is None else run.trace.plan


def _under_another(runs: Sequence[Run], plan: TrainingPlan) -> list[str]:
    """Which runs state another plan than the one that is given, and what is different in it."""
    said = []
    for run in runs:
        own = _plan(run)
        if own is not None and own.digest != plan.digest:
            fields = ", ".join(_different(own.to_dict(), plan.to_dict()))
            said.append(f"{run.name} states a different plan ({fields}); it is compared with the one given")
    return said


def _different(own: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    def shown(fields: Mapping[str, Any], name: str) -> str:
        return f"{fields[name]}" if name in fields else "unset"

    names = [name for name in {**own, **given} if own.get(name) != given.get(name)]
    texts = [f"{name} {shown(own, name)}, not {shown(given, name)}" for name in names[:_MOST_FIELDS]]
    more = len(names) - len(texts)
    return texts + [f"and {counted(more, 'more field')}"] * (more > 0)


def _of_another_size(runs: Sequence[Run], size: int | None) -> list[str]:
    stated = {run.name: run.facts.num_samples for run in runs}
    return [
        f"{name} states {counted(own, 'sample')}; it is compared with the plan over {size:,}"
        for name, own in stated.items()
        if size is not None and own not in (None, size)
    ]
