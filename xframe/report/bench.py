"""What a bench measured, the statistics over it, and how both read.

A ratio is taken within a round, of two measurements seconds apart, so that what slows the machine for a while
cancels out. How far each figure may be off: ``xframe.report.estimates``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xframe import tables
from xframe.errors import printable
from xframe.report.estimates import Estimate, brackets
from xframe.report.machine import environment_line

if TYPE_CHECKING:
    from xframe.comparison.result import Comparison
    from xframe.running.messages import Done
    from xframe.trace.trace import Trace

BUSY = 0.95  # of its time a loop on a core of its own has that core, or nearly
WARM_UP = 0.10  # of the steps, where a run has a single epoch
_QUANTILES = {"p5": 5, "median": 50, "p95": 95}


def _estimate(samples: Sequence[float]) -> Estimate | None:
    return Estimate.of(samples) if samples else None


def _json(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_dict()


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of training of one loop; ``cpu_seconds`` of all threads of its process."""

    round: int
    steps: int
    seconds: float
    cpu_seconds: float

    @property
    def us_per_step(self) -> float:
        """Microseconds."""
        return self.seconds / self.steps * 1e6


@dataclass
class MeasuredLoop:
    """A loop and what was measured of it."""

    name: str
    framework: str  # the adapter it comes from
    about: str
    recorded: bool  # it is one of xframe's own
    base: bool  # the framework's others are compared with it
    twin: str | None = None  # of a recorded one, the bare loop that trains in the same way
    warm_up: float | None = None  # seconds of its first segment, compilation included
    segments: list[Segment] = field(default_factory=list)
    failed: str | None = None  # why it was not measured to the end

    def ratio(self, base: MeasuredLoop | None) -> Estimate | None:
        """Its time per step over the base's, round by round."""
        costs = {segment.round: segment.us_per_step for segment in base.segments} if base else {}
        return _estimate([s.us_per_step / costs[s.round] for s in self.segments if s.round in costs])


@dataclass(frozen=True)
class LoopBench:
    """The loops of one workload; ``left_out`` states by name why a loop was not started."""

    workload: dict[str, Any]
    settings: dict[str, Any]
    environment: dict[str, Any]
    loops: tuple[MeasuredLoop, ...]
    left_out: dict[str, str]

    @property
    def exit_code(self) -> int:
        """3 if a loop failed, or none was measured."""
        return 3 if any(loop.failed for loop in self.loops) or not self.loops else 0

    @property
    def title(self) -> str:
        """What was trained."""
        return "{task}: {description}; batch {batch_size}, float32".format(**self.workload)

    def base_of(self, loop: MeasuredLoop) -> MeasuredLoop | None:
        """What a loop is compared with."""
        return next((other for other in self.loops if other.base and other.framework == loop.framework), None)

    def twin_of(self, loop: MeasuredLoop) -> MeasuredLoop | None:
        """Its bare twin, if that was measured."""
        return next((other for other in self.loops if other.name == loop.twin), None)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        loops = []
        for loop in self.loops:
            base = self.base_of(loop)
            summary = {
                "us_per_step": _json(_estimate([s.us_per_step for s in loop.segments])),
                "ratio_to": None if base is None else base.name,
                "ratio": _json(loop.ratio(base)),
                "ratio_to_twin": _json(loop.ratio(self.twin_of(loop))),
            }
            loops.append({**asdict(loop), **summary})
        return {**vars(self), "loops": loops}

    def __str__(self) -> str:
        shown = [line for rows in self.by_framework() for line in ("", *tables.plain(rows, right=(1,), indent=2))]
        return "\n".join([self.title, *shown, "", *self.remarks()])

    def by_framework(self) -> Iterator[list[list[str]]]:
        """Of each framework its loops, the head first."""
        for framework in dict.fromkeys(loop.framework for loop in self.loops):
            rows = [[framework, "µs/step", "ratio to base", "ratio to its bare twin", "about"]]
            for loop in (loop for loop in self.loops if loop.framework == framework):
                cost = f"{median(s.us_per_step for s in loop.segments):,.1f}" if loop.segments else ""
                base, twin = self.base_of(loop), self.twin_of(loop)
                ratio, to_twin = loop.ratio(base), loop.ratio(twin)
                shown = "base" if loop is base else "" if ratio is None else str(ratio)
                beside = "" if twin in (None, base) or to_twin is None else f"{to_twin} of {loop.twin}"
                shown = f"failed  {shown}".rstrip() if loop.failed else shown
                rows.append([loop.name, cost, shown, beside, loop.about])
            if not any(row[3] for row in rows[1:]):  # the base is every loop's twin, or there is none
                rows = [[*row[:3], *row[4:]] for row in rows]
            yield rows

    def remarks(self) -> list[str]:
        """What failed, what was left out, and how and where it was measured."""
        lines = [f"{loop.name} failed: {printable(loop.failed)}" for loop in self.loops if loop.failed]
        for why in dict.fromkeys(self.left_out.values()):
            lines.append(f"{why} ({', '.join(name for name, reason in self.left_out.items() if reason == why)})")
        seconds = sum(s.seconds for loop in self.loops for s in loop.segments)
        busy = sum(s.cpu_seconds for loop in self.loops for s in loop.segments) / seconds if seconds else 1.0
        if busy < BUSY:
            lines.append(_starved("the loops", busy))
        lines.append(brackets(self.settings["rounds"]))
        how = "{rounds} rounds in random order (seed {seed}), segments of about {seconds:g} s, a process for each loop"
        return [*lines, how.format(**self.settings), environment_line(self.environment)]


