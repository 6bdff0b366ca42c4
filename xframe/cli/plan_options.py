"""A plan's fields as options; ``xframe.plan.fields`` defines them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from xframe.cli.options import number, option, word
from xframe.plan.fields import DEFAULT, FIELDS, LIMITS, Field

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan

Options = TypeVar("Options")


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
