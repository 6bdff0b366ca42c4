"""Numbers judged: numeric bugs that are planted, clean runs, and what people use in place of the judgement on the same.

Of each planted bug: is it found, are stage and tensor right, is its cause named first, is nothing wrong called proven.
A clean run has random data, model, rule, precision and batch size; nothing of it may be different. Both are trained on
free runs too, by which the fixed tolerances and comparisons that people use decide.
"""

from __future__ import annotations

import fnmatch
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sweeps import Result
from sweeps._baselines import BASELINES, free_run
from sweeps._clean import Clean, drawn
from sweeps._judged import numerics
from sweeps.planted import BUGS, Bug
from xframe.numerics.result import Numerics
from xframe.running import registry
from xframe.running.adapter import Adapter
from xframe.running.runtime import Runtime
from xframe.testing.faults.bases import make

SIDES = {"numpy": "torch", "torch": "numpy"}  # what a side with a bug is compared with
SHARE = 0.95  # of bugs, whose stage and tensor must be right
JUDGEMENT = "steps from one state"
_CELLS = ("found", "stage", "tensor", "named", "wrong")


@dataclass
class Judged(Result):
    """Beside the cases: of the judgement and of what people use, what was found, and what was wrongly."""

    bugs: int = 0
    clean: int = 0
    nameable: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    alarms: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """A row for each way to compare."""
        counts, bugs = self.counts, self.bugs
        rows = [
            f"{self.bugs} numeric bugs: {counts['found']} found, stage right of {counts['stage']}, tensor of "
            f"{counts['tensor']}, cause right and first of {counts['named']} in {self.nameable} that have a name, "
            f"{counts['wrong']} wrong as proven; {self.clean} clean runs: "
            + (", ".join(f"{number} {verdict}" for verdict, number in sorted(self.verdicts.items())) or "none"),
            "",
            "| compared by | bugs found | stage right | tensor right | cause right | clean runs called different |",
            "| --- | --- | --- | --- | --- | --- |",
            f"| {JUDGEMENT} | {counts['found']} of {bugs} | {counts['stage']} | {counts['tensor']} | "
            f"{counts['named']} of {self.nameable} | {self.alarms[JUDGEMENT]} of {self.clean} |",
        ]
        for name in BASELINES:
            rows.append(f"| {name} | {self.caught[name]} of {bugs} | – | – | – | {self.alarms[name]} of {self.clean} |")
        return "\n".join([*rows, *(["", *(f"- {one}" for one in self.missed)] if self.missed else [])])


def run(size: int, seed: int, *, bugs: int | None = None, baselines: bool = True) -> Judged:
    """That many clean runs, and all bugs or as many as asked for, drawn."""
    began, result, draws = time.monotonic(), Judged(), np.random.default_rng(seed)
    for index in _chosen(draws, bugs):
        planted(result, BUGS[index], draws, baselines=baselines)
    for clean in (drawn(draws) for _ in range(size)):
        unchanged(result, clean, baselines=baselines)
    result.seconds = time.monotonic() - began
    result.mismatches += _below(result)
    return result


def _chosen(draws: np.random.Generator, bugs: int | None) -> Iterator[int]:
    count = len(BUGS) if bugs is None else min(bugs, len(BUGS))
    yield from sorted(draws.permutation(len(BUGS))[:count].tolist())


def _below(result: Judged) -> list[str]:
    """What of all bugs together is too little."""
    short = {what: result.counts[what] for what in ("stage", "tensor") if result.counts[what] < SHARE * result.bugs}
    return [f"{what} right of {count} in {result.bugs} bugs" for what, count in short.items()]


def planted(result: Judged, bug: Bug, draws: np.random.Generator, *, baselines: bool) -> None:
    """Judges one bug."""
    side = bug.sides[int(draws.integers(len(bug.sides)))]
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
    if baselines:
        _compare(result.caught, reference, candidate, training.plan, training.task, runtime)


def of_bug(bug: Bug, judged: Numerics) -> dict[str, bool]:
    """What of a judgement is right."""
    first, names = judged.first, [cause.name for cause in judged.causes]
    return {
        "found": judged.verdict == "different",
        "stage": first is not None and first.stage == bug.stage,
        "tensor": first is not None and first.stage == bug.stage and fnmatch.fnmatchcase(first.tensor, bug.tensor),
        "named": bool(names) and names[0] in bug.causes,
        "wrong": any(one.certainty == "proven" and one.name not in (*bug.causes, *bug.also) for one in judged.causes),
    }


def described(judged: Numerics) -> str:
    """A judgement in one line."""
    place = (
        "nowhere"
        if judged.first is None
        else f"at step {judged.first.step}, {judged.first.stage} {judged.first.tensor}"
    )
    causes = ", ".join(f"{one.name} ({one.certainty})" for one in judged.causes) or "no cause"
    return " ".join([f"{judged.verdict} {place}: {causes}.", *judged.notes])


def unchanged(result: Judged, clean: Clean, *, baselines: bool) -> None:
    """Judges two equal trainings."""
    reference, candidate = (registry.load(name) for name in clean.sides)
    judged = numerics(reference, candidate, clean.plan, clean.task, clean.runtime)
    result.cases, result.clean = result.cases + 1, result.clean + 1
    result.verdicts[judged.verdict] += 1
    if judged.verdict == "different":
        result.alarms[JUDGEMENT] += 1
        result.mismatches.append(f"{clean.name}: {described(judged)}")
    if judged.verdict == "inconclusive":
        result.missed.append(f"{clean.name}: {described(judged)}")
    if baselines:
        runtime = Runtime(device="cpu", threads=1, precision=clean.runtime.precision)
        _compare(result.alarms, reference, candidate, clean.plan, clean.task, runtime)


def _compare(counts: Counter[str], one: Adapter, other: Adapter, plan: object, task: object, runtime: Runtime) -> None:
    """Counts by which of the other ways two free runs differ."""
    runs = [free_run(side, plan, task, runtime, 2000) for side in (one, other)]  # type: ignore[arg-type]
    with np.errstate(all="ignore"):
        counts.update(name for name, differ in BASELINES.items() if differ(*runs))
