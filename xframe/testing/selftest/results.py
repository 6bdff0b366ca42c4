"""What the self-test shows: of each faulty run what comparisons reported, the figures over all, and both as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from xframe.tables import indented, plain
from xframe.testing.baselines import BASELINES

TASK = "digits-mlp"  # of the faults
CAUSES_RIGHT = 0.9  # of all faults, at least
JUDGED = ("detected", "localised", "cause_right", "cause_wrong_but_certain")
TITLES = ("faults", "detected", "exact step", "right cause", "wrong but certain")


@dataclass(frozen=True)
class Reported:
    """What a comparison reported of one faulty run in one setting, and whether that is right."""

    setting: str
    detected: bool
    localised: bool
    check: str | None
    step: int | None
    cause: str | None
    right: bool
    certain: bool


@dataclass(frozen=True)
class Finding:
    """One faulty run: the right check, step and causes, and what was reported."""

    adapter: str
    kind: str  # ``fault`` or ``mutation``
    name: str  # of the fault or the mutator
    check: str
    step: int | None
    causes: tuple[str, ...]
    reported: tuple[Reported, ...] = ()  # by setting; empty if the fault did not run, then ``problem`` says why
    baselines: dict[str, bool] = field(default_factory=dict)  # which of them saw a difference
    problem: str = ""

    @property
    def detected(self) -> bool:
        """In every setting, the right check fails."""
        return bool(self.reported) and all(one.detected for one in self.reported)

    @property
    def localised(self) -> bool:
        """In every setting, at the right step."""
        return bool(self.reported) and all(one.localised for one in self.reported)

    @property
    def cause_right(self) -> bool:
        """In every setting, a right cause comes first."""
        return bool(self.reported) and all(one.right for one in self.reported)

    @property
    def cause_wrong_but_certain(self) -> bool:
        """In some setting, a wrong cause is called certain."""
        return any(one.certain and not one.right for one in self.reported)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        names = ("adapter", "kind", "name", "check", "step", "causes", *JUDGED)
        reported = ("check", "step", "cause", "certain", "right")
        return {
            **{name: getattr(self, name) for name in names},
            "causes": list(self.causes),
            "told": {one.setting: {name: getattr(one, name) for name in reported} for one in self.reported},
            "baselines": self.baselines,
            "problem": self.problem,
        }

    def __str__(self) -> str:
        if not self.reported:
            return f"{self.adapter} {self.name}: {self.problem}"
        right = f"{self.check} at {self.step}, {' or '.join(self.causes)}"
        reports = "; ".join(
            f"{one.setting}: {one.check} at {one.step}, {one.cause}{' for certain' if one.certain else ''}"
            for one in self.reported
        )
        return f"{self.adapter} {self.name}: {right}; {reports}"


def figures(findings: Sequence[Finding]) -> dict[str, int]:
    """How many there are, and how many of them were reported rightly."""
    return {"faults": len(findings), **{name: sum(getattr(one, name) for one in findings) for name in JUDGED}}


@dataclass(frozen=True)
class Clean:
    """The honest runs."""

    runs: int = 0  # how many, random ones and those that the faults are compared with
    plans: int = 0  # random plans among them
    steps: int = 0  # of all runs
    comparisons: int = 0  # of a run with its plan, and of two adapters' runs, with and without a plan
    alarms: tuple[str, ...] = ()  # a line for each comparison that did not pass, or named a cause
    pairs: int = 0  # of two adapters' runs on real data, which the baselines judge too
    baseline_alarms: dict[str, int] = field(default_factory=dict)  # how many of these each baseline calls different
    refused: tuple[str, ...] = ()  # what an adapter refused to run, and why


@dataclass(frozen=True)
class SelfTest:
    """All findings; true only if they are what xframe promises of itself."""

    adapters: tuple[str, ...]
    findings: tuple[Finding, ...]
    clean: Clean
    seed: int
    seconds: float

    def of(self, kind: str, adapter: str | None = None) -> list[Finding]:
        """The findings of one kind, of one adapter or of all."""
        return [one for one in self.findings if one.kind == kind and adapter in (None, one.adapter)]

    @property
    def misses(self) -> list[Finding]:
        """What was not fully found, localised and explained, the worst first."""
        missed = [one for one in self.findings if not (one.detected and one.localised and one.cause_right)]
        return sorted(missed, key=lambda one: (one.detected, one.localised, not one.cause_wrong_but_certain))

    def __bool__(self) -> bool:
        good = all(
            one["detected"] == one["localised"] == one["faults"]
            and one["cause_right"] >= CAUSES_RIGHT * one["faults"]
            and not one["cause_wrong_but_certain"]
            for one in (figures(self.of(kind)) for kind in ("fault", "mutation"))
        )
        return good and not self.clean.alarms and bool(self.findings or self.clean.runs)

    @property
    def exit_code(self) -> int:
        """0 if it passed, else 1."""
        return 0 if self else 1

    def baselines(self, adapter: str | None = None) -> dict[str, int]:
        """How many named faults each of them sees."""
        return {name: sum(one.baselines.get(name, False) for one in self.of("fault", adapter)) for name in BASELINES}

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; the keys up to ``baselines`` are a contract."""
        return {
            **figures(self.of("fault")),
            "clean_runs": self.clean.runs,
            "false_alarms": len(self.clean.alarms),
            "baselines": self.baselines(),
            "passed": bool(self),
            "adapters": {
                name: {**figures(self.of("fault", name)), "baselines": self.baselines(name)} for name in self.adapters
            },
            "mutations": {
                **figures(self.of("mutation")),
                "adapters": {name: figures(self.of("mutation", name)) for name in self.adapters},
            },
            "clean": {
                "random_plans": self.clean.plans,
                "steps": self.clean.steps,
                "comparisons": self.clean.comparisons,
                "alarms": list(self.clean.alarms),
                "pairs": self.clean.pairs,
                "baseline_false_alarms": self.clean.baseline_alarms,
                "refused": list(self.clean.refused),
            },
            "misses": [one.to_dict() for one in self.misses],
            "found": [one.to_dict() for one in self.findings],
            "task": TASK,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
        }


