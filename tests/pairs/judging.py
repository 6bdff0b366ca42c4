"""Runs the scripts of many cases, one process a framework, compares each pair and counts what was reported rightly."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import xframe
from pairs.cases import CAUSE_COUNTS, Case, Kind
from pairs.reading import out_of_use, refuted
from pairs.script import Script
from xframe.comparison.result import Comparison

FRAMEWORKS = ("torch", "tensorflow")
KINDS: tuple[Kind, ...] = (*CAUSE_COUNTS, "double", "validation", "numeric", "harmless")
TESTS = Path(__file__).parents[1]
# Shares of the mistakes. Of false alarms and of what is wrong as certain, refuted or more than is known: none.
BARS = {"detected": 1.0, "first": 0.95, "cause": 0.9, "double": 0.75}
# A cause that is another's special case: the general one is less than could be said, and yet true.
GENERAL = {"schedule-late": "learning-rate", "schedule-clock": "learning-rate"}


@dataclass(frozen=True)
class Outcome:
    """What was reported of one case.

    Attributes:
        detected: the comparison failed, or stated the cause where that is all that is asked.
        first: the first difference is the step and check that it should be; None where no step can be worked out.
        cause: the cause named first is right.
        second: of two mistakes, the second is named too.
        elsewhere: the cause named first shows at a step other than the first difference.
        wrong: the causes that are called certain and are not right.
        refuted: the sentences that the report itself contradicts.
        unused: the trainers that fixes are offered for and neither script uses.
        too_much: of a numeric mistake: more is said than is known.
        alarm: a harmless variant did not pass.
    """

    case: Case
    comparison: Comparison
    detected: bool = True
    first: bool | None = None
    cause: bool = True
    second: bool = True
    elsewhere: bool = False
    wrong: tuple[str, ...] = ()
    too_much: bool = False
    refuted: tuple[str, ...] = ()
    unused: frozenset[str] = frozenset()
    alarm: bool = False

    @property
    def misses(self) -> list[str]:
        """What is not as it should be, in words."""
        asked = self.case.kind in (*CAUSE_COUNTS, "double")
        said = {
            "FALSE ALARM": self.alarm,
            "not detected": not self.detected,
            "first difference elsewhere": self.first is False,
            "cause": asked and not self.cause,
            "the second cause": not self.second,
            "explains another step": self.elsewhere,
            "WRONG AS CERTAIN": bool(self.wrong),
            "says more than is known": self.too_much,
            "refuted by its own table": bool(self.refuted),
        }
        return [text for text, is_so in said.items() if is_so]

    def __str__(self) -> str:
        case, comparison = self.case, self.comparison
        expected = "to pass"
        if not case.harmless:
            step = "" if case.step is None else f" at step {case.step}"
            expected = f"{case.check or 'a cause'}{step}, {' or '.join(sorted(case.causes))}"
            expected += f"; besides {' or '.join(sorted(case.also))}" if case.also else ""
        difference = comparison.first_difference
        first = f"{difference['check']} at step {difference['step']}" if difference else "no first difference"
        failed = [check.name for check in comparison.checks if check.result == "fail"]
        lines = [
            f"{case.name} [{case.kind}]: {', '.join(self.misses)}",
            f"  expected: {expected}",
            f"  reported: {comparison.verdict}, {first}; failed checks: {', '.join(failed) or 'none'}",
            *(
                f"  {'CERTAIN' if one.certain else 'likely'} {one.name} (step {one.step}): {one.sentence}"
                for one in comparison.causes
            ),
        ]
        if not comparison.causes:
            lines += [f"  says: {text}" for text in comparison.explanation]
        return "\n".join(lines)


@dataclass
class Score:
    """The outcomes, and what they add up to."""

    outcomes: list[Outcome] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Outcome]:
        return [one for one in self.outcomes if one.case.kind in (kinds or KINDS)]

    @property
    def mistakes(self) -> list[Outcome]:
        return [one for one in self.outcomes if not one.case.harmless]

    @property
    def detected(self) -> float:
        return _share(one.detected for one in self.mistakes)

    @property
    def first(self) -> float:
        return _share(one.first for one in self.mistakes if one.first is not None)

    @property
    def cause(self) -> float:
        """Where the cause is in structure, order, schedule or lengths."""
        return _share(one.cause for one in self.of(*CAUSE_COUNTS))

    @property
    def double(self) -> float:
        """The same of two mistakes at once: the first difference's cause comes first."""
        return _share(one.cause for one in self.of("double"))

    @property
    def wrong(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.wrong]

    @property
    def alarms(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.alarm]

    @property
    def too_much(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.too_much]

    @property
    def refuted(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.refuted]

    @property
    def unmet(self) -> list[str]:
        """The bars that are not met."""
        shares = {name: getattr(self, name) for name in BARS}
        unmet = [
            f"{name}: {share:.1%}, where {BARS[name]:.0%} are asked"
            for name, share in shares.items()
            if share < BARS[name]
        ]
        counts = {
            "wrong as certain": self.wrong,
            "false alarms": self.alarms,
            "says more than is known": self.too_much,
            "refuted by its own table": self.refuted,
        }
        return unmet + [f"{name}: {len(found)}" for name, found in counts.items() if found]

    @property
    def table(self) -> str:
        """The counts by kind, and each miss with what was said."""
        names = ("cases", "detected", "first", "cause", "elsewhere", "wrong", "too much", "refuted", "unused", "alarms")
        widths = (7, 10, 12, 9, 11, 7, 10, 9, 8, 8)
        lines = [_row("", names, widths)]
        for kind in (*KINDS, "all"):
            found = self.outcomes if kind == "all" else self.of(kind)
            mistakes = [one for one in found if not one.case.harmless]
            known = [one for one in mistakes if one.first is not None]
            asked = [one for one in mistakes if one.case.kind in (*CAUSE_COUNTS, "double")]
            cells = [
                len(found),
                sum(one.detected for one in mistakes),
                f"{sum(bool(one.first) for one in known)}/{len(known)}",
                f"{sum(one.cause for one in asked)}/{len(asked)}",
                sum(one.elsewhere for one in found),
                sum(bool(one.wrong) for one in found),
                sum(one.too_much for one in found),
                sum(bool(one.refuted) for one in found),
                sum(bool(one.unused) for one in found),
                sum(one.alarm for one in found),
            ]
            lines.append(_row(kind, cells, widths))
        lines += ["", *(str(one) for one in self.outcomes if one.misses)]
        return "\n".join(lines)


