"""A rule as a user states it: a name, a name with settings, a TOML file, a mapping, or the rule itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xframe.errors import UsageError, Verbatim
from xframe.plan.training_plan import read_toml
from xframe.tasks.optimizers.dialects import from_dict, named
from xframe.tasks.optimizers.rule import Rule

Stated = Rule | Mapping[str, Any] | str | Path


def read(stated: Stated) -> Rule:
    """The rule of ``"adamw"``, of ``"adamw weight_decay=0.1"``, of the file ``adamw.toml``, of a mapping as such a file
    holds it, with the rule's fields and ``name`` or ``rule``; a rule itself as it is.

    Raises:
        UsageError: an unknown name or field, a value that the field cannot have, or a file that cannot be read.
    """
    if isinstance(stated, Rule):
        return stated
    if isinstance(stated, Mapping):
        return from_dict(stated)
    if not isinstance(stated, (str, Path)):
        raise UsageError("an optimizer", got=stated, expected="a rule of xframe.optimizers, a name, or a TOML file")
    if isinstance(stated, Path) or stated.endswith(".toml"):
        return from_dict(read_toml(stated, "optimizer's file", 'name = "adamw"'))
    name, *words = stated.replace(",", " ").split() or [""]
    settings: dict[str, Any] = {}
    for word in words:
        field, equals, value = word.partition("=")
        if not (field and equals and value):
            raise UsageError("an optimizer's setting", got=word, expected="NAME=VALUE, as weight_decay=0.1")
        if field in settings:
            raise UsageError("an optimizer's setting is given twice", got=word, expected=f"one value of {field}")
        if field in ("groups", "average"):
            what = Verbatim(f"{field} beside a name")
            raise UsageError("an optimizer's setting", got=what, expected=f"{field} only in a TOML file")
        settings[field] = _value(value)
    return named(name, settings)


def _value(text: str) -> Any:
    """The number or truth value of a word, else the word."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text
