"""A state's file: safetensors, whose ``__metadata__`` has a JSON head and a digest of all. FORMAT.md describes it.

Arrays are named by path, as ``State.arrays`` has them. A bfloat16 is held as float32 and stored as BF16, where all of
an array is one. Whoever writes a file can state in it what they like: its head is bounded before it is parsed, and its
sizes are those of the file before anything is allocated. It is read whole or not at all, through one descriptor, and
nothing of it is run: the library's own reader takes doubled names and maps a file that others may cut.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xframe.errors import StateError, Verbatim, printable
from xframe.files.limits import JSON_BYTES, LARGEST, opened, parsed, written
from xframe.files.new import Passing
from xframe.precision import PRECISIONS
from xframe.state.state import State, check_like

FORMAT = 1
AXES = 32  # that an array may have
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "|b1"}
TYPES |= {f"{letter}{8 * size}": f"<{letter.lower()}{size}" for letter in "IU" for size in (1, 2, 4, 8)}
_NAMES = {np.dtype(kind): name for name, kind in TYPES.items()}  # the last of a kind: a <u2 is a U16
_PARTS = ("parameters", "buffers", "gradients", "average", "best")
_REQUIRED = ("precision", "rule", "numbers", "position")
_COUNTS = ("updates", "attempts", "loss_scale_growth")  # among the numbers
_LENGTH = struct.Struct("<Q")


class Stored(NamedTuple):
    """An array as a head states it: its type there, and its shape."""

    kind: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """What it is held as."""
        return np.dtype("<f4" if self.kind == "BF16" else TYPES[self.kind])

    @property
    def size(self) -> int:
        """Its bytes in the file."""
        return math.prod(self.shape) * np.dtype(TYPES[self.kind]).itemsize


class Head(NamedTuple):
    """What a head states: the arrays in the order of their bytes, its JSON, and both beside as text and digest."""

    arrays: dict[str, Stored]
    facts: dict[str, Any]
    text: str
    digest: str


def write_state(path: Path, state: State) -> None:
    """Writes a state, whole or not at all; a file of that name is replaced.

    Raises:
        StateError: it has an array of a type that files do not have, or parts that do not fit each other.
        OSError: it cannot be written.
    """
    if not isinstance(state, State):
        raise StateError("what is to be written is no state", got=state, expected="an xframe.State")
    arrays = {name: _packed(name, values, state.precision) for name, values in state.arrays().items()}
    arrays = dict(sorted(arrays.items(), key=lambda item: (-item[1][1].itemsize, item[0])))  # so that all are aligned
    entries, end = dict[str, Any](), 0
    for name, (kind, values) in arrays.items():
        entries[name] = {"dtype": kind, "shape": values.shape, "data_offsets": (end, end := end + values.nbytes)}
    facts = {"format": FORMAT, "required": _REQUIRED} | {name: getattr(state, name) for name in _REQUIRED}
    try:
        head, stored = written(facts).decode(), {name: Stored(kind, one.shape) for name, (kind, one) in arrays.items()}
        digest = _digest(head, stored, {name: _of_bytes(one) for name, (_, one) in arrays.items()})
        text = written({"__metadata__": {"xframe": head, "digest": digest}, **entries})
        text += b" " * (-len(text) % 8)
        read = _stated(text, end)
        _state(read.arrays, read.facts, read.arrays)
    except (TypeError, ValueError) as error:
        raise StateError("this state cannot be written", got=Verbatim(error), expected=_WHOLE) from None
    with Passing(path) as passing:
        with os.fdopen(os.dup(passing.number), "wb") as file:
            file.write(_LENGTH.pack(len(text)) + text)
            for _, values in arrays.values():
                file.write(_bytes(values))
        passing.put()


_WHOLE = "finite numbers, a known precision, and by each parameter's name what belongs to it"


def read_state(path: Path, like: State | None = None) -> State:
    """The state of a file; with ``like``, one that has the same arrays, rule and precision.

    Raises:
        StateError: the file is damaged or of a different kind, or its state is not like that one. Nothing is read then.
    """
    if like is not None and not isinstance(like, State):
        raise StateError("like is no state", got=like, expected="an xframe.State, or None")
    try:
        with opened(path) as file:
            head = _head(file)
            _state(head.arrays, head.facts, head.arrays)  # before anything is allocated
            if like is not None:
                check_like(_state(head.arrays, head.facts, head.arrays), like)
            arrays, digests = dict[str, NDArray[Any]](), dict[str, str]()
            for name, one in head.arrays.items():
                values = np.empty(one.shape, TYPES[one.kind])
                if file.readinto(_bytes(values)) != one.size:  # type: ignore[attr-defined]
                    raise ValueError("it ends before its arrays do")
                digests[name] = _of_bytes(values)
                if not _true_or_false(values):
                    raise ValueError(f"{name!r} has truth values that are neither 0 nor 1")
                arrays[name] = (values.astype("<u4") << 16).view("<f4") if one.kind == "BF16" else values
        if _digest(head.text, head.arrays, digests) != head.digest:
            raise ValueError("it is not what was written: its digest is a different one")
        return _state(head.arrays, head.facts, arrays)
    except (OSError, ValueError, MemoryError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        expected = "a state's file, whole and as it was written"
        raise StateError(f"cannot read {printable(path)}", got=Verbatim(why), expected=expected) from None


def types_of(path: Path) -> set[str]:
    """The types of a file's arrays, by NumPy's names, from its head alone. Raises OSError, ValueError: it has none."""
    with opened(path) as file:
        return {one.dtype.name for one in _head(file).arrays.values()}


# Writing


def _packed(name: str, array: NDArray[Any], precision: str) -> tuple[str, NDArray[Any]]:
    """An array's type in the file, and it as it is stored: contiguous, little-endian, a bfloat16 by its upper half."""
    if not isinstance(array, (np.ndarray, np.generic)) or isinstance(array, np.ma.MaskedArray):
        raise StateError(f"{printable(name)} cannot be stored", got=array, expected="NumPy's array, and no masked one")
    values = np.asarray(array, order="C")
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    if values.dtype not in _NAMES or not _true_or_false(values):
        kinds = "floats of 16, 32 or 64 bits, integers or truth values"
        raise StateError(f"{printable(name)} cannot be stored", got=Verbatim(values.dtype), expected=kinds)
    if precision == "bfloat16" and values.dtype == "<f4" and not (values.view("<u4") & 0xFFFF).any():
        return "BF16", (values.view("<u4") >> 16).astype("<u2")
    return _NAMES[values.dtype], values