@dataclass(frozen=True)
class MeasuredRun:
    """One recorded run of a plan, timed by its own trace."""

    round: int
    trace: str
    setup_seconds: float | None  # importing the framework and loading the data
    first_seconds: float  # from there to the first row: building the model, compiling, and the first step or block
    # Of each step after the warm-up, when the host got its row; those that come in one block share its time evenly.
    step_seconds: NDArray[np.float64] = field(repr=False)
    samples: int  # rows trained in these steps, padding included
    by_block: bool  # rows came home several at a time
    peak_memory: int | None  # of the process, in bytes
    loop: str | None = None  # the adapter's own name of it
    processor_share: float | None = None  # of the training's seconds, those that its threads had a processor

    @classmethod
    def of(cls, index: int, trace: Trace, done: Done) -> MeasuredRun:
        """What a trace and its worker say of a run of at least one step."""
        times = trace.column("time_ns") / 1e9
        _, starts, sizes = np.unique(times, return_index=True, return_counts=True)
        spread = np.repeat(np.diff(times[starts], prepend=0.0) / sizes, sizes)
        first = warm_up(times, trace.column("epoch") if trace.known_throughout("epoch") else None)
        return cls(
            round=index,
            trace=str(trace.path),
            setup_seconds=done.setup_seconds,
            first_seconds=float(times[0]),
            step_seconds=spread[first:],
            samples=int(trace.column("batch_size")[first:].sum()),
            by_block=bool((sizes > 1).any()),
            peak_memory=done.peak_memory,
            loop=trace.facts.loop,
            processor_share=done.processor_share,
        )

    @cached_property
    def samples_per_second(self) -> float | None:
        """After the warm-up; None if nothing came after it."""
        return float(self.samples / self.step_seconds.sum()) if len(self.step_seconds) else None

    def to_dict(self) -> dict[str, Any]:
        """All but the single steps, which the trace has."""
        values = {name: value for name, value in vars(self).items() if name != "step_seconds"}
        times = dict(zip(_QUANTILES, quantiles(self.step_seconds), strict=True))
        return {**values, "samples_per_second": self.samples_per_second, "step_seconds": times}


