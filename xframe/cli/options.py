"""Options that several commands share: their types, help, and how their words are read; a plan's fields among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from cyclopts import Group, Parameter

from xframe.cli.grouping import GIVEN, JUDGED, PRINTED, WHAT, WHERE, of_field
from xframe.cli.names import Completer, interpreters, optimizers, tasks
from xframe.errors import UsageError, did_you_mean, shown
from xframe.plan.fields import DEFAULT, FIELDS, LIMITS, Field

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.request import Request

Options = TypeVar("Options")


def option(text: str, group: Group, names: Completer | None = None) -> Parameter:
    """An option with this help, whose value the shell completes if there are names for it."""
    return Parameter(help=text, group=group, completer=names)


def whole(_: Any, tokens: Sequence[Any]) -> int:
    """An integer as Python writes it; cyclopts' own conversion would round 2.5."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"got {shown(text)}, expected a whole number.") from None


def known(words: Any, token: Any) -> str:
    """A word of a type, which help and completion show too; cyclopts' own error has no hint."""
    known = [word for word in flat(words) if isinstance(word, str)]
    if token.value not in known:
        hint = did_you_mean(token.value, known)
        raise UsageError(token.keyword, got=token.value, expected="one of " + ", ".join(known), remedy=hint or None)
    return str(token.value)


def flat(words: Any) -> list[Any]:
    """The words of a type, those of its parts included."""
    return [part for word in get_args(words) for part in (flat(word) or [word])]


def word(text: str, group: Group) -> Parameter:
    """An option that takes one of its type's words."""
    return Parameter(help=text, group=group, converter=lambda words, tokens: known(words, tokens[0]))


def runtime(text: str, group: Group) -> Parameter:
    """An option that takes one of its type's words, of which ``Runtime`` knows what is wrong with others."""

    def taken(_: Any, tokens: Sequence[Any]) -> Any:
        from xframe.running.runtime import Runtime

        name = tokens[0].keyword.lstrip("-")
        return getattr(Runtime(**{name: tokens[0].value}), name)

    return Parameter(help=text, group=group, converter=taken)


def number(text: str, group: Group) -> Parameter:
    """An option that takes a whole number."""
    return Parameter(help=text, group=group, converter=whole, show_default=False)


def flag(text: str, group: Group) -> Parameter:
    """An option without a value."""
    return Parameter(help=text, group=group, negative="", show_default=False)


def many(text: str, group: Group, names: Completer | None = None) -> Parameter:
    """An option that may be given several times."""
    return Parameter(help=f"{text} Repeatable.", group=group, negative="", completer=names)


PlanFile = Annotated[Path | None, Parameter(name="PLAN.toml", help="A plan file.", group=GIVEN)]
Json = Annotated[bool, flag("Print one JSON object instead.", PRINTED)]
Tf32 = Annotated[bool, flag("Allow TensorFloat-32 on CUDA, which is off otherwise.", WHERE)]
Python = Annotated[
    list[str] | None, many("ADAPTER=/path/to/python runs that adapter in its own environment.", WHERE, interpreters)
]
Rtol = Annotated[
    float | None,
    option(
        "Relative tolerance of losses and final weights, with --atol: in place of the rule without them, which is what "
        "rounding was measured to make of the losses, or where that was not measured 1e-4, in float64 1e-9, in "
        "mixed_float16 0.02, in bfloat16 0.2. Steps from the same state are judged by their rounding in any case.",
        JUDGED,
    ),
]
Atol = Annotated[
    float | None,
    option(
        "Absolute tolerance of losses and final weights, with --rtol; where rounding was not measured, as --rtol, in "
        "float64 1e-10.",
        JUDGED,
    ),
]
OPTIMIZER = option(
    "In place of the task's own: a name (see xframe optimizers) such as adamw or keras.adam, whose defaults count, the "
    'learning rate too; with settings, as "adamw learning_rate=3e-4 weight_decay=0.1"; or a TOML file of them: name = '
    '"adamw", a [learning_rate] schedule, [[groups]].',
    WHAT,
    optimizers,
)
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "float64", "bfloat16", "mixed_float16"]


def pairs(option: str, texts: list[str] | None, form: str, *, empty: bool = False) -> dict[str, str]:
    """Texts of the form ``NAME=VALUE`` by name; ``empty`` allows no value."""
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and (value or empty)):
            raise UsageError(option, got=text, expected=form)
        pairs[name] = value
    return pairs


