"""What is written in a framework: an expression, the lines around an update, remarks; and the refusal of one."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xframe.translate.parsing import Call, Name

_MODULES = re.compile(r"(?<![\w.])(torch|keras|optax|jax|math|numpy|xframe_\w+\.optim)(?=\.)")


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that is written as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """What to write, exactly the rule that it stands for.

    Attributes:
        name: what the expression is assigned to, such as ``optimizer``.
        code: the expression.
        setup: lines once, before it; after: lines once, after it.
        before, later: lines in each update, before and after the optimizer's step.
        notes: remarks, a sentence each.
        beside: another way, such as the native optimizer with a line per update.
        beside_for: what ``beside`` is for, where it is not the same in the framework's own words.
        copying: lines of a function that copies weights.
        only_for: what it is exact for, where that is not everything that the source takes.
        ticks: lines after each step, also one that only adds up gradients.
    """

    name: str
    code: str
    setup: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    beside: Written | None = None
    beside_for: str = ""
    only_for: str = ""
    ticks: tuple[str, ...] = ()
    copying: tuple[str, ...] = ()

    @property
    def imports(self) -> tuple[str, ...]:
        """The lines that import what its lines name."""
        text = "\n".join((*self.setup, self.code, *self.after, *self.before, *self.later))
        modules = sorted(set(_MODULES.findall(re.sub(r"(?m)^import .*$", "", text))))
        aliased = [f"import {name} as {short}" for name, short in (("jax.numpy", "jnp"),) if f"{short}." in text]
        return (*(f"import {each}" for each in modules), *aliased)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "imports": list(self.imports),
            "code": self.code,
            "setup": list(self.setup),
            "after": list(self.after),
            "before_update": list(self.before),
            "after_update": list(self.later),
            "after_step": list(self.ticks),
            "notes": list(self.notes),
            "native": None if self.beside is None else self.beside.to_dict(),
            "native_for": self.beside_for,
            "only_for": self.only_for,
            "copying": list(self.copying),
        }

    def lines(self) -> list[str]:
        """As one would write it in a script."""
        setup = [line for line in self.setup if line not in self.imports]
        lines = [*self.imports, *setup, f"{self.name} = {self.code}" if self.name else self.code, *self.after]
        for when, each in (("before", self.before), ("after", self.later)):
            if each:
                lines += [f"# {when} each optimizer.step():", *each]
        if self.ticks:
            lines += ["# after each step, with an optimizer.step() or without:", *self.ticks]
        return lines


class NothingExactError(Exception):
    """The other framework has nothing that is the same rule.

    Attributes:
        reasons: why, a sentence each.
        closest: what comes nearest.
    """

    def __init__(self, *reasons: str, closest: str | None = None) -> None:
        super().__init__(" ".join(reasons))
        self.reasons, self.closest = reasons, closest


@dataclass(slots=True)
class Remarks:
    """Sentences in the order they came up, each once.

    Attributes:
        copying: lines that copy weights.
        until: the update up to which it is the same, if not for ever.
    """

    texts: list[str] = field(default_factory=list)
    copying: tuple[str, ...] = ()
    until: int | None = None

    def add(self, text: str) -> None:
        """Adds a sentence that is not there yet."""
        if text not in self.texts:
            self.texts.append(text)

    def take(self, other: Remarks, begin: int = 0) -> None:
        """Adds those of a part that begins at update ``begin``."""
        for text in other.texts:
            self.add(text)
        if other.until is not None:
            self.until = min(begin + other.until, sys.maxsize if self.until is None else self.until)


def called(name: str, *positional: Any, **arguments: Any) -> str:
    """A call as text; each argument by its name."""
    parts = [shown(value) for value in positional] + [f"{key}={shown(value)}" for key, value in arguments.items()]
    return f"{name}({', '.join(parts)})"


def shown(value: Any) -> str:
    """A value as text."""
    if isinstance(value, (Literal, Name)):
        return value.text
    if isinstance(value, Call):
        return called(value.name, *value.args, **dict(value.keywords))
    if isinstance(value, (tuple, list)):
        inside = ", ".join(shown(each) for each in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{shown(key)}: {shown(each)}" for key, each in value.items()) + "}"
    return repr(value)