def text(result: SelfTest) -> str:
    """The tables that docs/explanation/proof.md shows: figures, baselines, clean runs, what was missed."""
    clean, misses = result.clean, result.misses
    lines = _own(result)
    if result.of("fault"):
        lines += ["", *_baselines(result)]
    lines += [
        "",
        f"{clean.runs:,} clean runs of {clean.steps:,} steps, {clean.plans:,} random plans among them: "
        f"{len(clean.alarms):,} false alarms in {clean.comparisons:,} comparisons",
        *indented(clean.alarms[:20]),
        *(f"refused: {line}" for line in clean.refused[:5]),
    ]
    if misses:
        lines += ["", f"not found in full: {len(misses):,}", *indented([str(one) for one in misses[:40]])]
    verdict = "passed" if result else "FAILED"
    return "\n".join([*lines, "", f"seed {result.seed}, {result.seconds:,.0f} s: {verdict}"])


def _own(result: SelfTest) -> list[str]:
    rows = [(name, figures(result.of("fault", name))) for name in result.adapters]
    if len(result.adapters) > 1:
        rows.append(("all", figures(result.of("fault"))))
    if mutations := result.of("mutation"):
        rows.append(("mutated rows", figures(mutations)))
    table = [("xframe", *TITLES), *((name, *(f"{number:,}" for number in row.values())) for name, row in rows)]
    return plain(table, right=range(1, len(table[0])))


def _baselines(result: SelfTest) -> list[str]:
    """How many named faults each baseline sees, and how many honest pairs it calls different."""
    parts: list[str | None] = [*result.adapters, *([None] if len(result.adapters) > 1 else [])]
    counts = [result.baselines(part) for part in parts]
    head = ["what else sees them", *(part or "all" for part in parts)]
    rows = [[name, *(f"{count[name]:,}" for count in counts)] for name in BASELINES]
    if alarms := result.clean.baseline_alarms:
        head.append(f"false alarms of {result.clean.pairs}")
        for row in rows:
            row.append(f"{alarms.get(row[0], 0):,}")
    return plain([head, *rows], right=range(1, len(head)))
