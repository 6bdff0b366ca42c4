"""What a comparison shows: its verdict, a result for each check, and why it failed.

All of it are frozen values. ``Comparison.to_dict`` is the JSON form, whose keys are a contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xframe.comparison.settings import Difference
from xframe.comparison.table import checks_table, notebook
from xframe.errors import UsageError, Verbatim
from xframe.numerics.result import Numerics
from xframe.plan.counting import Counts
from xframe.plan.training_plan import TrainingPlan
from xframe.tables import folded, plain
from xframe.trace.continued import Join
from xframe.trace.schema import Group

if TYPE_CHECKING:
    import pandas as pd

    from xframe.comparison.pairing import Run

Result = Literal["pass", "fail", "not judged"]
# Of a check.
_BY_TOLERANCE, _SAME = {"loss", "weights", "gradient_norm"}, {"identical", "equivalent"}
_IN_JSON = ("name", "result", "rule", "values", "first", "worst", "worst_at", "worst_of", "undecided", "detail")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """|a - b| <= atol + rtol * max(|a|, |b|)."""

    rtol: float
    atol: float

    def __post_init__(self) -> None:
        if not (0 <= self.rtol < np.inf and 0 <= self.atol < np.inf):
            raise UsageError("a tolerance", got=Verbatim(self), expected="finite numbers from 0 up")

    def allowed(self, a: Any, b: Any) -> Any:
        """By how much two numbers, or each two of two arrays, may differ."""
        return self.atol + self.rtol * np.maximum(np.abs(a), np.abs(b))

    def __str__(self) -> str:
        return f"rtol {self.rtol:g}, atol {self.atol:g}"

    @classmethod
    def given(cls, rtol: float | None, atol: float | None) -> Tolerance | None:
        """The tolerance of these two; None if neither is given.

        Raises:
            UsageError: one is given without the other, or one is no finite number from 0 up.
        """
        if rtol is None and atol is None:
            return None
        if rtol is None or atol is None:
            raise UsageError(
                "a tolerance",
                got=Verbatim(f"rtol {rtol:g} alone" if rtol is not None else f"atol {atol:g} alone"),
                expected="rtol and atol, or neither",
                remedy="Give both; 0 turns one of them off.",
            )
        return cls(rtol, atol)


TOLERANCES = {
    "float64": Tolerance(1e-9, 1e-10),
    "float32": Tolerance(1e-4, 1e-4),
    "mixed_float16": Tolerance(2e-2, 2e-2),
    "bfloat16": Tolerance(2e-1, 2e-1),
}  # from the finest to the coarsest


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a run differs from the plan or from the reference.

    Attributes:
        name: of the cause, see ``xframe.diagnosis.causes``; stable.
        certain: the arithmetic leaves no other cause.
        sentence: what happened, with the arithmetic.
        fix: by framework or trainer (``torch``, ``tensorflow``, ``plan`` …), the setting that fixes it.
        step: the first step at which it shows.
        by_chance: where totals agree in spite of it, the arithmetic of that.
        besides: it holds together with a cause listed before it, of something else that differs; else it is one that
            may be right instead.
    """

    name: str
    run: str
    certain: bool
    sentence: str
    fix: Mapping[str, str] = field(default_factory=dict)
    step: int | None = None
    by_chance: str = ""
    besides: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"mend" if name == "fix" else name: value for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one pair shows of one check.

    Attributes:
        result: ``pass``, ``fail`` or ``not judged``.
        first: index of the first step that fails.
        detail: one sentence, where there is something to say.
        worst: largest difference between two runs, absolute; None where nothing was measured.
        worst_at: the step or weight at which it occurred.
        undecided: data was present but could not be judged, so the comparison cannot pass.
        worst_of: which number that is, where it is not the one that the check is called after.
    """

    result: Result
    first: int | None = None
    detail: str = ""
    worst: float | None = None
    worst_at: int | str | None = None
    undecided: bool = False
    worst_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult(Judgement):
    """What all pairs show of one check: one row of the table.

    Attributes:
        name, title, group, computed, shown: those of the ``Check``.
        rule: what was required, with its tolerance.
        brief: the same in a few words, where it passes by the default tolerance; else empty.
        values: what each run shows, by its name.
        absent: no run has what it judges, so that tables leave it out.
    """

    name: str
    title: str
    group: Group
    computed: bool
    shown: tuple[str, str]
    rule: str
    brief: str = ""
    values: Mapping[str, int | str | None]
    absent: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        shown = {name: getattr(self, name) for name in _IN_JSON}
        return shown | ({} if self.worst is None or np.isfinite(self.worst) else {"worst": str(self.worst)})


@dataclass(frozen=True, repr=False)
class Comparison:
    """The outcome; true only if it passed. ``str`` shows its table, and where and why it did not.

    Attributes:
        checks: in the order in which reports show them.
        first_difference: the earliest failing step, with that step of each side; None if no step fails.
        runs: what each run's rows amount to, by its name, the reference first.
        num_replicas: how many made each run, by its name, 1 where it is not in there.
        certificates, endings, versions, runtimes, about: of each run, by its name.
        by_run: of each run that was compared with something: its verdict, and the check and step that first fail.
        explanation: sentences: what was noticed, and why it failed.
        plan, num_samples: what the runs were compared with.
        order: ``exact`` or ``coverage``.
        order_chosen: coverage was not asked for, but chosen for runs that draw in orders of their own: it never passes.
        folder: where ``verify`` put traces and reports.
        causes: why it failed, most likely first.
        settings: what each further run set differently than the first, what matters most first; no verdict rests on it.
        within: one run, whose replicas were compared with each other and with nothing else.
        tolerance: of loss and weights, the one in force.
        by_hand: the tolerance was given; else it is by the precision, and not used where ``numerics`` has a floor.
        numerics: of each further run whose steps were judged from the first one's states.
        joins: of each run that is in several traces, where one goes on with those before it.
        options: of the command line, by which plan the runs were compared; not in the JSON form.
        golden: the file that the runs were compared with, if one was; not in the JSON form.
        sides: the runs themselves, the reference first, from whose rows pictures are drawn; not in the JSON form.
    """

    checks: tuple[CheckResult, ...]
    first_difference: dict[str, Any] | None
    runs: dict[str, Counts]
    certificates: dict[str, str]
    endings: dict[str, str]
    explanation: tuple[str, ...] = ()
    plan: TrainingPlan | None = None
    num_samples: int | None = None
    order: str = "exact"
    order_chosen: bool = False
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    runtimes: dict[str, dict[str, Any]] = field(default_factory=dict)
    about: dict[str, dict[str, str]] = field(default_factory=dict)
    by_run: dict[str, dict[str, Any]] = field(default_factory=dict)
    folder: Path | None = None
    seconds: float | None = None
    causes: tuple[Explanation, ...] = ()
    settings: tuple[Difference, ...] = ()
    within: bool = False
    tolerance: Tolerance | None = None
    by_hand: bool = False
    numerics: tuple[Numerics, ...] = ()
    joins: dict[str, tuple[Join, ...]] = field(default_factory=dict)
    num_replicas: dict[str, int] = field(default_factory=dict)
    options: tuple[str, ...] = field(default=(), compare=False)
    golden: Path | None = field(default=None, compare=False)
    sides: tuple[Run, ...] = field(default=(), compare=False)

    def check(self, name: str) -> CheckResult:
        """The result of the check of that name."""
        return next(check for check in self.checks if check.name == name)

    @property
    def listed(self) -> tuple[CheckResult, ...]:
        """The checks that reports list."""
        return tuple(check for check in self.checks if not check.absent)

    @property
    def structure(self) -> str:
        """``identical``, ``different`` or ``not judged``."""
        results = {check.result for check in self.checks if check.group == "structure"}
        if "fail" in results:
            return "different"
        return "identical" if results == {"pass"} else "not judged"

    @property
    def numbers(self) -> str:
        """``identical``, ``equivalent``, ``within tolerance``, ``different`` or ``not judged``.

        Within tolerance are numbers that no more was judged of, or that a tolerance given by hand was taken for.
        """
        numbers = [check for check in self.checks if check.group == "numbers"]
        if any(check.result == "fail" for check in numbers):
            return "different"
        judged = [check for check in numbers if check.computed and check.result != "not judged"]
        if not judged or self.structure != "identical" or self.structure_only:
            return "not judged"
        if all(not check.worst for check in numbers if check.computed or check.name == "validation"):
            return "identical"
        words = {one.verdict for one in self.numerics if one.steps}
        if self.by_hand or not words or len(self.numerics) < len(self.runs) - 1:
            return "within tolerance"
        return "not judged" if "inconclusive" in words else "equivalent"

    @property
    def only_tolerance(self) -> bool:
        """Whether nothing fails but a tolerance given by hand, where each run's steps from one state are equivalent."""
        failed = [check for check in self.checks if check.result == "fail"]
        close = all(one.name in _BY_TOLERANCE and one.worst is not None and np.isfinite(one.worst) for one in failed)
        judged = [one for one in self.numerics if one.steps]
        enough = len(judged) == len(self.runs) - 1 > 0 and all(one.verdict in _SAME for one in judged)
        accuracy = any("accuracy" in one.detail for one in failed)
        return self.by_hand and self.structure == "identical" and bool(failed) and close and enough and not accuracy

    @property
    def verdict(self) -> str:
        """``passed``, ``failed`` or ``inconclusive``."""
        if any(check.result == "fail" for check in self.checks):
            return "failed"
        undecided = self.order_chosen or any(check.undecided for check in self.checks)
        complete = all(ending == "complete" for ending in self.endings.values())
        judged = (self.within and self.checks[0].result == "pass") or self.structure == "identical"
        return "passed" if complete and not undecided and judged else "inconclusive"

    @property
    def exit_code(self) -> int:
        """What the command line exits with."""
        return {"passed": 0, "failed": 1, "inconclusive": 4}[self.verdict]

    def __bool__(self) -> bool:
        return self.verdict == "passed"

    def __repr__(self) -> str:
        return str(self)  # what ``assert comparison, comparison`` shows under pytest

    def _repr_html_(self) -> str:
        return notebook(self)  # a notebook's cell; the whole page is ``xframe.report.page``

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "sides": ()}  # open files are not copied

    def frame(self) -> pd.DataFrame:
        """The rows of all runs side by side, as they were recorded: a row a step, columns by run and name.

        ``frame()["torch"]["loss"]`` is a run's column; ``frame().xs("loss", axis=1, level="column")`` has it of all.

        Raises:
            UsageError: a copy of a comparison, which has no rows.
        """
        import pandas as pd

        frames = {run.name: run.trace.frame().set_index("step") for run in self.sides if run.trace is not None}
        if not frames:
            raise UsageError("no rows", got=Verbatim("a copy"), expected="what xframe.compare or verify returned")
        return pd.concat(frames, axis=1, names=["run", "column"])

    def __str__(self) -> str:
        judged = sum(check.result != "not judged" for check in self.checks)
        only = ", structure only" if self.structure_only else ""
        lines = [f"{self.verdict}: {' vs '.join(self.runs)}, {judged} of {len(self.checks)} checks judged{only}"]
        if self.numerics:
            lines[0] += f", structure {self.structure}, numbers {self.numbers}"
        lines += plain(checks_table(self), indent=2, keep=2)
        lines += [f"  {check.name}: {check.detail}" for check in self.listed if check.detail]
        lines += [f"  {text}" for text in self.explanation]
        return folded("\n".join(lines))

    @property
    def structure_only(self) -> bool:
        """Whether the numbers that depend on the order of the samples, losses and weights, were left unjudged."""
        return self.order == "coverage"

    def _replicas(self, name: str) -> dict[str, int]:
        """Of a run that several replicas made how many, beside its counts."""
        number = self.num_replicas.get(name, 1)
        return {"num_replicas": number} if number > 1 else {}

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; its keys are a contract."""
        return {
            "verdict": self.verdict,
            "structure": self.structure,
            "numbers": self.numbers,
            "checks": [check.to_dict() for check in self.checks],
            "first_difference": self.first_difference,
            "explanation": list(self.explanation),
            "runs": {name: {**counts.to_dict(), **self._replicas(name)} for name, counts in self.runs.items()},
            "causes": [cause.to_dict() for cause in self.causes],
            "settings": [one.to_dict() for one in self.settings],
            "numerics": [one.to_dict() for one in self.numerics] or None,
            "tolerance": {"rtol": self.tolerance.rtol, "atol": self.tolerance.atol, "by_hand": self.by_hand}
            if self.tolerance is not None
            else None,
            "certificates": self.certificates,
            "endings": self.endings,
            "order": self.order,
            "order_chosen": self.order_chosen,
            "structure_only": self.structure_only,
            "plan": None if self.plan is None else self.plan.to_dict(),
            "num_samples": self.num_samples,
            "versions": self.versions,
            "runtimes": self.runtimes,
            "about": self.about,
            "by_run": self.by_run,
            "joined": {name: [asdict(one) for one in joins] for name, joins in self.joins.items()},
            "run": None if self.folder is None else str(self.folder),
        }
