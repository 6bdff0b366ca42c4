"""Writes a trace: a journal while a run goes on, one Parquet file when it ends. See FORMAT.md.

What is written is what one tuple says: the journal's size, the digest of its last frame, its rows, their certifier. It
is replaced by a single assignment once a frame is in the file. So an exception at any instruction, such as Ctrl-C's,
leaves a frame written or not written. What an interrupted write left behind that size is cut off by the next.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from xframe.errors import TraceError, UsageError
from xframe.files.limits import JSON_BYTES, JSON_VALUES, weighed, written
from xframe.files.new import NewFile, remove_left
from xframe.trace.arrow import column_of, record_batch, values_of
from xframe.trace.certificate import Certifier, LossesDigest
from xframe.trace.journal import (
    BATCH,
    CHECKPOINT,
    END,
    HEAD,
    MAGIC,
    SETTINGS,
    VALIDATION,
    Journal,
    frame_header,
    frames_digest,
)
from xframe.trace.parquet import compact
from xframe.trace.schema import CERTIFIED, Column
from xframe.trace.source import head_of


def _seek_and_write(number: int, data: memoryview, at: int) -> int:
    os.lseek(number, at, os.SEEK_SET)
    return os.write(number, data)


_write_at = getattr(os, "pwrite", _seek_and_write)


class SoFar(NamedTuple):
    """Of the whole run, rows of earlier traces included: how many there are, their certificate and losses' digest."""

    rows: int
    certificate: str
    losses: str


class _Written(NamedTuple):
    """What is in the file for certain."""

    size: int
    digest: bytes  # of the last frame
    rows: int
    certifier: Certifier
    whole: Certifier  # of the run, where it began in other traces
    losses: LossesDigest  # of the run, likewise
    mark: Any = None  # what the owner gave with the last frame
    ended: bool = False
    stated: tuple[int, int] = (0, 0)  # of all validations, checkpoints and settings: bytes and values


