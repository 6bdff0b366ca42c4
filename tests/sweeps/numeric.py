"""Numbers judged: numeric bugs that are planted, clean runs, and what people use in place of the judgement on the same.

Of each planted bug: is it found, are stage and tensor right, is its cause named first, is nothing wrong called proven.
A clean run has random data, model, rule, precision and batch size; nothing of it may be different. Both are trained on
free runs too, by which the fixed tolerances and comparisons that people use decide.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from dataclasses import dataclass, field, fields

import numpy as np

from sweeps import Result
from sweeps._baselines import BASELINES, free_run
from sweeps._clean import Clean, drawn
from sweeps._judged import numerics
from sweeps.planted import BUGS, Bug
from xframe.numerics.result import Numerics
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.adapter import Adapter
from xframe.running.runtime import Runtime
from xframe.tasks.task import Task
from xframe.testing.faults.bases import make

SIDES = {"numpy": "torch", "torch": "numpy", "tensorflow": "torch"}  # what a side with a bug is compared with
SHARE = 0.95  # of bugs, whose stage and tensor must be right
JUDGEMENT = "steps from one state"
OTHERS = 40  # of so many bugs, and of clean runs, one in TensorFlow where that is asked for
_MOST = 2000  # steps of a free run
_CELLS = ("found", "stage", "tensor", "named", "wrong")


@dataclass
class Judged(Result):
    """Beside the cases: of the judgement and of what people use, what was found, and what was wrongly."""

    bugs: int = 0
    nameable: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    alarms: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)

    def __ior__(self, other: Judged) -> Judged:
        for each in fields(self):
            mine, others = getattr(self, each.name), getattr(other, each.name)
            setattr(self, each.name, mine + others)
        return self

    @property
    def clean(self) -> int:
        """How many clean runs."""
        return self.cases - self.bugs

    @property
    def short(self) -> list[str]:
        """What of all bugs together is too little."""
        low = {what: self.counts[what] for what in ("stage", "tensor") if self.counts[what] < SHARE * self.bugs}
        return [f"{what} right of {count} in {self.bugs} bugs" for what, count in low.items()]

    @property
    def text(self) -> str:
        """A row for each way to compare."""
        counts, bugs = self.counts, self.bugs
        verdicts = ", ".join(f"{number} {verdict}" for verdict, number in sorted(self.verdicts.items())) or "none"
        rows = [
            f"{bugs} numeric bugs: {counts['found']} found, stage right of {counts['stage']}, tensor of "
            f"{counts['tensor']}, cause right and first of {counts['named']} in {self.nameable} that have a name, "
            f"{counts['wrong']} wrong as proven; {self.clean} clean runs: {verdicts}",
            "",
            "| compared by | bugs found | stage right | tensor right | cause right | clean runs called different |",
            "| --- | --- | --- | --- | --- | --- |",
            f"| {JUDGEMENT} | {counts['found']} of {bugs} | {counts['stage']} | {counts['tensor']} | "
            f"{counts['named']} of {self.nameable} | {self.alarms[JUDGEMENT]} of {self.clean} |",
        ]
        rows += [
            f"| {name} | {self.caught[name]} of {bugs} | – | – | – | {self.alarms[name]} of {self.clean} |"
            for name in BASELINES
        ]
        return "\n".join([*rows, *(["", *(f"- {one}" for one in self.missed)] if self.missed else [])])


def run(
    size: int, seed: int, *, bugs: int | None = None, baselines: bool = True, share: tuple[int, int] = (0, 1)
) -> Judged:
    """That many clean runs, and all bugs or as many as asked for, drawn.

    Args:
        size: how many clean runs.
        seed: of all that is drawn.
        bugs: how many.
        baselines: whether the other ways to compare are tried too, and a few in TensorFlow.
        share: the part of all this that is looked at, and of how many parts.
    """
    result, (part, parts) = Judged(), share
    chosen = np.random.default_rng(seed).permutation(len(BUGS))[:bugs]
    for index in sorted(chosen.tolist())[part::parts]:
        planted(result, BUGS[index], np.random.default_rng((seed, index)), baselines=baselines)
    for index in range(part, size, parts):
        draws = np.random.default_rng((seed, 1, index))
        unchanged(result, drawn(draws, 1 / OTHERS if baselines else 0.0), baselines=baselines)
    if parts == 1:
        result.mismatches += result.short
    return result


def planted(result: Judged, bug: Bug, draws: np.random.Generator, *, baselines: bool) -> None:
    """Judges one bug."""
    others = baselines and bug.anywhere and draws.random() < 1 / OTHERS
    side = "tensorflow" if others else bug.sides[int(draws.integers(len(bug.sides)))]
    reference, candidate = registry.load(SIDES[side]), make(registry.load(side), bug.fault)
    training, runtime = bug.training, Runtime(device="cpu", threads=1)
    judged = numerics(reference, candidate, training.plan, training.task, runtime)
    seen = of_bug(bug, judged)
    result.cases, result.bugs = result.cases + 1, result.bugs + 1
    result.nameable += bool(bug.causes)
    result.counts.update(name for name in _CELLS if seen[name])
    if not seen["found"] or seen["wrong"] or not (seen["named"] or not bug.causes):
        result.mismatches.append(f"{bug.name} in {side}: {described(judged)}")
    elif not (seen["stage"] and seen["tensor"]):
        result.missed.append(f"{bug.name} in {side}, which is in {bug.stage} {bug.tensor}: {described(judged)}")
    caught = Counter[str]()
    if baselines:
        _compare(caught, reference, candidate, training.plan, training.task, runtime)
        result.caught += caught
    place = "nowhere" if judged.first is None else f"{judged.first.stage} {judged.first.tensor}"
    causes = ", ".join(f"{one.name} ({one.certainty})" for one in judged.causes) or "–"
    unseen = ", ".join(name for name in BASELINES if name not in caught) or "–"
    result.rows.append(f"| {bug.name} | {side} | {place} | {causes} | {unseen} |")


def of_bug(bug: Bug, judged: Numerics) -> dict[str, bool]:
    """What of a judgement is right."""
    first, names = judged.first, [cause.name for cause in judged.causes]
    known = (*bug.causes, *bug.also)
    return {
        "found": judged.verdict == "different",
        "stage": first is not None and first.stage == bug.stage,
        "tensor": first is not None and first.stage == bug.stage and fnmatch.fnmatchcase(first.tensor, bug.tensor),
        "named": bool(names) and names[0] in bug.causes,
        "wrong": any(one.certainty == "proven" and one.name not in known for one in judged.causes),
    }


def described(judged: Numerics) -> str:
    """A judgement in one line."""
    first = judged.first
    place = "nowhere" if first is None else f"at step {first.step}, {first.stage} {first.tensor}"
    causes = ", ".join(f"{one.name} ({one.certainty})" for one in judged.causes) or "no cause"
    return " ".join([f"{judged.verdict} {place}: {causes}.", *judged.notes])


def unchanged(result: Judged, clean: Clean, *, baselines: bool) -> None:
    """Judges two equal trainings."""
    reference, candidate = (registry.load(name) for name in clean.sides)
    judged = numerics(reference, candidate, clean.plan, clean.task, clean.runtime)
    result.cases += 1
    result.verdicts[judged.verdict] += 1
    if judged.verdict == "different":
        result.alarms[JUDGEMENT] += 1
        result.mismatches.append(f"{clean.name}: {described(judged)}")
    if judged.verdict == "inconclusive":
        result.missed.append(f"{clean.name}: {described(judged)}")
    if baselines:
        _compare(result.alarms, reference, candidate, clean.plan, clean.task, clean.runtime)


def _compare(
    counts: Counter[str], one: Adapter, other: Adapter, plan: TrainingPlan, task: Task, runtime: Runtime
) -> None:
    """Counts by which of the other ways two free runs differ."""
    runs = [free_run(side, plan, task, runtime, _MOST) for side in (one, other)]
    with np.errstate(all="ignore"):
        counts.update(name for name, differ in BASELINES.items() if differ(*runs))