def _bytes(values: NDArray[Any]) -> memoryview:
    """The bytes of a contiguous array, in place."""
    return values.reshape(-1).view(np.uint8).data


def _true_or_false(values: NDArray[Any]) -> bool:
    """Truth values are 0 or 1 in each byte, as NumPy takes for granted."""
    return values.dtype != bool or not values.size or int(values.reshape(-1).view(np.uint8).max()) < 2


def _of_bytes(values: NDArray[Any]) -> str:
    return hashlib.blake2b(_bytes(values), digest_size=16).hexdigest()


def _digest(head: str, stored: Mapping[str, Stored], digests: Mapping[str, str]) -> str:
    """Of a file's JSON and its arrays by name, wherever in the file each lies."""
    arrays = [[name, one.kind, one.shape, digests[name]] for name, one in sorted(stored.items())]
    return hashlib.blake2b(json.dumps([head, arrays]).encode(), digest_size=16).hexdigest()


# Reading


def _head(file: BinaryIO) -> Head:
    """A file's head, checked by itself and by the file's size."""
    size = os.fstat(file.fileno()).st_size
    first = file.read(_LENGTH.size)
    if len(first) < _LENGTH.size:
        raise ValueError("it ends within its first 8 bytes")
    (length,) = _LENGTH.unpack(first)
    if length > JSON_BYTES:
        raise ValueError(f"it would have a head of {length:,} bytes, more than {JSON_BYTES:,}")
    text = file.read(length)
    if len(text) < length or not text.startswith(b"{"):
        raise ValueError("it has no head as safetensors has it")
    return _stated(text, size - _LENGTH.size - length)


def _stated(text: bytes, size: int) -> Head:
    """What a head's text states, of arrays that have ``size`` bytes together."""
    head = _mapping(parsed(text.rstrip(b" ")), "its head")
    metadata = _mapping(head.pop("__metadata__", {}), "its metadata")
    facts, digest = metadata.get("xframe"), metadata.get("digest")
    if not isinstance(facts, str) or not isinstance(digest, str):
        raise ValueError("it has no xframe and digest among its metadata")
    stored, last = dict[str, Stored](), 0
    for (begin, end), name in sorted((_offsets(name, entry), name) for name, entry in head.items()):
        if begin != last:
            raise ValueError(f"{name!r} does not begin where the array before it ends")
        stored[name], last = _entry(name, head[name], end - begin), end
    if last != size:
        raise ValueError(f"it has {size:,} bytes of arrays, and its head states {last:,}")
    return Head(stored, _facts(facts.encode()), facts, digest)


def _offsets(name: str, entry: Any) -> tuple[int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name!r} has not just a dtype, a shape and data_offsets")
    offsets = entry["data_offsets"]
    if not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{name!r} has no two data_offsets")
    return offsets[0], offsets[1]


