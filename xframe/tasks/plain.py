"""What rules, losses, schedules and layers share as plain values: shown, made from data, known by names.

A name is a framework's own for one of them, with that framework's defaults: ``keras.adam``, ``torch.HuberLoss``; this
project's own names have no framework before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from xframe.errors import UsageError, Verbatim, unknown

T = TypeVar("T")
Names = Mapping[str, tuple[type[T], dict[str, Any]]]  # what each is, and its settings
Dialects = Mapping[str, Names[T]]  # by framework: "", "keras.", "torch."


def changed(value: Any) -> list[str]:
    """The fields of a dataclass's value that are not at their defaults, each as it is given in a call."""
    held = [(each.name, getattr(value, each.name), each.default) for each in fields(value)]
    return [f"{name}={now!r}" for name, now, default in held if now != default]


def all_names(dialects: Dialects[T]) -> tuple[str, ...]:
    """All names there are."""
    return tuple(dialect + name for dialect, kinds in dialects.items() for name in kinds)


def named(dialects: Dialects[T], what: str, name: str) -> tuple[type[T], dict[str, Any]]:
    """What the name stands for, such as an ``optimizer``, and its settings.

    Raises:
        UsageError: nothing is called so.
    """
    dialect, dot, short = name.rpartition(".")
    kinds = dialects.get(dialect + dot, {})
    if short not in kinds:
        raise unknown(what, name, all_names(dialects))
    kind, settings = kinds[short]
    return kind, dict(settings)


def made(kind: type[T], settings: Mapping[str, Any], what: str) -> T:
    """A dataclass's value with these fields; a list, as files have them, is a tuple.

    Raises:
        UsageError: an unknown field, one without a default that lacks, or a value that the field cannot have.
    """
    known: dict[str, Any] = {each.name: each.default for each in fields(kind)}  # type: ignore[arg-type]
    for name in settings:
        if name not in known:
            raise unknown(f"setting of {what}", name, known)
    if lacking := [name for name, default in known.items() if default is MISSING and name not in settings]:
        got = Verbatim(", ".join(settings) or "none")
        raise UsageError(f"{what} without its {' and '.join(lacking)}", got=got, expected=", ".join(known))
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()})