def _row(title: str, cells: Iterable[object], widths: Iterable[int]) -> str:
    return f"{title:12}" + "".join(f"{cell!s:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _share(values: Iterable[object]) -> float:
    found = [bool(value) for value in values]
    return sum(found) / len(found) if found else 1.0


def scored(cases: Sequence[Case], folder: Path | None = None) -> Score:
    """All of them run, compared and judged; in a folder given, traces are kept, and those there are not made again."""
    if folder is None:
        with tempfile.TemporaryDirectory() as own:
            return scored(cases, Path(own))
    traces = run_all([script for case in cases for script in (case.left, case.right)], folder)
    return Score([outcome(case, traces[case.left], traces[case.right]) for case in cases])


def run_all(scripts: Iterable[Script], folder: Path) -> dict[Script, Path]:
    """The trace of each script; equal scripts are run once."""
    traces = {script: _path(script, folder) for script in dict.fromkeys(scripts)}
    running = []
    for framework in FRAMEWORKS:
        jobs = [
            {"script": asdict(script), "path": str(path)}
            for script, path in traces.items()
            if script.framework == framework and not path.exists()
        ]
        if not jobs:
            continue
        listed = folder / f"{framework}.json"
        listed.write_text(json.dumps(jobs))
        path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
        command = [sys.executable, "-m", "pairs.worker", framework, str(listed)]
        environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
        log = (folder / f"{framework}.log").open("w")
        running.append((subprocess.Popen(command, env=environment, stdout=log, stderr=log), log))
    for process, log in running:
        code = process.wait()
        log.close()
        assert code == 0, Path(log.name).read_text()[-3000:]
    errors = [path.read_text() for path in folder.glob("*/*.error")]
    assert not errors, "\n".join(errors[:3])
    return traces


def _path(script: Script, folder: Path) -> Path:
    default = Script(script.loop)
    settings = {name: value for name, value in asdict(script).items() if value != getattr(default, name)}
    name = hashlib.sha256(repr((script.loop, settings)).encode()).hexdigest()[:16]
    (folder / name).mkdir(exist_ok=True)
    return folder / name / f"{'torch' if script.framework == 'torch' else 'keras'}.trace"


def outcome(case: Case, left: Path, right: Path) -> Outcome:
    """One pair compared, and what was reported compared with what was expected."""
    comparison = xframe.compare(left, right, order=case.pair.order)
    found = _judged(case, comparison)
    return replace(found, refuted=tuple(refuted(case, comparison)), unused=frozenset(out_of_use(comparison)))


def _judged(case: Case, comparison: Comparison) -> Outcome:
    if case.harmless:
        return Outcome(case, comparison, alarm=comparison.verdict != "passed" or bool(comparison.causes))
    causes = comparison.causes
    names = {one.name for one in causes}
    second = not case.also or bool(case.also & names)
    general = {GENERAL[name] for name in case.causes & GENERAL.keys()}
    right = (case.causes | case.also | general) if second else frozenset()  # half of what happened is not certain
    wrong = tuple(one.name for one in causes if one.certain and one.name not in right)
    if not case.check and case.kind != "numeric":
        stated = any(one.name in case.causes for one in causes) or any(
            "stored order" in text or "not shuffle" in text for text in comparison.explanation
        )
        return Outcome(case, comparison, detected=stated, cause=stated, wrong=wrong)
    difference = comparison.first_difference or {}
    failed = [check.name for check in comparison.checks if check.result == "fail"]
    first: bool | None = None
    if case.step is not None:
        first = (difference.get("check"), difference.get("step")) == (case.check, case.step)
    elif case.check:
        first = case.check in failed and difference.get("check", case.check) == case.check
    return Outcome(
        case,
        comparison,
        detected=comparison.verdict == "failed",
        first=first,
        cause=bool(causes) and causes[0].name in case.causes,
        second=second,
        elsewhere=bool(causes) and case.check != "validation" and causes[0].step not in (None, difference.get("step")),
        wrong=wrong,
        too_much=bool(causes) and causes[0].name in case.forbidden,
    )
