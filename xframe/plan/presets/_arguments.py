"""A trainer's arguments, checked, and the fields of a plan that several trainers make from them."""

from __future__ import annotations

from typing import Any

from xframe.errors import UsageError, Verbatim, unknown
from xframe.plan.fields import LARGEST
from xframe.plan.presets._preset import Fields


def count(name: str, value: Any, *, remedy: str = "") -> int:
    """An argument that is a whole number from 1 up; also NumPy's.

    Raises:
        UsageError: it is not.
    """
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


def number_of(count: int, one: str, many: str) -> str:
    """A number of things, in words."""
    return f"{count:,} {one if count == 1 else many}"


def batches_of_pass(num_samples: int, batch_size: int, drop: bool) -> int:
    """Batches of a pass.

    Raises:
        UsageError: there is none.
    """
    full, rest = divmod(num_samples, batch_size)
    if drop and not full:
        raise UsageError(
            "the data loader is empty: without its short last batch no batch is left",
            got=num_samples,
            expected=f"at least {batch_size:,} samples",
        )
    return full if drop else full + (rest > 0)


def remainder_of(drop: bool) -> Fields:
    """A plan's remainder for a data loader that drops its short last batch, or keeps it."""
    return {"remainder": "drop" if drop else "keep"}
