# -*- coding: utf-8 -*-
"""Writes a trace from an old script: copy this one file beside it. Python 2.7 or 3.4 and newer, nothing else.

    from plainwriter import record

    with record("old.trace", num_samples=1797) as rec:
        for ids, ... in batches:
            ...  # your training step, unchanged
            rec.step(ids=ids, updates=num_updates, loss=loss, lr=lr, epoch=epoch)

Elsewhere, where xframe is installed, old.trace is a trace like any other.

The file is text, one JSON object a line:

    {"xframe": "plain", "format": 1, ...}               what is known of the run
    {"digest": "..."}
    {"step": 0, "ids": [5, 3], "updates": 1, ...}       one line a step; what is unknown is left out
    {"digest": "..."}                                   every 1,000 steps or second
    {"end": {"outcome": "complete", "rows": 1}, "digest": "..."}

A digest is SHA-256 over every byte of the file before its own hex digits. Steps and the digest that
covers them are handed to the operating system in one piece, so a process that is killed leaves all
it had flushed readable, and no end: the trace is then truncated. Floats are written so that they
come back bit for bit; NaN and infinity are the strings "NaN", "Infinity" and "-Infinity".

It must stay in the language that Python 2.7 and 3.4 share, and must observe only: it draws no
random numbers and changes nothing that it is given.
"""

from __future__ import division, unicode_literals

import atexit
import hashlib
import io
import json
import operator
import os
import platform
import time
import warnings

FORMAT = 1
FLUSH_ROWS = 1000
FLUSH_IDS = 1 << 20
FLUSH_SECONDS = 1.0

_RESERVED = ("xframe", "format")
_LARGEST = 2**63 - 1


def record(path, num_samples=None, metadata=None):
    """A recorder that writes to ``path``, a file that does not exist yet.

    num_samples: size of the data set.
    metadata: further facts about the run, a dict of JSON values; ``label`` is what a report calls it.
    """
    facts = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "platform": platform.system() + " " + platform.machine(),
        "versions": {"python": platform.python_version()},
    }
    if num_samples is not None:
        facts["num_samples"] = _count(num_samples, "num_samples")
    for name in metadata or {}:
        if name in _RESERVED:
            raise ValueError("metadata: got the key %r, expected any other than %s" % (name, " and ".join(_RESERVED)))
        facts[name] = metadata[name]
    return Recorder(path, facts)


