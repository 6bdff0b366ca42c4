"""Functions replaced for a time.

A replacement passes on all that it is given and returns. Warnings name the place in the user's script, as without it:
Python passes over frames of its import system when it looks for that place, by their file's name, and so over these.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
_UNSEEN = " (importlib._bootstrap)"  # by these words Python knows such a frame


class Patches:
    """What is replaced, until ``undo``."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def replace(self, owner: Any, name: str, seen: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """``seen`` makes the replacement of what ``owner`` has under that name."""
        own, original = vars(owner).get(name), getattr(owner, name)
        setattr(owner, name, _unseen(seen(original), original))
        self._undo.append(lambda: delattr(owner, name) if own is None else setattr(owner, name, own))

    def replace_function(self, owner: Any, name: str, seen: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """As ``replace``, of a function that others may have bound to names of their own: it stays the same object."""
        function = getattr(owner, name)
        code, facts = function.__code__, dict(vars(function))
        original = types.FunctionType(code, function.__globals__, name, function.__defaults__, function.__closure__)
        for fact in ("__kwdefaults__", "__module__", "__qualname__", "__doc__", "__annotations__"):
            setattr(original, fact, getattr(function, fact))
        vars(original).update(facts)
        replacement = _unseen(seen(original), original)
        function.__code__ = _calling(replacement, code)
        function.__wrapped__ = original  # for whoever asks for its arguments

        def restore() -> None:
            function.__code__ = code
            vars(function).clear()
            vars(function).update(facts)

        self._undo.append(restore)

    def replace_inner(self, wrapper: Any, seen: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """``seen`` makes the replacement of what ``wrapper`` calls: for whoever has imported it by its name, too."""
        (cell,) = wrapper.__closure__
        original = cell.cell_contents
        cell.cell_contents = _unseen(seen(original), original)
        self._undo.append(lambda: setattr(cell, "cell_contents", original))

    def add(self, undo: Callable[[], object]) -> None:
        """Something else to be undone."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Everything is as it was, the last replaced first."""
        while self._undo:
            self._undo.pop()()


class Watcher(Protocol):
    """What has a machine."""

    machine: Any


def harmless(method: F) -> F:
    """A watcher's method whose errors go to its machine, and never into the script; it then returns None."""

    @functools.wraps(method)
    def call(self: Watcher, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self.machine.failed(error)

    return cast("F", call)


def _unseen(replacement: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    code = replacement.__code__
    replacement.__code__ = code.replace(co_filename=code.co_filename + _UNSEEN)
    return functools.wraps(original)(replacement)


def _calling(function: Callable[..., Any], instead_of: types.CodeType) -> types.CodeType:
    """Code that passes its arguments on to a function, for one that had other code."""

    def call(*args: Any, **kwargs: Any) -> Any:
        called: Any = "the function"
        return called(*args, **kwargs)

    code = call.__code__
    constants = tuple(function if one == "the function" else one for one in code.co_consts)
    names: dict[str, Any] = {"co_name": instead_of.co_name, "co_freevars": instead_of.co_freevars}
    return code.replace(co_consts=constants, co_filename=code.co_filename + _UNSEEN, **names)