class TraceWriter:
    """Writes a trace block by block; each block is handed to the operating system at once.

    It is not for several threads at once. A signal's handler may use it while it is at work: what was begun before
    then isn't written, and the call returns False.

    Attributes:
        path: the file, absolute, for the loop may change its folder.
    """

    def __init__(
        self,
        path: Path,
        metadata: Mapping[str, Any],
        before: Certifier | None = None,
        losses: LossesDigest | None = None,
    ) -> None:
        """Begins the file; of a run that began in another, ``before`` and ``losses`` are of the rows before it.

        Raises:
            TypeError: the metadata are not JSON; no file was made.
            OSError: the file exists, or cannot be written; none was made.
        """
        self.path = path.absolute()
        head = written(head_of(metadata))
        self._before = 0 if before is None else before.num_rows
        certifier = Certifier()
        whole = certifier if before is None else before
        self._written = _Written(0, frames_digest(MAGIC), 0, certifier, whole, losses or LossesDigest())
        self._writing: object = None  # changed by whoever begins to write
        self._file = NewFile(self.path)
        try:
            self._append(self._written, HEAD, head)
            remove_left(self.path)
        except BaseException:
            self._file.close()
            raise

    @property
    def num_rows(self) -> int:
        """Rows written so far."""
        return self._written.rows

    def so_far(self) -> SoFar:
        """Of the rows that are written, and those of earlier traces."""
        written = self._written
        return SoFar(written.whole.num_rows, written.whole.result(), written.losses.result())

    def synchronise(self) -> None:
        """Waits until what is written is on the disk.

        Raises:
            OSError: the disk does not take it.
        """
        if not self._file.closed:
            os.fsync(self._file.number)

    @property
    def ended(self) -> bool:
        """Whether the end is written."""
        return self._written.ended

    @property
    def mark(self) -> Any:
        """What was given with the last frame: it tells whether that frame was written, after an exception too."""
        return self._written.mark

    def forget_mark(self) -> None:
        """Lets go of the mark."""
        before = self._written
        without = before._replace(mark=None)
        if self._written is before:
            self._written = without

    def write(self, columns: Mapping[str, Column], mark: Any = None) -> bool:
        """Appends rows. A column of the schema that is not given is unknown throughout."""
        before, steps = self._written, columns["step"].values
        if mark is not None and len(steps) and steps[0] != before.rows:
            return False
        batch = record_batch(columns, len(steps))
        certifier = whole = copy.copy(before.certifier)
        numbered, *rows = (values_of(batch.column(name)) for name in CERTIFIED)
        certifier.add(numbered, *rows)
        if self._before:
            whole = copy.copy(before.whole)
            whole.add(numbered + self._before, *rows)
        losses = copy.copy(before.losses)
        losses.add(*(column_of(batch.column(name), 0, len(steps)) for name in losses.NAMES))
        changed = before._replace(
            rows=before.rows + len(steps), certifier=certifier, whole=whole, losses=losses, mark=mark
        )
        return self._append(before, BATCH, memoryview(batch.serialize()), changed)

    def validation(self, facts: Mapping[str, Any], mark: Any = None) -> bool:
        """Appends a validation, made after the rows that are there.

        Raises:
            UsageError: it is one more than a reader takes.
        """
        before = self._written
        return self._state(VALIDATION, before, {**facts, "after": before.rows}, mark)

    def checkpoint(self, digest: str) -> bool:
        """Appends that a checkpoint is written, after the rows that are there; ``digest`` is its file's.

        Raises:
            UsageError: it is one more than a reader takes.
        """
        before = self._written
        return self._state(CHECKPOINT, before, {"after": before.rows, "digest": digest}, before.mark)

    def settings(self, facts: Mapping[str, Any], mark: Any = None) -> bool:
        """Appends settings, which are added to those before and replace what they name again.

        Raises:
            UsageError: they are more than a reader takes.
        """
        return self._state(SETTINGS, self._written, facts, mark)

    def _state(self, kind: bytes, before: _Written, facts: Mapping[str, Any], mark: Any) -> bool:
        text = written(facts)
        stated = before.stated[0] + len(text), before.stated[1] + weighed(text)
        if stated[0] > JSON_BYTES or stated[1] > JSON_VALUES:
            what = {VALIDATION: "a validation", CHECKPOINT: "a checkpoint"}.get(kind, "the settings")
            expected = f"at most {JSON_BYTES:,} bytes of validations, checkpoints and settings in a trace"
            raise UsageError(what, expected=expected)
        return self._append(before, kind, text, before._replace(mark=mark, stated=stated))

    def end(self, outcome: str, **facts: Any) -> bool:
        """Writes the end, after which nothing follows; ``outcome`` is ``complete`` or states what ended the run."""
        before = self._written
        end = {"rows": before.rows, "outcome": outcome, "certificate": before.certifier.result(), **facts}
        return self._append(before, END, written(end), before._replace(ended=True, mark=None))

    def close(self, outcome: str, **facts: Any) -> None:
        """Writes the end and makes the trace compact."""
        while not self.ended:
            self.end(outcome, **facts)
        self.compact()

    def compact(self) -> None:
        """Makes one Parquet file of a journal that has its end. If that fails, as on a full disk, the journal stays.

        Raises:
            TraceError: the file was removed while it was written, or is not what was written.
        """
        if self._file.closed:
            return
        number = self._file.number
        try:
            if self._file.still_there():
                with os.fdopen(os.dup(number), "rb") as file:
                    compact(Journal(self.path, file), self._file)
            elif not os.fstat(number).st_nlink:
                raise _removed(self.path)  # if it has another name, it stays a journal
        # TypeError: all that it states is more JSON than one text may have.
        except (OSError, TypeError, ImportError, MemoryError, pa.ArrowException):
            with contextlib.suppress(OSError):
                os.fsync(number)
        finally:
            self._file.close()

    @property
    def kept(self) -> bool:
        """Whether the file stays: there is a row, a validation or an end in it."""
        return self._file.kept

    def discard(self) -> None:
        """Closes the file, and removes it if it isn't kept."""
        self._file.close()

    def _append(self, before: _Written, kind: bytes, payload: Any, after: _Written | None = None) -> bool:
        """Appends a frame to what was ``before``, which then is as ``after`` says; False if that is no longer so."""
        if before.ended:
            return False
        header, digest = frame_header(before.digest, kind, payload)
        parts = (header, payload) if before.size else (MAGIC, header, payload)
        size = before.size + sum(len(part) for part in parts)
        try:
            return self._put(
                parts, before, (after or before)._replace(size=size, digest=digest), keep=kind not in (HEAD, SETTINGS)
            )
        except (OSError, TraceError):
            if self._written is not before:
                return False
            raise

    def _put(self, parts: tuple[Any, ...], before: _Written, after: _Written, *, keep: bool) -> bool:
        number, at = self._file.number, before.size
        status = os.fstat(number)
        if status.st_size < at or (not status.st_nlink and not self._file.still_there()):
            raise _removed(self.path)
        # A signal's handler runs after a call, and may record. So whether it did is asked right before each call.
        mine = self._writing = object()
        if self._writing is not mine or self._written is not before:
            return False
        os.ftruncate(number, at)
        for part in parts:
            left = memoryview(part)
            while left:
                if self._writing is not mine:
                    return False
                count = _write_at(number, left, at)
                left, at = left[count:], at + count
        if keep:
            self._file.kept = True
        if self._writing is not mine:
            return False
        self._written = after
        return True


def _removed(path: Path) -> TraceError:
    return TraceError(
        "the trace was removed or cut while it was recorded",
        got=str(path),
        expected="a file that is left alone until its recorder is closed",
        remedy="Record the run again.",
    )