def _parameter(field: Field) -> Parameter:
    """The option of a field: its help, and how its value is read."""
    text = field.text + (f" Without a plan file: {DEFAULT[field.name]}." if field.name in DEFAULT else "")
    group = of_field(field)
    return number(text, group) if field.type is int else word(text, group) if field.words else option(text, group)


def _with_an_option_for_each_field(cls: type[Options]) -> type[Options]:
    """That class as a dataclass in which every field of a plan is an option, None if it is not given."""
    for field in FIELDS.values():
        cls.__annotations__[field.name] = Annotated[field.type | None, _parameter(field)]
        setattr(cls, field.name, None)
    return dataclass(frozen=True)(cls)


@Parameter(name="*")
@_with_an_option_for_each_field
class PlanOptions:
    """Fields of the plan; each replaces the plan file's, and a limit replaces all its limits."""

    def on(self, file: Path | None) -> TrainingPlan:
        """The plan of the file, or the default one, with these fields replaced."""
        from xframe.plan.training_plan import TrainingPlan

        return TrainingPlan.from_mapping(self.fields(file))

    def fields(self, file: Path | None, default: Mapping[str, Any] = DEFAULT) -> dict[str, Any]:
        """The fields of the file, or the default ones, with these replaced."""
        from xframe.plan.training_plan import read_toml

        fields = dict(default) if file is None else read_toml(file)
        given = {name: value for name, value in vars(self).items() if value is not None}
        if given.keys() & set(LIMITS):
            fields = {name: value for name, value in fields.items() if name not in LIMITS}
        return {**fields, **given}


NO_OPTIONS = PlanOptions()


@Parameter(name="*")
@dataclass(frozen=True)
class RunOptions:
    """What a plan trains, where and how."""

    task: Annotated[
        str, option("A built-in task (see xframe tasks) or your own as package.module:name.", WHAT, tasks)
    ] = "digits-mlp"
    optimizer: Annotated[str | None, OPTIMIZER] = None
    device: Annotated[Device, runtime("auto takes the best that all chosen adapters have.", WHERE)] = "auto"
    precision: Annotated[Precision, runtime("mixed_float16 scales the loss.", WHERE)] = "float32"
    threads: Annotated[int | None, number("CPU threads of each adapter. Default: the cores shared out.", WHERE)] = None
    tf32: Tf32 = False
    workers: Annotated[
        int, number("Processes (torch) or threads (tf.data) that read data. Default: the loop reads.", WHERE)
    ] = 0
    python: Python = None
    timeout: Annotated[
        float | None, option("Seconds that the runs may take; then they are stopped. Default: no limit.", WHERE)
    ] = None
    patience: Annotated[
        float, option("Seconds that a replica waits for another one before its framework gives up.", WHERE)
    ] = 60.0

    def request(self, plan: TrainingPlan, **others: Any) -> Request:
        """To run that plan."""
        from xframe.running.request import Request

        options = vars(self) | {"python": pairs("--python", self.python, "ADAPTER=/path/to/python")}
        return Request(plan=plan, **options, **others)


DEFAULTS = RunOptions()


@Parameter(name="*")
@dataclass(frozen=True)
class RunOrResumeOptions(RunOptions):
    """What a plan trains, where and how; what is not given is the checkpoint's, where there is one."""

    task: Annotated[
        str | None,
        option(
            "A built-in task (see xframe tasks) or your own as package.module:name. Default: digits-mlp.", WHAT, tasks
        ),
    ] = None  # type: ignore[assignment]
    precision: Annotated[Precision | None, runtime("mixed_float16 scales the loss. Default: float32.", WHERE)] = None  # type: ignore[assignment]
    threads: Annotated[
        int | None,
        number("CPU threads of the adapter. Default: all cores, and with --resume the checkpoint's number.", WHERE),
    ] = None

    def request(self, plan: TrainingPlan, **others: Any) -> Request:
        """To run that plan from its beginning."""
        task, precision = self.task or DEFAULTS.task, self.precision or DEFAULTS.precision
        return RunOptions(**{**vars(self), "task": task, "precision": precision}).request(plan, **others)


ANY_RUN = RunOrResumeOptions()
