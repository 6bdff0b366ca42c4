"""A training's state and its file, with what rooms above the file know of it: rules, positions, names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xframe.errors import StateError, UsageError, Verbatim, printable, shown
from xframe.running.steering import Position
from xframe.state import file
from xframe.state.state import State
from xframe.tasks.optimizers.dialects import from_dict


def read_state(path: Path, like: State | None = None) -> State:
    """The state of a file; with ``like``, one that has the same arrays, rule and precision.

    Raises:
        StateError: the file is damaged or of a different kind, its state is one that no training has, or it is not
            like that one. Nothing is read then.
    """
    return read_content(path, like).state


def read_content(path: Path, like: State | None = None, vouched: str | None = None) -> file.Content:
    """What a state's file holds; raises as ``read_state``, also if it has not the digest ``vouched``."""
    content = file.read_content(path, like, vouched)
    if why := impossible(content.state):
        raise StateError(f"cannot read {printable(path)}", got=Verbatim(why), expected="the state of a training")
    return content


def write_state(
    path: Path,
    state: State,
    run: Mapping[str, Any] | None = None,
    announce: Callable[[str], object] | None = None,
) -> None:
    """Writes a state, whole or not at all; a file of that name is replaced.

    Args:
        run: of the run that it was taken of.
        announce: is given the file's digest once it is written, before it takes its name.

    Raises:
        StateError: it has an array of a type that files do not have, or is one that no training has.
        OSError: it cannot be written.
    """
    if isinstance(state, State):
        _refuse(_misnamed(state) or _nowhere(state))
    file.write_state(path, state, run, announce, _check_rule)


def _check_rule(state: State) -> None:
    _refuse(_beside_rule(state))


def _refuse(why: str | None) -> None:
    if why is not None:
        raise StateError("this state cannot be written", got=Verbatim(why), expected="the state of a training")


def impossible(state: State) -> str | None:
    """Why no training has that state; None if one may. A state without a rule is of weights alone."""
    return _misnamed(state) or _nowhere(state) or _beside_rule(state)


def _misnamed(state: State) -> str | None:
    if not state.parameters:
        return "it has no parameters"
    for part in (state.parameters, state.buffers, state.native):
        for name in part:
            if not _plain(name):
                return f"{name!r} is no name of an array"
    return None


def _nowhere(state: State) -> str | None:
    """Why no training stands there: its position, and what a rule's numbers are of."""
    product = state.numbers.get("momentum_product", 1)
    if state.rule and not 0 <= product <= 1:
        return f"its number 'momentum_product' is {product!r}"
    try:
        if state.position is not None:
            Position.from_dict(state.position)
    except UsageError as error:
        return _why(error)
    return None


def _why(error: UsageError) -> str:
    return error.what if error.got is None else f"{error.what}: {shown(error.got)}"


def _plain(name: object) -> bool:
    """A text of printable characters, and no part of it empty or a folder's."""
    return isinstance(name, str) and name.isprintable() and not {"", ".", ".."} & {*name.split("/")}


def _beside_rule(state: State) -> str | None:
    if not state.rule:
        return "it has slots and no rule" if any(state.slots.values()) else None
    try:
        rule = from_dict(state.rule)
    except UsageError as error:
        return _why(error)
    for name, values in state.parameters.items():
        if values.dtype.kind != "f":
            return f"{name!r} is trained and of {values.dtype.name}"
    for slot, held in state.slots.items():
        for name, values in held.items():
            needed = name in state.parameters and rule.shapes(state.parameters[name].shape).get(slot)
            if needed is None or needed is False:
                return f"{type(rule).__name__} keeps no {slot} of {name!r}"
            if values.shape != needed:
                return f"slots/{slot}/{name} has the shape {values.shape}, and the rule's is {needed}"
    return None
