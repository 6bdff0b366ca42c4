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

An exception may come at any instruction, as Ctrl-C's does. So a step is taken by one append, what is in the
file is what one tuple says, and whatever an interrupted write left behind that is cut off by the next.

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
import threading
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
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        numbers = []
        self._lock, self._process = threading.RLock(), os.getpid()
        self._clock = getattr(time, "monotonic", time.time)
        self._began = self._flushed = self._clock()
        self._waiting = []  # of each step a list of its line, less its number
        self._ids = 0
        self._over = self._entered = False
        self._writing = None
        try:
            numbers.extend(map(os.open, (path,), (flags,), (0o666,)))  # one call: nothing comes between
            self._file = io.FileIO(numbers[0], "w")  # unbuffered: a write is what the operating system has
            # What is in the file: its size, the digest over it, how many steps, those written last, and whether all is.
            self._written = (0, hashlib.sha256(), 0, None, False)
            self._write(self._written, head + '{"digest": "', '"}\n', 0, None)
        except BaseException as error:
            if numbers:
                os.remove(path)  # it was never begun
            if isinstance(error, OSError) and os.path.exists(path):
                raise ValueError(
                    "the trace exists already: got %r, expected a new file. Remove it or choose another name." % (path,)
                )
            if isinstance(error, OSError):
                raise ValueError("cannot write the trace: got %r, expected a place for a new file (%s)" % (path, error))
            raise
        atexit.register(self._leave_open, path)

    @property
    def num_steps(self):
        """Steps recorded so far."""
        with self._lock:
            self._forget_written()
            return self._written[2] + (0 if self._written[4] else len(self._waiting))

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
        if self._over or self._process != os.getpid():
            self._refuse()
        now = self._clock()
        members = _ids(ids)
        parts = ['"ids": [%s]' % ", ".join(["%d" % i for i in members])]
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
        self._waiting.append(
            [", ".join(parts)]
        )  # this takes the step: nothing is kept before it, nothing lost after it
        self._ids += len(members)
        if self._over:
            self._refuse()
        if (
            len(self._waiting) >= FLUSH_ROWS
            or self._ids >= FLUSH_IDS
            or not 0 <= now - self._flushed < FLUSH_SECONDS  # a wall clock may also go back
        ):
            self.flush()

    def _refuse(self):
        if self._process != os.getpid():
            raise ValueError("the recorder belongs to the process that made it, and this one was forked from it")
        raise ValueError("the trace is closed: no step can be added")

    def flush(self):
        """Hands the steps so far to the operating system; they then survive whatever happens to the process.

        What the disk does not take is kept, and tried again by the next flush.
        """
        if self._process != os.getpid():
            return
        with self._lock:
            self._flushed, self._ids = self._clock(), 0
            while not self._written[4]:
                self._forget_written()
                lines = self._waiting[:FLUSH_ROWS]
                if not lines:
                    return
                before = self._written
                text = "".join(['{"step": %d, %s' % (before[2] + k, line) for k, (line,) in enumerate(lines)])
                self._write(before, text + '{"digest": "', '"}\n', len(lines), lines)

    def _forget_written(self):
        before = self._written
        lines = before[3]
        if lines is not None:
            count = len(lines)
            after = (before[0], before[1], before[2], None, before[4])
            if self._written is before and self._waiting and self._waiting[0] is lines[0]:
                del self._waiting[:count]
            if self._written is before:
                self._written = after

    def close(self, outcome="complete"):
        """Writes the steps so far and the end; without it the trace is truncated. A second time does nothing."""
        if self._process != os.getpid():
            return
        with self._lock:
            self._over = True
            first, failures = None, 0
            while not self._written[4] and failures < 2:
                try:
                    self.flush()
                    before = self._written
                    if not before[4]:
                        end = json.dumps({"rows": before[2], "outcome": outcome}, sort_keys=True)
                        self._write(before, '{"end": %s, "digest": "' % end, '"}\n', 0, None, True)
                except BaseException as error:  # Ctrl-C: the trace is finished all the same; a full disk: tried twice
                    first = first or error
                    failures += isinstance(error, Exception)
            if self._written[4]:
                self._file.close()
            if first is not None:
                raise first

    def _write(self, before, text, after, steps, lines, ended=False):
        """Writes ``text``, the digest of all up to here, and ``after``, in one piece, behind what was ``before``.

        A signal's handler may have written in the meantime. That stays, and this is left out.
        """
        data, digest = text.encode("ascii"), before[1].copy()
        digest.update(data)
        last = digest.hexdigest().encode("ascii") + after.encode("ascii")
        digest.update(last)
        data = memoryview(data + last)
        written = (before[0] + len(data), digest, before[2] + steps, lines, ended)
        mine = self._writing = object()
        if self._writing is mine and self._written is before:
            self._file.truncate(before[0])
        if self._writing is mine and self._written is before:
            self._file.seek(before[0])
        while len(data):
            if self._writing is not mine or self._written is not before:
                return
            data = data[self._file.write(data) or 0 :]
        if self._writing is mine and self._written is before:
            self._written = written

    def _leave_open(self, path):
        """Keeps the steps of a recorder that was never closed, and warns; in that process, none forked from it."""
        if self._over or self._process != os.getpid() or not self.num_steps:
            return
        self.flush()
        warnings.warn(
            "the recorder of %s was never closed: its rows are kept (%d steps), and the trace counts as truncated, so "
            "no comparison of it passes. Record inside 'with record(...) as rec:', or end with rec.close()."
            % (path, self.num_steps),
            RuntimeWarning,
            stacklevel=2,
        )

    def __enter__(self):
        if self._over or self._entered:
            raise ValueError("the recorder was entered already: use it inside that 'with', or record to a new trace")
        self._entered = True
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
