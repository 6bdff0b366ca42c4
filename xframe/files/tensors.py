"""Arrays by name in a file that is safetensors, whose ``__metadata__`` has a JSON head and a digest of all.

Whoever writes a file can state in it what they like: its head is bounded before it is parsed, and its sizes are those
of the file before anything is allocated. It is read whole or not at all, through one descriptor, and nothing of it is
run: the library's own reader takes doubled names and maps a file that others may cut. A bfloat16 is held as the float32
of the same value.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from xframe.errors import StateError, Verbatim, printable
from xframe.files.limits import JSON_BYTES, LARGEST, once, opened, parsed, written
from xframe.files.new import Passing

AXES = 32  # that an array may have
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "|b1"}
TYPES |= {f"{letter}{8 * size}": f"<{letter.lower()}{size}" for letter in "IU" for size in (1, 2, 4, 8)}
_NAMES = {np.dtype(kind): name for name, kind in TYPES.items()}  # the last of a kind: a <u2 is a U16
_METADATA = "__metadata__"
_NO_METADATA = b'{"digest": "", "xframe": ""}'
_TOGETHER = 1024  # pieces of memory that a call may write at once, where the system has such a call
_WRITE = getattr(os, "writev", lambda number, parts: os.write(number, parts[0]))
_LENGTH = struct.Struct("<Q")
Facts = dict[str, Any]


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
    """What a head states: the arrays in the order of their bytes, its JSON as it stands there, and the digest."""

    arrays: dict[str, Stored]
    text: str
    digest: str


class Content(NamedTuple):
    """What a file holds: what its head states of the arrays, its facts, the arrays, and its digest."""

    stored: dict[str, Stored]
    facts: Facts
    arrays: dict[str, NDArray[Any]]
    digest: str


Check = Callable[[dict[str, Stored], Facts], object]  # raises ValueError, StateError of what no such file has


def write(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    facts: Mapping[str, Any],
    check: Check,
    halves: bool,
    announce: Callable[[str], object] | None = None,
) -> str:
    """Writes a file, whole or not at all, and returns its digest; one of that name is replaced.

    Args:
        check: is given what the file states, before it is written.
        halves: an array of float32 all of which are bfloat16 is stored as that.
        announce: is given the digest once the file is written, before it takes its name.

    Raises:
        StateError: it has an array of a type that files do not have.
        ValueError, TypeError: its facts are no JSON, or ``check`` refuses them.
        OSError: it cannot be written.
    """
    packed = {_name(name): _packed(name, values, halves) for name, values in arrays.items()}
    stored = {name: Stored(kind, values.shape) for name, (kind, values) in packed.items()}
    layout, head = _layout(tuple(stored.items())), written(facts).decode()
    check(stored, mapping(json.loads(head, object_pairs_hook=once, parse_constant=_refuse), "its head"))  # as read
    contents = {name: packed[name][1].data for name in layout.names}
    digest = _digest(head, stored, {name: _of_bytes(content) for name, content in contents.items()})
    text = layout.before + json.dumps({"digest": digest, "xframe": head}).encode() + layout.after
    if len(text) > JSON_BYTES:
        raise ValueError(f"{len(text):,} bytes of JSON, more than {JSON_BYTES:,}")
    text += b" " * (-len(text) % 8)
    with Passing(path) as passing:
        _write(passing.number, [memoryview(_LENGTH.pack(len(text)) + text), *contents.values()])
        if announce is not None:
            announce(digest)
        passing.put()
    return digest


def read(path: Path, check: Check, vouched: str | None = None) -> Content:
    """What a file holds; ``check`` is given what it states of its arrays, and its facts, before.

    Args:
        vouched: the digest that the file is to have, if somebody knows it.

    Raises:
        ValueError, StateError, OSError, MemoryError: it is damaged, ``check`` refuses it, or it cannot be read.
    """
    with opened(path) as file:
        head = _head(file)
        if vouched not in (None, head.digest):
            raise ValueError("it is a different file than the one that was vouched for")
        facts = _facts(parsed(head.text.encode()))
        check(head.arrays, facts)  # before anything is allocated
        arrays, digests = dict[str, NDArray[Any]](), dict[str, str]()
        for name, one in head.arrays.items():
            values = np.empty(one.shape, TYPES[one.kind])
            if file.readinto(content := _bytes(values)) != one.size:  # type: ignore[attr-defined]
                raise ValueError("it ends before its arrays do")
            digests[name] = _of_bytes(content)
            if not _true_or_false(values):
                raise ValueError(f"{name!r} has truth values that are neither 0 nor 1")
            arrays[name] = (values.astype("<u4") << 16).view("<f4") if one.kind == "BF16" else values
    if _digest(head.text, head.arrays, digests) != head.digest:
        raise ValueError("it is not what was written: its digest is a different one")
    return Content(head.arrays, facts, arrays, head.digest)


def types_of(path: Path) -> set[str]:
    """The types of a file's arrays, by NumPy's names, from its head alone. Raises OSError, ValueError: it has none."""
    with opened(path) as file:
        return {one.dtype.name for one in _head(file).arrays.values()}


def mapping(value: Any, what: str) -> Facts:
    """It, if it is a JSON object. Raises ValueError otherwise."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")
    return value


