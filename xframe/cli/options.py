"""Options that several commands share: their types, help, and how their words are read; a plan's fields among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

from cyclopts import Parameter

from xframe.errors import UsageError, did_you_mean, shown
from xframe.plan.fields import DEFAULT, FIELDS, LIMITS, Field

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.request import Request

Options = TypeVar("Options")


def option(text: str) -> Parameter:
    """An option with this help."""
    return Parameter(help=text)


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


def word(text: str) -> Parameter:
    """An option that takes one of its type's words."""
    return Parameter(help=text, converter=lambda words, tokens: known(words, tokens[0]))


def number(text: str) -> Parameter:
    """An option that takes a whole number."""
    return Parameter(help=text, converter=whole)


Json = Annotated[bool, Parameter(negative="", help="Print one JSON object instead.")]
Tf32 = Annotated[bool, Parameter(negative="", help="Allow TensorFloat-32 on CUDA, which is off otherwise.")]
Python = Annotated[
    list[str] | None,
    Parameter(help="ADAPTER=/path/to/python runs that adapter in its own environment; repeatable.", negative=""),
]
Rtol = Annotated[
    float | None, option("Relative tolerance of loss and weights; with --atol. Default: 1e-4, in float64 1e-9.")
]
Atol = Annotated[
    float | None, option("Absolute tolerance of loss and weights; with --rtol. Default: 1e-4, in float64 1e-10.")
]


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
    return number(text) if field.type is int else word(text) if field.words else option(text)


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

    def fields(self, file: Path | None) -> dict[str, Any]:
        """The fields of the file, or the default ones, with these replaced."""
        from xframe.plan.training_plan import read_toml

        fields = dict(DEFAULT) if file is None else read_toml(file)
        given = {name: value for name, value in vars(self).items() if value is not None}
        if given.keys() & set(LIMITS):
            fields = {name: value for name, value in fields.items() if name not in LIMITS}
        return {**fields, **given}


NO_OPTIONS = PlanOptions()


@Parameter(name="*")
@dataclass(frozen=True)
class RunOptions:
    """What a plan trains, where and how."""

    task: Annotated[str, option("A built-in task (see xframe tasks) or your own as package.module:name.")] = (
        "digits-mlp"
    )
    device: Annotated[str, option("auto, cpu or cuda; auto takes the best that all chosen adapters have.")] = "auto"
    precision: Annotated[str, option("float32, float64, bfloat16, or mixed_float16, which scales the loss.")] = (
        "float32"
    )
    threads: Annotated[int | None, number("CPU threads of each adapter. Default: the cores shared out.")] = None
    tf32: Tf32 = False
    workers: Annotated[
        int, number("Processes (torch) or threads (tf.data) that read data. Default: the loop reads.")
    ] = 0
    python: Python = None

    def request(self, plan: TrainingPlan, **others: Any) -> Request:
        """To run that plan."""
        from xframe.running.request import Request

        options = vars(self) | {"python": pairs("--python", self.python, "ADAPTER=/path/to/python")}
        return Request(plan=plan, **options, **others)


DEFAULTS = RunOptions()