def quantiles(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    """5th percentile, median and 95th; None of nothing."""
    return tuple(np.percentile(values, [*_QUANTILES.values()]).tolist()) if len(values) else (None,) * len(_QUANTILES)


def warm_up(times: NDArray[np.float64], epochs: NDArray[np.int64] | None) -> int:
    """How many of a run's first steps are its warm-up.

    The first epoch, in which each size of batch is met and compiled; of a run with a single one the first tenth.
    Never less than the first step, and never a part of a block.
    """
    steps = max(1, int(np.ceil(WARM_UP * len(times))))
    if epochs is not None and epochs[-1] != epochs[0]:
        steps = int(np.argmax(epochs != epochs[0]))
    return int(np.searchsorted(times, times[steps - 1], side="right"))


@dataclass(frozen=True)
class PlanBench:
    """A plan's throughput in each adapter, and whether they may be compared."""

    plan: str
    task: str
    settings: dict[str, Any]
    environment: dict[str, Any]
    runs: dict[str, tuple[MeasuredRun, ...]]  # by adapter, one a round
    comparisons: tuple[Comparison, ...]  # one a round, of its runs with the plan and each other
    folder: Path

    @property
    def worst(self) -> Comparison:
        """The comparison that settles it: the first whose structure is not identical, if there is one."""
        return next((c for c in self.comparisons if c.structure != "identical"), self.comparisons[0])

    @property
    def comparable(self) -> bool:
        """Whether the very runs that were timed were the same training."""
        return self.worst.structure == "identical"

    @property
    def exit_code(self) -> int:
        """1 if the runs may not be compared."""
        return 0 if self.comparable else 1

    def loop(self, name: str) -> str:
        """An adapter with the loop it trained in, as ``--adapters`` takes it."""
        loop = self.runs[name][0].loop
        return name if loop is None or ":" in name else f"{name}:{loop}"

    def speed(self, name: str) -> Estimate | None:
        """Samples a second."""
        return _estimate([run.samples_per_second for run in self.runs[name] if run.samples_per_second is not None])

    def ratios(self) -> dict[str, Estimate]:
        """By adapter, its speed by the first one's, round by round. Empty unless they are comparable."""
        first, *others = self.runs
        speeds = {name: [run.samples_per_second for run in runs] for name, runs in self.runs.items()}
        ratios = {
            name: [speed / base for base, speed in zip(speeds[first], speeds[name], strict=True) if base and speed]
            for name in others
            if self.comparable
        }
        return {name: Estimate.of(each) for name, each in ratios.items() if each}

    def why_not(self) -> list[str]:
        """Why the runs may not be compared."""
        if self.comparable:
            return []
        from xframe.report import words

        comparison = self.worst
        difference = comparison.first_difference
        where = f", first in step {difference['step']}: {difference['check']}" if difference else ""
        head = f"structure {comparison.structure}{where}"
        return [head, *words.reasons(comparison), *words.causes_text(comparison.causes)]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "comparable": self.comparable,
            "structure": self.worst.structure,
            "numbers": self.worst.numbers,
            "why_not": self.why_not(),
            "plan": self.plan,
            "task": self.task,
            "settings": self.settings,
            "environment": self.environment,
            "samples_per_second": {name: _json(self.speed(name)) for name in self.runs},
            "loops": {name: self.loop(name) for name in self.runs},
            "notes": self.notes(),
            "ratio_to": next(iter(self.runs)),
            "ratios": {name: estimate.to_dict() for name, estimate in self.ratios().items()},
            "runs": {name: [run.to_dict() for run in runs] for name, runs in self.runs.items()},
            "run": str(self.folder),
        }

    def table(self) -> list[list[str]]:
        """What was measured, by adapter; the head first."""
        speeds = [str(self.speed(name) or "too short to say") for name in self.runs]
        rows = [["", *map(self.loop, self.runs)], ["samples/s", *speeds]]
        one_by_one = [[run.step_seconds for run in runs if not run.by_block] for runs in self.runs.values()]
        spans = [quantiles(np.concatenate(times or [np.empty(0)])) for times in one_by_one]
        for label, times in zip(_QUANTILES, zip(*spans, strict=True), strict=True):
            rows.append([f"step µs, {label}", *["" if t is None else f"{t * 1e6:,.1f}" for t in times]])
        cells: dict[str, Callable[[Sequence[MeasuredRun]], str]] = {
            "steps measured": _how,
            "import and set-up, s": lambda runs: _middle([r.setup_seconds for r in runs]),
            "to the first row, s": lambda runs: _middle([r.first_seconds for r in runs]),
            "processor share": lambda runs: _share([r.processor_share for r in runs]),
            "peak memory, MiB": lambda runs: _middle([r.peak_memory and r.peak_memory / 2**20 for r in runs], digits=0),
        }
        rows += [[label, *map(cell, self.runs.values())] for label, cell in cells.items()]
        return rows

    def ratio_lines(self) -> list[str]:
        """Each ratio in a line, of the loops by their names."""
        first = self.loop(next(iter(self.runs)))
        return [f"samples/s, {self.loop(name)} / {first}: {estimate}" for name, estimate in self.ratios().items()]

    def notes(self) -> list[str]:
        """What has to be known to read the figures."""
        notes = []
        many = [self.loop(name) for name, runs in self.runs.items() if any(run.by_block for run in runs)]
        single = [self.loop(name) for name in self.runs if self.loop(name) not in many]
        if many:
            several = (
                f"by block: the host hears of {', '.join(many)} many steps at a time, so none has a time of its own"
            )
            unlike = f", of {', '.join(single)} after each step: unlike loops, and the ratio is theirs"
            notes.append(several + (unlike if single else ""))
        notes.append(
            "samples/s counts all steps after the warm-up, which is the first epoch; of a single epoch, its first tenth"
        )
        notes.append(brackets(self.settings["rounds"]))
        if self.settings.get("device", "cpu") == "cpu" and not self.settings.get("workers"):
            for name, runs in self.runs.items():
                shares = [run.processor_share for run in runs if run.processor_share is not None]
                if shares and median(shares) < BUSY:
                    notes.append(_starved(self.loop(name), median(shares)))
        return notes

    def __str__(self) -> str:
        lines = [f"plan: {self.plan}", f"task: {self.task}", "", *tables.plain(self.table(), indent=2), ""]
        worst = self.worst
        lines.append(f"structure {worst.structure}, numbers {worst.numbers}, of the very runs that were timed")
        if self.comparable:
            lines += self.ratio_lines()
        else:
            lines += ["NOT COMPARABLE", *[f"  {text}" for text in self.why_not()]]
        return "\n".join([*lines, *self.notes(), environment_line(self.environment), f"run: {self.folder}"])


def _starved(who: str, share: float) -> str:
    return f"{who} had a processor for {share:.0%} of their time: was the machine used by others?"


def _share(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.0%}" if known else "unknown"


def _how(runs: Sequence[MeasuredRun]) -> str:
    steps = sum(len(run.step_seconds) for run in runs)
    return f"{steps:,}, {'by block' if any(run.by_block for run in runs) else 'one by one'}"


def _middle(values: Sequence[float | None], *, digits: int = 2) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):,.{digits}f}" if known else "unknown"
