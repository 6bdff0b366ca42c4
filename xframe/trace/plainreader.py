"""Reads the trace that ``plainwriter.py``, copied into an old script, wrote. Its docstring describes the file.

What is handed out was verified: rows only up to the last digest that holds. Every byte of a whole file is
under a digest or fixed, so one that was flipped, cut out, swapped or edited is detected. A file that stops
without its end is *truncated*; rows after its last digest are left out, since nothing vouches for them.
A whole line that is no row, digest or end, or a digest that does not match, is damage. It is read forward,
once, some 65,536 rows or a million sample ids at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NoReturn, Self

import numpy as np

from xframe.errors import NotATraceError
from xframe.files.limits import JSON_BYTES, opened, parsed, weighed
from xframe.trace.certificate import ids_digests
from xframe.trace.facts import DECLARED
from xframe.trace.schema import COUNTS, REALS, Column
from xframe.trace.source import damaged, exists_already, newer, unreadable
from xframe.trace.writer import TraceWriter

FORMAT = 1
FIRST_BYTES = b'{"xframe": "plain", "format": '  # by which a file is known to be one
BLOCK_ROWS = 1 << 16
BLOCK_IDS = 1 << 20
TRUNCATED = "truncated"

_NEEDED = {"step", "ids", "time_ns"}
_KNOWN = _NEEDED.union(COUNTS, REALS)
_ODD = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_LARGEST = 2**63 - 1
_LINE = JSON_BYTES  # bytes in one line at most
_SHORT = 1 << 12  # bytes of a line that need not be weighed
_UNVERIFIED_IDS = 1 << 24  # ids without a digest at most
_UNVERIFIED = 1 << 16  # rows without a digest at most; the writer puts one every 1,000
_VOUCHED = re.compile(rb'(?s:(\{"digest": "|\{"end": (\{.*\}), "digest": ")([0-9a-f]{64})"\}\n)')


def is_plain(first: bytes) -> bool:
    """Whether a file that begins with these bytes is for this module: they are a text's, and no Arrow stream's."""
    return first[:1] == b"{"


class Reader:
    """Reads one file: ``metadata`` at once, the rows by ``blocks()``, and after those ``ending`` and ``end``.

    Raises:
        NotATraceError: the file is none, or of a newer format.
        TraceError: the file is damaged; raised where the damage is met, so also from ``blocks()``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.num_rows = 0
        self.end: dict[str, Any] = {}
        self.ending = TRUNCATED
        self._digest = hashlib.sha256()
        self._line = 0
        try:
            self._file: BinaryIO = opened(self.path)
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from None
        try:
            self.metadata = self._head()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def _next(self) -> bytes | None:
        """The next whole line; None where the file ends, be it inside one."""
        line = self._file.readline(_LINE)
        if not line.endswith(b"\n"):
            if len(line) == _LINE:
                self._damaged(f"line {self._line + 1} is longer than any that is written")
            return None
        self._line += 1
        return line

    def _damaged(self, why: str) -> NoReturn:
        raise damaged(self.path, why)

    def _head(self) -> dict[str, Any]:
        line = self._next()
        facts: Any = None
        if line is not None and line.startswith(FIRST_BYTES):
            facts = self._parsed(line, once=True)
        if not isinstance(facts, dict) or facts.pop("xframe", None) != "plain":
            raise NotATraceError(
                "not a trace", got=str(self.path), expected="a file written by xframe.record or by plainwriter.py"
            )
        version = facts.pop("format", None)
        if type(version) is not int or version != FORMAT:
            raise newer(self.path, f"is a plain trace of format {version!r}", f"format {FORMAT}")
        assert line is not None
        self._digest.update(line)
        line = self._next()
        if line is None:
            self._damaged("it ends before anything in it is vouched for")
        if self._vouched(line) is not None:
            self._damaged("no digest follows its first line")
        return facts

    def _vouched(self, line: bytes) -> bytes | None:
        """Checks the digest that this line must carry, and takes the line in; the end's text where it is the end."""
        match = _VOUCHED.fullmatch(line)
        if match is None:
            self._damaged(f"line {self._line} is no digest and no step")
        self._digest.update(line[: match.start(3)])
        if self._digest.hexdigest().encode() != match[3]:
            self._damaged(f"what stands before line {self._line} is not what was written")
        self._digest.update(line[match.start(3) :])
        end: bytes | None = match[2]
        return end

    def _parsed(self, line: bytes, *, once: bool = False) -> Any:
        """The line as JSON, strictly, and if asked for with no key twice; None where it is none."""
        try:
            text = line.decode("ascii")
            if once:
                parsed(line)
            elif len(line) > _SHORT:
                weighed(line)
            return json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return None

    def blocks(self) -> Iterator[dict[str, Column]]:
        """The rows, in order, all of them verified."""
        ready: list[dict[str, Any]] = []
        fresh: list[dict[str, Any]] = []  # under no digest yet
        num_ids, unverified, end = 0, 0, None
        while end is None and (line := self._next()) is not None:
            if line.startswith(b'{"step": '):
                self._digest.update(line)
                fresh.append(self._row(line, self.num_rows + len(fresh)))
                unverified += len(fresh[-1]["ids"])
                if len(fresh) > _UNVERIFIED or unverified > _UNVERIFIED_IDS:
                    self._damaged(f"{len(fresh):,} steps before line {self._line} are under no digest")
                continue
            end = self._vouched(line)
            self.num_rows += len(fresh)
            num_ids, unverified = num_ids + unverified, 0
            ready += fresh
            fresh = []
            if len(ready) >= BLOCK_ROWS or num_ids >= BLOCK_IDS:
                yield from _columns(ready)
                ready, num_ids = [], 0
        yield from _columns(ready)
        if end is not None:
            self._finish(end)

    def _finish(self, text: bytes) -> None:
        end = self._parsed(text, once=True)
        if not isinstance(end, dict) or type(end.get("rows")) is not int or not isinstance(end.get("outcome"), str):
            self._damaged("its end does not say how the run ended")
        if end["rows"] != self.num_rows:
            self._damaged(f"it has {self.num_rows:,} rows where {end['rows']:,} were written")
        if self._file.read(1):
            self._damaged("something follows its end")
        self.end, self.ending = end, end["outcome"]

    def _row(self, line: bytes, index: int) -> dict[str, Any]:
        """A step's line, of which this must be the index."""
        row = self._parsed(line)
        if not isinstance(row, dict) or not row.keys() <= _KNOWN or not row.keys() >= _NEEDED:
            self._damaged(f"line {self._line} is no step")
        if line.count(b":") > len(row):
            self._damaged(f"line {self._line} has a key twice")
        ids = row["ids"]
        if type(ids) is not list or not set(map(type, ids)) <= {int} or (ids and max(max(ids), -min(ids)) > _LARGEST):
            self._damaged(f"line {self._line}: its ids are no list of integers")
        for name, value in row.items():
            if name in REALS:
                value = row[name] = _ODD.get(value, value) if type(value) is str else value
                if type(value) is not float:
                    self._damaged(f"line {self._line}: its {name} is no number")
            elif name != "ids" and (type(value) is not int or not 0 <= value <= _LARGEST):
                self._damaged(f"line {self._line}: its {name} is no count")
        row["ids"] = array("q", ids)  # a quarter of the list
        if row["step"] != index:
            self._damaged(f"line {self._line} is step {row['step']} where {index} follows")
        return row


