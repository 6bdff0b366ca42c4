"""How much a file may ask for. Whoever writes a file can state in it what they like; so what it declares is bounded
before it is parsed or allocated, and a file that asks for more is refused. FORMAT.md lists the bounds.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

JSON_BYTES = 1 << 25  # of one text, and of all validations and settings of a journal together
JSON_VALUES = 1 << 22  # in it, keys included
JSON_DEPTH = 64
JSON_DIGITS = 400  # of one number
SETTING_CHARACTERS = 1 << 14  # of a setting that is a text
SETTING_VALUES = 1 << 14  # of a setting that is a list
LARGEST = 1 << 62  # that a count or a label may be, so that sums and differences of two stay within int64
BATCH_IDS = 1 << 21  # that a row may list; a larger batch is recorded by its size and digest
MOST_REPLICAS = 1 << 16  # of a run
FRAME_BYTES = 1 << 28  # of a journal
GROUP_ROWS = 1 << 17  # of a row group
GROUP_IDS = (1 << 21) + BATCH_IDS
FOOTER_BYTES = 1 << 26  # of a closed trace
CHUNKS = 1 << 17  # columns of row groups, in a closed trace

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_MANY_DIGITS = re.compile(rb"[0-9]{%d}" % (JSON_DIGITS + 1))
_VALUES = (b",", b":", b"[", b"{")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_DEEPER = np.zeros(256, dtype=np.int32)
_DEEPER[list(b"[{")], _DEEPER[list(b"]}")] = 1, -1


def opened(path: Path) -> BinaryIO:
    """The file at ``path``, open for reading in bytes.

    Raises:
        OSError: it cannot be read, or is no regular file; nothing is waited for.
    """
    return os.fdopen(_descriptor(path), "rb")


def _descriptor(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is a folder, a pipe or a device")
    return descriptor


def weighed(text: bytes) -> int:
    """How many values JSON has, keys included.

    Raises:
        ValueError: it asks for more than a file may.
    """
    if len(text) > JSON_BYTES:
        raise ValueError(f"{len(text):,} bytes of JSON, more than {JSON_BYTES:,}")
    bare = _STRING.sub(b'"', text)
    values = sum(map(bare.count, _VALUES))
    if values > JSON_VALUES:
        raise ValueError(f"{values:,} values of JSON, more than {JSON_VALUES:,}")
    if _MANY_DIGITS.search(bare):
        raise ValueError(f"a number of more than {JSON_DIGITS} digits")
    brackets = np.frombuffer(bare.translate(None, _NO_BRACKETS), dtype=np.uint8)
    if len(brackets) > JSON_DEPTH and np.cumsum(_DEEPER[brackets]).max() > JSON_DEPTH:
        raise ValueError(f"JSON nested more than {JSON_DEPTH} deep")
    return values


def parsed(text: bytes) -> Any:
    """JSON in UTF-8, within the limits, in which no key comes twice.

    Raises:
        ValueError: it is none.
    """
    decoded = text.decode()  # before it is weighed: as UTF-16 brackets would look otherwise
    weighed(text)
    return json.loads(decoded, object_pairs_hook=once)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of these pairs, for ``json.loads``. Raises ValueError: a key comes twice."""
    keys = dict(pairs)
    if len(keys) < len(pairs):
        seen = set[str]()
        doubled = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {doubled[:100]!r} twice")
    return keys


def written(facts: Any) -> bytes:
    """The JSON text of what is to be written, which ``parsed`` takes.

    Raises:
        TypeError: JSON has no such value, or a reader would refuse it.
    """
    try:
        text = json.dumps(facts, sort_keys=True).encode()
        if not _light(text):
            weighed(text)
    except (ValueError, RecursionError) as error:
        raise TypeError(str(error)) from None
    return text


def _light(text: bytes) -> bool:
    """Whether JSON is within the limits whatever of it is in strings, which takes less time to see than its weight."""
    short = len(text) <= JSON_VALUES and text.count(b"[") + text.count(b"{") <= JSON_DEPTH
    return short and _MANY_DIGITS.search(text) is None
