"""Two sides' records of one step, as namers are given them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xframe.numerics.result import Distance
from xframe.state.record import STAGES, Record
from xframe.state.state import State
from xframe.tasks.optimizers import Rule
from xframe.tasks.task import Task

SLOTS = 1e-12  # of a slot's largest number: less is rounding

# By framework the line that writes a rule; ``xframe.translate`` is above this room, so it is handed in.
Write = Callable[[Rule], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Pair:
    """One step of two sides.

    Attributes:
        reference, candidate: their records.
        distances: between them, as judged; empty if that was not done.
        task: what both were asked to do, if that is known.
        rules: what each side states of its optimizer; the task's, where there is one.
        names: how the sides are called in a sentence.
        fed: whether each stage of the candidate was given the reference's outcomes of the stages before it.
        write: a rule as each framework writes it, if that is at hand.
        later: a later step that differs, which is to be explained alike.
    """

    reference: Record
    candidate: Record
    distances: tuple[Distance, ...] = ()
    task: Task | None = None
    rules: tuple[Rule | None, Rule | None] = (None, None)
    names: tuple[str, str] = ("the reference", "the candidate")
    fed: bool = True
    write: Write | None = None
    later: Pair | None = None

    def inputs(self, stage: str) -> Record:
        """The candidate's record with what its ``stage`` was really given, and its own outcomes from there on."""
        if not self.fed:
            return self.candidate
        first = STAGES.index(stage)
        stages = {one: (self.reference if STAGES.index(one) < first else self.candidate).stages for one in STAGES}
        held = {one: stages[one][one] for one in STAGES if one in stages[one]}
        before, own = self.reference.before or self.candidate.before, self.candidate.before
        if before is not None and own is not None:  # a rule that keeps others has its own
            other = own.slots.keys() != before.slots.keys() or own.numbers.keys() != before.numbers.keys()
            if other or (self.candidate.step == 0 and begins_otherwise(before, own)):
                before = replace(before, slots=own.slots, numbers=own.numbers)
        return replace(self.candidate, before=before, stages=held)

    def differs(self, stage: str) -> bool:
        """Whether that stage was judged to differ; nothing judged may differ anywhere."""
        return not self.distances or any(not one.ok for one in self.distances if one.stage in (stage, "step"))

    def tensor(self, stage: str) -> str | None:
        """The first tensor of that stage that differs."""
        return next((one.tensor for one in self.distances if not one.ok and one.stage == stage), None)

    def fix(self, otherwise: Mapping[str, str], rule: Rule | None = None) -> Mapping[str, str]:
        """The lines that make a side do as ``rule``: written out where that is possible, else as given."""
        written = self.write(rule) if self.write is not None and rule is not None else {}
        owners = {"tensorflow"} if "keras" in written else set[str]()  # one line says it for both
        return {**{where: text for where, text in otherwise.items() if where not in owners}, **written}


def begins_otherwise(one: State, other: State) -> list[str]:
    """Paths of the slots in which two trainings begin with other numbers."""
    return [
        f"slots/{slot}/{name}"
        for slot, held in one.slots.items()
        for name, values in held.items()
        if name in other.slots.get(slot, {}) and _unlike(values, other.slots[slot][name])
    ]


def _unlike(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.shape != other.shape or not one.size:
        return False
    a, b = one.astype(np.float64), other.astype(np.float64)
    least = max(SLOTS, 4 * float(np.finfo(one.dtype).eps)) * float(np.abs(a).max())
    return bool((np.abs(a - b) > least).any())
