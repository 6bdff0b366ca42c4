"""A state's file: arrays named by path, as ``State.arrays`` has them, with a JSON head. FORMAT.md describes it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from xframe.errors import StateError, Verbatim, printable
from xframe.files import tensors
from xframe.files.limits import LARGEST
from xframe.files.tensors import Facts, Stored, mapping
from xframe.precision import PRECISIONS
from xframe.state.state import State, check_like

FORMAT = 1
_REQUIRED = ("precision", "rule", "numbers", "position")
_COUNTS = ("updates", "attempts", "loss_scale_growth")  # among the numbers
_WHOLE = "finite numbers, a known precision, and by each parameter's name what belongs to it"
Check = Callable[[State], object]  # raises StateError


class Content(NamedTuple):
    """What a state's file holds: the state, what it states of the run that it was taken of, and its digest."""

    state: State
    run: Facts | None
    digest: str


def write_state(
    path: Path,
    state: State,
    run: Mapping[str, Any] | None = None,
    announce: Callable[[str], object] | None = None,
    check: Check | None = None,
) -> None:
    """Writes a state, whole or not at all; a file of that name is replaced.

    Args:
        run: what is known of the run that it was taken of, as JSON values; readers of states pass over it.
        announce: is given the file's digest once it is written, before it takes its name.
        check: is given the state's rule, precision and arrays, these by type and shape alone, before it is written;
            not again where the last states had the same.

    Raises:
        StateError: it has an array of a type that files do not have, or parts that do not fit each other.
        OSError: it cannot be written.
    """
    if not isinstance(state, State):
        raise StateError("what is to be written is no state", got=state, expected="an xframe.State")
    facts = {"format": FORMAT, "required": _REQUIRED} | {name: getattr(state, name) for name in _REQUIRED}
    facts |= {} if run is None else {"run": run}

    def checked(stored: Mapping[str, Stored], facts: Facts) -> None:
        _known(facts)
        _check_lasting(tuple(stored.items()), facts["precision"], json.dumps(facts["rule"]), check)

    try:
        tensors.write(path, state.arrays(), facts, checked, state.precision == "bfloat16", announce)
    except (TypeError, ValueError) as error:
        raise StateError("this state cannot be written", got=Verbatim(error), expected=_WHOLE) from None


def read_state(path: Path, like: State | None = None) -> State:
    """The state of a file; with ``like``, one that has the same arrays, rule and precision.

    Raises:
        StateError: the file is damaged or of a different kind, or its state is not like that one. Nothing is read then.
    """
    return read_content(path, like).state


def read_content(path: Path, like: State | None = None, vouched: str | None = None) -> Content:
    """What a state's file holds; raises as ``read_state``, also if it has not the digest ``vouched``."""
    if like is not None and not isinstance(like, State):
        raise StateError("like is no state", got=like, expected="an xframe.State, or None")

    def check(stored: Mapping[str, Stored], facts: Facts) -> None:
        state = _check(stored, facts)
        if like is not None:
            check_like(state, like)

    try:
        stored, facts, arrays, digest = tensors.read(path, check, vouched)
        return Content(_state(stored, facts, arrays), facts.get("run"), digest)
    except (OSError, ValueError, MemoryError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        expected = "a state's file, whole and as it was written"
        raise StateError(f"cannot read {printable(path)}", got=Verbatim(why), expected=expected) from None


def _check(stored: Mapping[str, Stored], facts: Facts) -> State:
    """The state of what a file states, with its arrays' types and shapes alone."""
    _known(facts)
    return _state(stored, facts, stored)


@lru_cache(maxsize=4)
def _check_lasting(stored: tuple[tuple[str, Stored], ...], precision: str, rule: str, check: Check | None) -> None:
    """``_check`` of what all checkpoints of a run have in common; by what it is, so that it is done once for them."""
    arrays = dict(stored)
    state = _state(arrays, {"precision": precision, "rule": json.loads(rule), "numbers": {}, "position": None}, arrays)
    if check is not None:
        check(state)


def _known(facts: Facts) -> None:
    """That the head's JSON is what this version knows."""
    if facts.get("format") != FORMAT or type(facts["format"]) is not int:
        raise ValueError(f"it is of format {facts.get('format')!r}, and this version of xframe reads {FORMAT}")
    required = facts.get("required")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise ValueError("it does not state what is required")
    if strange := [name for name in required if name not in _REQUIRED]:
        raise ValueError(f"it requires {strange[0]!r}, which this version of xframe does not know")
    if lacking := [name for name in _REQUIRED if name not in facts]:
        raise ValueError(f"it has no {lacking[0]}")
    mapping(facts["rule"], "its rule")
    for name, value in mapping(facts["numbers"], "its numbers").items():
        if type(value) not in (int, float) or (type(value) is int and abs(value) > LARGEST):
            raise ValueError(f"its number {name!r} is {value!r}")
    _check_numbers(facts["numbers"])
    if facts["position"] is not None:
        mapping(facts["position"], "its position")
    if facts.get("run") is not None:
        mapping(facts["run"], "its run")
    if facts["precision"] not in PRECISIONS:
        raise ValueError(f"its precision is {facts['precision']!r}")


def _check_numbers(numbers: Mapping[str, float]) -> None:
    for name in _COUNTS:
        if (value := numbers.get(name, 0)) < 0 or value != value // 1:
            raise ValueError(f"its number {name!r} is {value!r}, and it counts")
    if numbers.get("updates", 0) > numbers.get("attempts", math.inf):
        raise ValueError("it has more updates than attempts")
    if (scale := numbers.get("loss_scale", 1)) <= 0:
        raise ValueError(f"its number 'loss_scale' is {scale!r}")


def _state(stored: Mapping[str, Stored], facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> State:
    """The state of these arrays by path, each what belongs to a parameter and of its shape and type."""
    state = State.of(arrays, **{name: facts[name] for name in _REQUIRED})
    if both := state.parameters.keys() & state.buffers.keys():
        raise ValueError(f"{min(both)!r} is both a parameter and a buffer")
    if facts["precision"] != "bfloat16" and (odd := [name for name, one in stored.items() if one.kind == "BF16"]):
        raise ValueError(f"{odd[0]} is of BF16 in {facts['precision']}")
    for path, one in stored.items():
        _check_place(path, one, stored)
    return state


def _check_place(path: str, one: Stored, stored: Mapping[str, Stored]) -> None:
    """That what belongs to a parameter has its shape and type, and a slot its shape or that less one axis."""
    part, _, name = path.partition("/")
    slot, _, name = name.partition("/") if part == "slots" else ("", "", name)
    if part in ("parameters", "buffers", "native"):
        return
    owner = stored.get(f"parameters/{name}") or (stored.get(f"buffers/{name}") if part == "best" else None)
    if owner is None:
        raise ValueError(f"{path} has no parameter{' or buffer' * (part == 'best')} of that name")
    shapes = {owner.shape} | ({owner.shape[:-1], owner.shape[:-2] + owner.shape[-1:]} if slot else set())
    floats = slot and owner.dtype.kind == one.dtype.kind == "f"
    if one.shape not in shapes or not (floats or one.dtype == owner.dtype):
        it, its = (f"{each.dtype.name} {each.shape}" for each in (one, owner))
        raise ValueError(f"{path} is {it}, which has no parameter of that shape and type: {name} is {its}")
