"""A sweep's file: the trials that it lists, in their order.

    [plan]                  what all trials share: fields of the plan
    epochs = 3

    [run]                   what all share beside it: task, optimizer, adapter, precision, device, threads …
    task = "digits-mlp"

    [grid]                  each list is an axis: every combination is a trial
    batch_size = [32, 64, 128]
    adapter = ["torch", "tensorflow:fit"]
    seed = [0, 1, 2]

    [[cases]]               values that go together, each combined with the grid; they replace those of [plan] and [run]
    name = "accumulated"
    gradient_accumulation_steps = 4

    [[exclude]]             leaves out the trials that have all of these values
    adapter = "tensorflow:fit"
    batch_size = 32

Cases vary slowest, then the grid's axes in the order of the file. A limit of a case or of the grid replaces all limits
of [plan], as on the command line. All trials are checked before the first one runs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xframe.errors import PlanError, UsageError, Verbatim, XframeError, did_you_mean, shown
from xframe.plan.fields import FIELDS, LIMITS
from xframe.plan.problems import ELSEWHERE
from xframe.plan.training_plan import TrainingPlan, read_toml
from xframe.running.request import DEFAULT_ADAPTERS, DEFAULT_TASK, Request
from xframe.tasks.optimizers import read as read_rule

SETTINGS: dict[str, Any] = {  # what a trial has beside its plan, and its default
    "task": DEFAULT_TASK,
    "optimizer": None,  # in place of the task's own
    "adapter": None,  # of a file that names none, those of ``xframe verify``
    "precision": "float32",
    "device": "auto",
    "threads": 1,  # so that a trial's numbers do not depend on how many run at once
    "tf32": False,
    "workers": 0,
}
TABLES = ("plan", "run", "grid", "cases", "exclude")
MOST = 100_000  # trials of a sweep
_SHOWN = 5  # problems of trials that an error lists


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        id: equal for equal trials of any sweep; the name of its files.
        case: the name of the case it comes from, if it has one.
        given: the plan's fields as the file has them.
        plan: made of them.
        settings: task, adapter and so on, all of ``SETTINGS``.
        varied: of both, what tells it from the sweep's other trials.
    """

    id: str
    case: str | None
    given: Mapping[str, Any]
    plan: TrainingPlan
    settings: Mapping[str, Any]
    varied: Mapping[str, Any]

    @property
    def words(self) -> str:
        """What tells it from the others, as ``batch_size 32, adapter torch``."""
        return ", ".join(f"{name} {value}" for name, value in self.varied.items()) or self.id

    def request(self, python: Mapping[str, str] | None = None, timeout: float | None = None) -> Request:
        """To run it; of the interpreters, the one of its adapter counts."""
        settings = dict(self.settings)
        adapter = settings.pop("adapter")
        own = {name: path for name, path in (python or {}).items() if name == adapter.partition(":")[0]}
        return Request(plan=self.plan, adapters=(adapter,), python=own, timeout=timeout, **settings)

    @property
    def command(self) -> str:
        """The command that runs it again, by itself."""
        implied = {"device": "auto", "tf32": False, "workers": 0, "adapter": self.settings["adapter"]}
        options = {name: value for name, value in self.settings.items() if value not in (None, implied.get(name))}
        words = ["xframe", "verify", "--adapters", self.settings["adapter"]]
        for name, value in {**options, **self.given}.items():
            option = name.replace("_", "-")
            if type(value) is bool:
                words += [f"--{option}"] if value else [f"--no-{option}"] if name in FIELDS else []
            else:
                words += [f"--{option}", str(value)]
        return shlex.join(words)


@dataclass(frozen=True)
class Sweep:
    """A sweep's file, read and checked.

    Attributes:
        name: of its folder.
        text: of the file.
        trials: in order; at least one.
        num_steps: of each trial, by its plan.
    """

    name: str
    text: str
    trials: tuple[Trial, ...]
    num_steps: Mapping[str, int] = field(default_factory=dict)


def read(path: Path) -> Sweep:
    """The sweep of a file, all trials of which can be run.

    Raises:
        UsageError: the file cannot be read, is no sweep's, or lists what cannot be run; it says what and where.
    """
    tables = _tables(path)
    shared, settings = _values(tables, "plan", FIELDS), _values(tables, "run", SETTINGS)
    axes = _axes(tables, shared, settings)
    cases = _listed(tables, "cases", axes)
    if not {"adapter"} & (settings.keys() | axes.keys() | {name for case in cases for name in case}):
        axes["adapter"] = list(DEFAULT_ADAPTERS)
    trials = tuple(_trials(shared, settings, axes, cases, _listed(tables, "exclude", {})))
    return Sweep(path.stem, path.read_text(encoding="utf-8"), trials, _checked(trials))


