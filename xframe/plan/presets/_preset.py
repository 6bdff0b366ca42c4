"""A trainer as xframe knows it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Fields = dict[str, Any]  # of a plan, by name; None for a field that is not set


@dataclass(frozen=True, slots=True)
class Preset:
    """A trainer's way to count.

    Attributes:
        make: its arguments → fields of the plan.
        trainer: its name and version as tested.
        evidence: ``ran`` or ``read``.
        names: by field of a plan, what the trainer calls it, for asking several trainers one question.
        missing: by field of a plan, why it has none.
        drop: the arguments that drop a short last batch.
        switches: arguments that change how it counts, by the words that recommend them.
    """

    make: Callable[..., Fields]
    trainer: str
    evidence: Literal["ran", "read"]
    names: Mapping[str, str]
    missing: Mapping[str, str]
    drop: Mapping[str, Any]
    switches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """How it counts, in words: the docstring of its file."""
        return inspect.getdoc(inspect.getmodule(self.make)) or ""

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The arguments that ``make`` takes, besides the number of samples."""
        parameters = inspect.signature(self.make).parameters
        return {name: parameter for name, parameter in parameters.items() if name != "num_samples"}