class Recorder(object):
    """Collects steps and writes them in blocks. Made by ``record``."""

    def __init__(self, path, facts):
        # NaN among the facts is no JSON, and is refused here, before there is a file.
        rest = json.dumps(facts, sort_keys=True, allow_nan=False)
        head = '{"xframe": "plain", "format": %d, %s\n' % (FORMAT, rest[1:])
        if not isinstance(path, (bytes, str, type(""))):
            path = str(path)  # a pathlib.Path, which os.open of Python 3.4 does not take
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            if os.path.exists(path):
                raise ValueError(
                    "the trace exists already: got %r, expected a new file. Remove it or choose another name." % (path,)
                )
            raise ValueError("cannot write the trace: got %r, expected a place for a new file (%s)" % (path, error))
        self._file = io.FileIO(descriptor, "w")  # unbuffered: a write is what the operating system has
        self._digest = hashlib.sha256()
        self._clock = getattr(time, "monotonic", time.time)
        self._began = self._flushed = self._clock()
        self._written = 0
        self._pending = []
        self._pending_ids = 0
        self._write(head + '{"digest": "', '"}\n')
        atexit.register(self._leave_open, path, os.getpid())

    @property
    def num_steps(self):
        """Steps recorded so far."""
        return self._written + len(self._pending)

    def step(
        self,
        ids=None,
        updates=None,
        loss=None,
        lr=None,
        update_attempts=None,
        epoch=None,
        step_in_epoch=None,
        padding=None,
        accuracy=None,
    ):
        """Takes one training step, just after it was made. Give the arguments by name.

        ids: the ids of the samples in the batch: a list, an array, any iterable of integers.
        updates: updates applied so far.
        loss, lr: of this step.
        update_attempts: updates tried so far, skipped ones included.
        epoch, step_in_epoch: labels, counted from 0 or from 1.
        padding: how many of the last ids are padding.
        accuracy: share of this step's targets that were predicted correctly.
        """
        if self._file is None:
            raise ValueError("the trace is closed: no step can be added")
        now = self._clock()
        members = _ids(ids)
        parts = ['{"step": %d, "ids": [%s]' % (self.num_steps, ", ".join(["%d" % i for i in members]))]
        counts = (
            ("updates", updates),
            ("update_attempts", update_attempts),
            ("epoch", epoch),
            ("step_in_epoch", step_in_epoch),
            ("padding", padding),
        )
        for name, value in counts:
            if value is not None:
                parts.append('"%s": %d' % (name, _count(value, name)))
        for name, value in (("loss", loss), ("lr", lr), ("accuracy", accuracy)):
            if value is not None:
                parts.append('"%s": %s' % (name, _shown(_number(value, name))))
        parts.append('"time_ns": %d}\n' % max(0, int((now - self._began) * 1e9)))
        self._pending.append(", ".join(parts))  # only now, so that a step that is refused leaves no part of itself
        self._pending_ids += len(members)
        if (
            len(self._pending) >= FLUSH_ROWS
            or self._pending_ids >= FLUSH_IDS
            or not 0 <= now - self._flushed < FLUSH_SECONDS  # a wall clock may also go back
        ):
            self.flush()

    def flush(self):
        """Hands the steps so far to the operating system; they then survive whatever happens to the process."""
        self._flushed = self._clock()
        if not self._pending or self._file is None:
            return
        try:
            self._write("".join(self._pending) + '{"digest": "', '"}\n')
            self._written += len(self._pending)
            self._pending, self._pending_ids = [], 0
        except BaseException:  # Ctrl-C between two of these lines: what is counted may not be what was written
            self._abandon()
            raise

    def close(self, outcome="complete"):
        """Writes the steps so far and the end; without it the trace is truncated."""
        if self._file is None:
            return
        try:
            self.flush()
            end = json.dumps({"rows": self.num_steps, "outcome": outcome}, sort_keys=True)
            self._write('{"end": %s, "digest": "' % end, '"}\n')
        finally:
            self._abandon()

    def _write(self, before, after):
        """Writes ``before``, the digest of all up to here, and ``after``, in one piece."""
        data = before.encode("ascii")
        self._digest.update(data)
        last = self._digest.hexdigest().encode("ascii") + after.encode("ascii")
        self._digest.update(last)
        data = memoryview(data + last)
        try:
            while len(data):
                data = data[self._file.write(data) or 0 :]
        except BaseException:  # a part of it may stand in the file: whatever followed would make that damage
            self._abandon()
            raise

    def _leave_open(self, path, process):
        """Keeps the steps of a recorder that was never closed, and warns; in that process, none forked from it."""
        if self._file is None or not self.num_steps or os.getpid() != process:
            return
        self.flush()
        warnings.warn(
            "the recorder of %s was never closed: its rows are kept (%d steps), and the trace counts as truncated, so "
            "no comparison of it passes. Record inside 'with record(...) as rec:', or end with rec.close()."
            % (path, self.num_steps),
            RuntimeWarning,
            stacklevel=2,
        )

    def _abandon(self):
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, at):
        self.close("complete" if kind is None else "interrupted by " + str(kind.__name__))


def _plain(value):
    """An array, tensor or number of whatever library as Python's own numbers, in lists where it has dimensions."""
    if hasattr(value, "detach"):
        value = value.detach()
    if not hasattr(value, "tolist") and hasattr(value, "numpy"):
        value = value.numpy()
    return value.tolist() if hasattr(value, "tolist") else value


def _single(value, name):
    number = _plain(value)
    while isinstance(number, (list, tuple)) and len(number) == 1:
        number = number[0]
    if isinstance(number, (list, tuple, str, bytes, type(""))):
        raise ValueError("a step's %s: got %r, expected one number" % (name, value))
    return number


def _number(value, name):
    number = _single(value, name)
    try:
        return float(number)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a step's %s: got %r, expected one number" % (name, value))


def _count(value, name):
    number = _single(value, name)
    try:
        count = int(number)
    except (TypeError, ValueError, OverflowError):
        count = None
    if count is None or count != number or not 0 <= count <= _LARGEST:
        raise ValueError("a step's %s: got %r, expected a whole number from 0 up" % (name, value))
    return count


def _ids(value):
    samples = _plain(value)
    try:
        members = [operator.index(member) for member in samples]
        fit = not isinstance(samples, (str, bytes, type(""))) and bool not in set(map(type, samples))
    except TypeError:
        fit, members = False, []
    if not fit or (members and max(max(members), -min(members)) > _LARGEST):
        raise ValueError(
            "a step's ids: got %.200r, expected the batch's sample ids: integers below 2**63, one a sample" % (value,)
        )
    return members


def _shown(number):
    if number != number:
        return '"NaN"'
    if number in (float("inf"), float("-inf")):
        return '"Infinity"' if number > 0 else '"-Infinity"'
    return repr(number)
