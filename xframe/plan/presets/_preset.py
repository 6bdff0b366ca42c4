"""A trainer as xframe knows it, its arguments, checked, and the fields that several trainers make from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from xframe.errors import UsageError, Verbatim, unknown
from xframe.plan.fields import LARGEST

if TYPE_CHECKING:
    from xframe.plan.presets._arguments import Only

Fields = dict[str, Any]  # of a plan, by name; None for a field that is not set
TRAINED = "num_samples"  # beside them, where a trainer trains on a part of the samples: on how many
QUESTION = ("batch_size", "epochs", "steps", "updates", "steps_per_epoch", "gradient_accumulation_steps", "replicas")


@dataclass(frozen=True, slots=True)
class Preset:
    """A trainer's way to count."""

    make: Callable[..., Fields]  # its arguments → fields of the plan
    trainer: str  # its name and version as tested
    missing: Mapping[str, str]  # by field of a plan, why it has none
    drop: Mapping[str, Any]  # the arguments that drop a short last batch
    renamed: Mapping[str, str] = field(default_factory=dict)  # by field of a plan, what the trainer calls it, if else
    evidence: Literal["ran", "read"] = "ran"
    switches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by words, arguments that change counting
    variants: Mapping[str, tuple[Any, ...]] = field(
        default_factory=dict
    )  # by argument, what it may be for any question
    of_replicas: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # the same, where there are several
    per_replica: bool = False  # whether its batch size is that of each replica
    accepts: Mapping[str, Only | None] = field(default_factory=dict)  # arguments that ``make`` doesn't take

    @property
    def text(self) -> str:
        """How it counts, in words: the docstring of its file."""
        return inspect.getdoc(inspect.getmodule(self.make)) or ""

    @property
    def names(self) -> dict[str, str]:
        """By field of a plan that it has, what the trainer calls it: for asking several trainers one question."""
        names = {name: self.renamed.get(name, name) for name in QUESTION}
        return {name: own for name, own in names.items() if own in self.parameters}

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The arguments that ``make`` takes, besides the number of samples."""
        parameters = inspect.signature(self.make).parameters
        return {name: parameter for name, parameter in parameters.items() if name != "num_samples"}


def count(name: str, value: Any, *, remedy: str = "") -> int:
    """An argument that is a whole number from 1 up; also NumPy's. Raises UsageError: it is not."""
    number = value.__index__() if hasattr(value, "__index__") and not isinstance(value, bool) else value
    if type(number) is not int or not 1 <= number <= LARGEST:
        raise UsageError(
            f"the argument {name}",
            got=Verbatim("None") if value is None else value,
            expected=f"an integer from 1 to {LARGEST}",
            remedy=remedy or None,
        )
    return number


def maybe(name: str, value: Any) -> int | None:
    """The same, or None where it is None."""
    return None if value is None else count(name, value)


def choice(name: str, value: Any, words: tuple[str, ...]) -> None:
    """Refuses an argument that is none of the words."""
    if value not in words:
        raise unknown(name, str(value), words)


def flag(name: str, value: Any) -> bool:
    """An argument that is True or False."""
    if not isinstance(value, bool):
        raise UsageError(f"the argument {name}", got=value, expected="True or False")
    return value


def windows(steps: Any, **policy: str) -> Fields:
    """A plan's fields of accumulation, where there is any."""
    return {} if steps in (None, 1) else {"gradient_accumulation_steps": steps, **policy}


def epochs_of(steps: int | None, iterator: str, exhaustion: str | None) -> Fields:
    """A plan's fields of epochs that are not passes, if they are not."""
    if steps is None:
        return {}
    return {"steps_per_epoch": steps, "epoch_iterator": iterator, "on_exhaustion": exhaustion}


def batches_of_pass(num_samples: int, batch_size: int, drop: bool) -> int:
    """Batches of a pass. Raises UsageError: there is none."""
    full, rest = divmod(num_samples, batch_size)
    if drop and not full:
        raise UsageError(
            "the data loader is empty: without its short last batch no batch is left",
            got=num_samples,
            expected=f"at least {batch_size:,} samples",
        )
    return full if drop else full + (rest > 0)


def loader(batch_size: int, drop: bool) -> Fields:
    """A plan's fields of a data loader that drops its short last batch, or keeps it."""
    return {"batch_size": batch_size, "remainder": "drop" if drop else "keep"}