def _columns(rows: list[dict[str, Any]]) -> Iterator[dict[str, Column]]:
    """The rows as columns, at most ``BLOCK_ROWS`` at a time."""
    for start in range(0, len(rows), BLOCK_ROWS):
        part = rows[start : start + BLOCK_ROWS]
        ids = [row["ids"] for row in part]
        sizes = np.array(list(map(len, ids)), dtype=np.int64)
        columns = {"batch_size": Column(sizes), "ids": Column(np.frombuffer(b"".join(ids), dtype=np.int64))}
        for name in ("step", "time_ns", *COUNTS, *REALS):
            values = [row.get(name) for row in part]
            known = np.array([value is not None for value in values])
            kind = np.float64 if name in REALS else np.int64
            columns[name] = Column(np.array([0 if value is None else value for value in values], dtype=kind), known)
        yield columns


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def convert(source: str | Path, target: str | Path) -> None:
    """Writes the run of a plain trace as a trace of the usual form, which ``Trace.open`` takes, at ``target``.

    The rows, their times, the metadata and the outcome stay what they were. What was truncated gets an end
    that says so: it is not complete, as its source is not. After an error ``target`` is removed again.

    Raises:
        NotATraceError: ``source`` is none, or of a newer format.
        TraceError: ``source`` is damaged.
        UsageError: ``target`` exists.
    """
    target = Path(target)
    if target.exists():
        raise exists_already(target)
    with Reader(source) as reader:
        # Straight to the writer: the recorder would put this process's clock and versions in place of the run's.
        try:
            writer = TraceWriter(target, reader.metadata)
        except TypeError as error:
            raise damaged(reader.path, f"its metadata are none of a trace ({error})") from None
        try:
            for block in reader.blocks():
                ids = block["ids"].values.astype("<i8").tobytes()
                writer.write({**block, "ids_digest": ids_digests(ids, block["batch_size"].values)})
            writer.close(reader.ending, evidence=DECLARED, weights={})
        except BaseException:
            with contextlib.suppress(Exception):
                writer.close("not converted")  # for its file's sake
            target.unlink(missing_ok=True)
            raise
