"""Two sides' records of one step, as namers are given them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from xframe.numerics.result import Distance
from xframe.state.record import STAGES, Record
from xframe.tasks.optimizers import Rule
from xframe.tasks.task import Task

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
            before = replace(before, slots=own.slots, numbers=own.numbers) if other else before
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
        return {**otherwise, **written}