def _tables(path: Path) -> dict[str, Any]:
    tables = read_toml(path, "sweep's file")
    for name, value in tables.items():
        if name in TABLES:
            continue
        if name in FIELDS or name in SETTINGS:
            table = "plan" if name in FIELDS else "run"
            raise UsageError(
                f"{name!r} outside a table",
                got=value,
                expected=f"it under [{table}], for all trials, or as a list under [grid]",
                remedy=f"Put a line [{table}] above it. See: xframe sweep --help",
            )
        hint = did_you_mean(name, TABLES)
        expected = "[plan], [run], [grid], [[cases]] and [[exclude]]"
        raise UsageError("no table of a sweep", got=name, expected=expected, remedy=hint or "See: xframe sweep --help")
    if not {"plan", "grid", "cases"} & tables.keys():
        raise UsageError("no trials in the file", got=str(path), expected=_EXAMPLE, remedy="See: xframe sweep --help")
    return tables


_EXAMPLE = "a table [plan], as with epochs = 3, and a table [grid] of lists, as with batch_size = [32, 64]"


def _values(tables: Mapping[str, Any], table: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The values of [plan] or [run], single ones under names that belong there."""
    values = tables.get(table, {})
    if not isinstance(values, dict):
        raise UsageError(f"[{table}]", got=values, expected=f"one table [{table}]")
    for name, value in values.items():
        if name not in known:
            raise _misplaced(name, value, table)
        if isinstance(value, list):
            raise UsageError(
                f"a list in [{table}]: {name}",
                got=value,
                expected="one value, which all trials share",
                remedy="Move the line to [grid], where each of its values makes trials.",
            )
    return dict(values)


def _misplaced(name: str, value: Any, table: str) -> UsageError:
    """The error of a name that does not belong into that table."""
    known = [*FIELDS, *SETTINGS]
    if name in known:
        home = "plan" if name in FIELDS else "run"
        return UsageError(f"{name!r} in [{table}]", got=value, expected=f"it in [{home}], or as a list in [grid]")
    hint = f"A plan calls it {ELSEWHERE[name]}." if name in ELSEWHERE else did_you_mean(name, known)
    expected = "a field of the plan, or one of " + ", ".join(SETTINGS)
    return UsageError(
        f"unknown name in [{table}]", got=name, expected=expected, remedy=hint or "See: xframe plan --help"
    )


def _axes(tables: Mapping[str, Any], shared: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The grid's lists by name."""
    axes = tables.get("grid", {})
    if not isinstance(axes, dict):
        raise UsageError("[grid]", got=axes, expected="one table [grid]", remedy="Cases of their own are [[cases]].")
    for name, values in axes.items():
        if name not in FIELDS and name not in SETTINGS:
            raise _misplaced(name, values, "grid")
        home = "plan" if name in FIELDS else "run"
        if not isinstance(values, list):
            raise UsageError(
                f"{name} in [grid]",
                got=values,
                expected=f"a list, as {name} = [{_toml(values)}]",
                remedy=f"Or move the line to [{home}], for all trials.",
            )
        if not values:
            raise UsageError(f"{name} in [grid]", got=values, expected="at least one value", remedy="Remove the line.")
        twice = [value for i, value in enumerate(values) if value in values[:i] and type(value) is not bool]
        if twice:
            raise UsageError(f"{name} in [grid] has a value twice", got=twice[0], expected="each value once")
        if name in {**shared, **settings}:
            raise UsageError(
                f"{name} in [{home}] and in [grid]",
                got=values,
                expected="one of them",
                remedy=f"Remove it from [{home}].",
            )
    return dict(axes)


def _toml(value: Any) -> str:
    """A value as a sweep's file writes it."""
    return json.dumps(value) if isinstance(value, (str, bool, int, float)) else shown(value)


def _listed(tables: Mapping[str, Any], table: str, axes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tables of [[cases]] or [[exclude]]."""
    listed = tables.get(table, [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise UsageError(f"[{table}]", got=listed, expected=f"tables [[{table}]], with two brackets, one for each")
    for one in listed:
        for name, value in one.items():
            if name not in FIELDS and name not in SETTINGS and name != "name":
                raise _misplaced(name, value, f"[{table}]")
            if name == "name" and not isinstance(value, str):
                raise UsageError(f"name in [[{table}]]", got=value, expected='a text, as name = "small"')
            if isinstance(value, (list, dict)):
                raise UsageError(f"{name} in [[{table}]]", got=value, expected="one value; lists belong into [grid]")
            if name in axes:
                raise UsageError(
                    f"{name} in [grid] and in [[{table}]]",
                    got=value,
                    expected="one of them, or nothing states which counts",
                )
    return [dict(one) for one in listed]


def _trials(
    shared: Mapping[str, Any],
    settings: Mapping[str, Any],
    axes: Mapping[str, list[Any]],
    cases: Sequence[Mapping[str, Any]],
    exclude: Sequence[Mapping[str, Any]],
) -> Iterator[Trial]:
    """Each case at each point of the grid, but for what is left out."""
    number = max(1, len(cases))
    for choices in axes.values():
        number *= len(choices)
    if number > MOST:
        raise UsageError("too many trials", got=number, expected=f"at most {MOST:,}", remedy="Cut an axis of [grid].")
    varying = [name for name, values in axes.items() if len(values) > 1]
    left_out, ids = [0] * len(exclude), dict[str, str]()
    for case, point in itertools.product(cases or [{}], itertools.product(*axes.values())):
        at = dict(zip(axes, point, strict=True))
        named = {name: value for name, value in case.items() if name != "name"}
        own = {**named, **at}
        kept = {name: value for name, value in shared.items() if name not in LIMITS or not own.keys() & set(LIMITS)}
        values = {**SETTINGS, **settings, **kept, **own}
        out = [i for i, one in enumerate(exclude) if _matches(one, {**values, "name": case.get("name")})]
        for i in out:
            left_out[i] += 1
        if out:
            continue
        beside = {"case": case["name"]} if "name" in case else named if len(cases) > 1 else {}
        trial = _trial(case.get("name"), values, {**beside, **{name: at[name] for name in varying}})
        if trial.id in ids:
            raise UsageError("two trials are the same", got=Verbatim(f"{ids[trial.id]}; {trial.words}"), expected="one")
        ids[trial.id] = trial.words
        yield trial
    for one, count in zip(exclude, left_out, strict=True):
        if not count:
            raise UsageError("an [[exclude]] that leaves nothing out", got=one, expected="values that a trial has")
    if not ids:
        raise UsageError("no trials are left", got=Verbatim("[[exclude]] leaves out all"), expected="at least one")


def _matches(one: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(name in values and values[name] == value for name, value in one.items())


def _trial(case: str | None, values: Mapping[str, Any], varied: Mapping[str, Any]) -> Trial:
    given = {name: values[name] for name in FIELDS if name in values}
    settings = {name: values[name] for name in SETTINGS}
    where = ", ".join(f"{name} {value}" for name, value in varied.items())
    stated = {name: value for name, value in settings.items() if value is not None}
    for name, value in stated.items():
        kind = type(SETTINGS[name]) if SETTINGS[name] is not None else str
        if type(value) is not kind:
            expected = {str: "a text", int: "a whole number", bool: "true or false"}[kind]
            raise UsageError(name, got=value, expected=expected)
    try:
        plan = TrainingPlan.from_mapping(given)
    except PlanError as error:
        remedy = "A combination that is no plan is left out by [[exclude]]; plans by hand are [[cases]]."
        raise PlanError(f"{f'the trial {where}: ' if where else ''}{error}", remedy=remedy) from None
    if "optimizer" in stated:
        stated["optimizer"] = read_rule(stated["optimizer"]).to_dict()
    meant = json.dumps({"plan": plan.to_dict(), **stated}, sort_keys=True)
    digest = hashlib.blake2b(meant.encode(), digest_size=6).hexdigest()
    name = "".join(c if c.isalnum() else "-" for c in settings["adapter"])
    return Trial(f"{name}-{digest}", case, given, plan, settings, varied)


def _checked(trials: Sequence[Trial]) -> dict[str, int]:
    """The steps of each trial, if all can be run."""
    steps, problems = dict[str, int](), dict[str, list[str]]()
    for trial in trials:
        try:
            task = trial.request().checked_task()
            steps[trial.id] = trial.plan.counts(task.num_samples).num_steps
        except XframeError as error:
            problems.setdefault(str(error), []).append(trial.words)
    if problems:
        number = sum(map(len, problems.values()))
        lines = [
            f"{words[0]}{f' and {len(words) - 1} more' if words[1:] else ''}: {error}"
            for error, words in problems.items()
        ]
        lines = [*lines[:_SHOWN], *[f"and {len(lines) - _SHOWN} more"] * (len(lines) > _SHOWN)]
        raise UsageError(
            "\n  - ".join([f"{number} of {len(trials)} trials cannot run:", *lines]),
            remedy="Leave such a combination out by [[exclude]].",
        )
    return steps