# Writing


def _name(name: Any) -> str:
    """An array's name in a head, whose other key is ``__metadata__``."""
    if not isinstance(name, str) or name == _METADATA:
        raise ValueError(f"{name!r} is no name of an array")
    return name


def _packed(name: str, array: NDArray[Any], halves: bool) -> tuple[str, NDArray[Any]]:
    """An array's type in the file, and it as it is stored: contiguous, little-endian, a bfloat16 by its upper half."""
    if not isinstance(array, (np.ndarray, np.generic)) or isinstance(array, np.ma.MaskedArray):
        raise StateError(f"{printable(name)} cannot be stored", got=array, expected="NumPy's array, and no masked one")
    if array.ndim > AXES:
        raise ValueError(f"{name!r} has {array.ndim} axes, more than {AXES}")
    values = np.asarray(array, order="C")
    if values.dtype not in _NAMES:
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    if values.dtype not in _NAMES or not _true_or_false(values):
        kinds = "floats of 16, 32 or 64 bits, integers or truth values"
        raise StateError(f"{printable(name)} cannot be stored", got=Verbatim(values.dtype), expected=kinds)
    if halves and values.dtype == "<f4" and not (values.view("<u4") & 0xFFFF).any():
        return "BF16", (values.view("<u4") >> 16).astype("<u2")
    return _NAMES[values.dtype], values


class Layout(NamedTuple):
    """Where arrays lie in a file: their names in the order of their bytes, and the head's text around its metadata."""

    names: tuple[str, ...]
    before: bytes
    after: bytes


@lru_cache(maxsize=4)  # a run's checkpoints have one
def _layout(stored: tuple[tuple[str, Stored], ...]) -> Layout:
    """That of arrays of these names, types and shapes. Raises TypeError: their head is more than a reader takes."""
    ordered = sorted(stored, key=lambda item: (-np.dtype(TYPES[item[1].kind]).itemsize, item[0]))  # all are aligned
    entries, end = dict[str, Any](), 0
    for name, one in ordered:
        entries[name] = {"dtype": one.kind, "shape": one.shape, "data_offsets": (end, end := end + one.size)}
    before, after = written({_METADATA: {"digest": "", "xframe": ""}, **entries}).split(_NO_METADATA)
    return Layout(tuple(entries), before, after)


def _write(number: int, parts: Sequence[memoryview]) -> None:
    """Writes bytes to a file in as few calls as there can be, each of which takes the file system its time."""
    left = deque(parts)
    while left:
        size = _WRITE(number, [*islice(left, _TOGETHER)])
        while left and size >= left[0].nbytes:
            size -= left.popleft().nbytes
        if size:
            left[0] = left[0].cast("B")[size:]


def _bytes(values: NDArray[Any]) -> memoryview:
    """The bytes of a contiguous array, in place."""
    return values.reshape(-1).view(np.uint8).data


def _true_or_false(values: NDArray[Any]) -> bool:
    """Truth values are 0 or 1 in each byte, as NumPy takes for granted."""
    return values.dtype != bool or not values.size or int(values.reshape(-1).view(np.uint8).max()) < 2


def _of_bytes(content: memoryview) -> str:
    return xxhash.xxh3_128_hexdigest(content)  # at the speed of memory, so that a checkpoint costs its writing


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
    head = mapping(parsed(text.rstrip(b" ")), "its head")
    metadata = mapping(head.pop(_METADATA, {}), "its metadata")
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
    return Head(stored, facts, digest)


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


def _facts(value: Any) -> Facts:
    """A head's JSON, which is an object of finite numbers."""
    facts = mapping(value, "its head")
    if not _finite(facts):
        _refuse()
    return facts


def _refuse(_: str = "") -> None:
    raise ValueError("its head has a number that is not finite")


def _finite(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)