def _entry(name: str, entry: Mapping[str, Any], size: int) -> Stored:
    kind, shape = entry["dtype"], entry["shape"]
    if not isinstance(kind, str) or kind not in TYPES:
        raise ValueError(f"{name!r} has the unknown type {kind!r}")
    if not _counts(shape) or len(shape) > AXES:
        raise ValueError(f"{name!r} has no shape of at most {AXES} axes")
    one = Stored(kind, tuple(shape))
    if one.size != size:
        raise ValueError(f"{name!r} has {size:,} bytes, and its shape {one.size:,}")
    return one


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= LARGEST for value in values)


def _facts(text: bytes) -> dict[str, Any]:
    """The head's JSON, as this version knows it."""
    facts = _mapping(parsed(text), "its head")
    if facts.get("format") != FORMAT or type(facts["format"]) is not int:
        raise ValueError(f"it is of format {facts.get('format')!r}, and this version of xframe reads {FORMAT}")
    required = facts.get("required")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise ValueError("it does not state what is required")
    if strange := [name for name in required if name not in _REQUIRED]:
        raise ValueError(f"it requires {strange[0]!r}, which this version of xframe does not know")
    if lacking := [name for name in _REQUIRED if name not in facts]:
        raise ValueError(f"it has no {lacking[0]}")
    _mapping(facts["rule"], "its rule")
    for name, value in _mapping(facts["numbers"], "its numbers").items():
        if type(value) not in (int, float) or (type(value) is int and abs(value) > LARGEST):
            raise ValueError(f"its number {name!r} is {value!r}")
    _check_numbers(facts["numbers"])
    if facts["position"] is not None:
        _mapping(facts["position"], "its position")
    if facts["precision"] not in PRECISIONS:
        raise ValueError(f"its precision is {facts['precision']!r}")
    if not _finite(facts):
        raise ValueError("its head has a number that is not finite")
    return facts


def _check_numbers(numbers: Mapping[str, float]) -> None:
    for name in _COUNTS:
        if (value := numbers.get(name, 0)) < 0 or value != value // 1:
            raise ValueError(f"its number {name!r} is {value!r}, and it counts")
    if numbers.get("updates", 0) > numbers.get("attempts", math.inf):
        raise ValueError("it has more updates than attempts")
    if (scale := numbers.get("loss_scale", 1)) <= 0:
        raise ValueError(f"its number 'loss_scale' is {scale!r}")


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")
    return value


def _finite(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def _state(stored: Mapping[str, Stored], facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> State:
    """The state of these arrays by path, each what belongs to a parameter and of its shape and type."""
    parts: dict[str, Any] = {part: {} for part in _PARTS}
    slots = dict[str, dict[str, Any]]()
    for path, values in arrays.items():
        part, slash, name = path.partition("/")
        if part == "slots":
            part, slash, name = name.partition("/")
            slots.setdefault(part, {})[name] = values
        elif part in parts:
            parts[part][name] = values
        if not slash or part not in {*parts, *slots}:
            raise ValueError(f"it has the array {path!r}, which is no part of a state")
    shapes = {name: stored[f"parameters/{name}"].shape for name in parts["parameters"]}
    if both := shapes.keys() & parts["buffers"].keys():
        raise ValueError(f"{min(both)!r} is both a parameter and a buffer")
    if facts["precision"] != "bfloat16" and (odd := [name for name, one in stored.items() if one.kind == "BF16"]):
        raise ValueError(f"{odd[0]} is of BF16 in {facts['precision']}")
    for path, one in stored.items():
        _check_place(path, one, stored)
    return State(slots=slots, **{**parts, **{name: facts[name] for name in _REQUIRED}})


def _check_place(path: str, one: Stored, stored: Mapping[str, Stored]) -> None:
    """That what belongs to a parameter has its shape and type, and a slot its shape or that less one axis."""
    part, _, name = path.partition("/")
    slot, _, name = name.partition("/") if part == "slots" else ("", "", name)
    if part in ("parameters", "buffers"):
        return
    owner = stored.get(f"parameters/{name}") or (stored.get(f"buffers/{name}") if part == "best" else None)
    if owner is None:
        raise ValueError(f"{path} has no parameter{' or buffer' * (part == 'best')} of that name")
    shapes = {owner.shape} | ({owner.shape[:-1], owner.shape[:-2] + owner.shape[-1:]} if slot else set())
    floats = slot and owner.dtype.kind == one.dtype.kind == "f"
    if one.shape not in shapes or not (floats or one.dtype == owner.dtype):
        it, its = (f"{each.dtype.name} {each.shape}" for each in (one, owner))
        raise ValueError(f"{path} is {it}, which has no parameter of that shape and type: {name} is {its}")
