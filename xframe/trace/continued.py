"""A run that goes on in another trace: the rows of the first part before a step, then those of the next. See FORMAT.md.

A trace that continues another states the other's file name, the step, and the certificate of the rows before it. Its
own rows are numbered from 0 in its file, and from that step in the run. Whoever opens it gets the whole run, as if one
file had it, read by blocks from all parts; so nothing that looks at a trace needs to know of this. The parts may also
be named, ``a.trace+b.trace``: then they may lie anywhere and need not state anything.

A part is looked for beside the trace that names it, or below: opening a file that somebody sent never reads others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from xframe.errors import NotATraceError, TraceError, UsageError, Verbatim, counted, printable
from xframe.trace.certificate import Certifier, LossesDigest
from xframe.trace.facts import DECLARED
from xframe.trace.merged import Merged
from xframe.trace.pieces import BETWEEN, Continued, Piece, behind_update, last_of
from xframe.trace.ranks import is_run, open_any
from xframe.trace.schema import COUNTED
from xframe.trace.source import Source, damaged, read_between
from xframe.trace.stated import StatedContinues, fitted

_MOST_PARTS = 100  # in a name, so that finding them takes no time
COUNTERS = ("updates", "update_attempts")  # which an optimizer's counter gives, of its own process
UNTIL = "@"  # between a part and the step at which the next goes on
_DIGITS = 18  # of that step
_HERE = Path()


@dataclass(frozen=True, slots=True)
class Join:
    """Where a trace goes on with the run of the ones before it.

    Attributes:
        step: of the run, the first that the later trace has.
        before, after: names of the files.
        abandoned: steps that the ones before had made from there on; they are no part of the run.
        stated: whether the later trace states it; else it was joined because both were named.
    """

    step: int
    before: str
    after: str
    abandoned: int
    stated: bool

    def __str__(self) -> str:
        text = f"{self.after} goes on with {self.before} at step {self.step:,}"
        text += "" if self.stated else ", where it was joined because both were named"
        if self.abandoned:
            text += f"; {counted(self.abandoned, 'step')} that {self.before} had made from there on "
            text += f"{'is' if self.abandoned == 1 else 'are'} abandoned"
        return printable(text)


class Part(NamedTuple):
    """A file of a run, and of how many of the run's steps it is the end; None: all that there are."""

    path: Path
    until: int | None = None


def parts_of(name: str, folder: Path = _HERE) -> list[Part]:
    """The files that a name stands for: that of a file, if there is one, else those between its plus signs."""
    pieces = name.split(BETWEEN)
    if not 1 < len(pieces) <= _MOST_PARTS or _is_there(folder / name):
        return [Part(folder / name)]
    best: list[list[Part] | None] = [[]] + [None] * len(pieces)  # of the first pieces, files that all exist
    for stop in range(1, len(pieces) + 1):
        for start in range(stop):  # the longest names first: a file whose name has a plus wins
            before, part = best[start], _part(BETWEEN.join(pieces[start:stop]), folder)
            if before is not None and part is not None:
                best[stop] = [*before, part]
                break
    if (parts := best[-1]) is not None:
        return parts
    found = [_part(piece, folder) for piece in pieces]
    if all(pieces) and any(found):  # the one that is lacking is named when it is opened
        return [part or Part(folder / piece) for part, piece in zip(found, pieces, strict=True)]
    return [Part(folder / name)]


def _part(name: str, folder: Path) -> Part | None:
    """A file that there is, perhaps with the step up to which it is taken: ``a.trace@15``; None if there is none."""
    if name and _is_there(folder / name):
        return Part(folder / name)
    file, _, step = name.rpartition(UNTIL)
    if file and step.isdecimal() and len(step) <= _DIGITS and _is_there(folder / file):
        return Part(folder / file, int(step))
    return None


def _is_there(file: Path) -> bool:
    try:
        return os.path.lexists(file) and (not os.path.isdir(file) or is_run(file))
    except ValueError:  # a zero byte
        return False


def stated_continues(path: Path, source: Source) -> StatedContinues | None:
    """What a trace states of the one that it continues; None if it begins a run.

    Raises:
        TraceError: it is an object that does not fit.
    """
    facts = source.metadata.get("continues")
    if type(facts) is not dict:
        return None  # absent, or a fact of the user's own
    try:
        return fitted(StatedContinues, facts)
    except ValueError as error:
        raise damaged(path, f"what it continues is not stated as it must be ({error})") from None


def _looked_for(stated: StatedContinues, after: Path) -> list[Part]:
    """The files that a trace continues, beside it or below.

    Raises:
        TraceError: it names one elsewhere.
    """
    for part in map(Path, stated.trace.split(BETWEEN)):
        if part.is_absolute() or ".." in part.parts:
            raise TraceError(
                f"{printable(after)} continues a trace that is not looked for",
                got=stated.trace,
                expected="a file beside it, or in a folder beside it",
                remedy=f"Name both: {_both(part.name, after)}",
            )
    return parts_of(stated.trace, after.parent)


def open_run(path: Path, step: int | None = None) -> tuple[list[Path], Source, tuple[Join, ...]]:
    """The files of a run in order, its rows, and where they were joined.

    Args:
        path: a file, or several with plus signs between.
        step: at which the last part goes on, if it does not state that itself, as ``a.trace@15+b.trace`` says; default:
            behind the last update that its optimizer had made before, if it knows that, or the end of those before.

    Raises:
        NotATraceError: the last part is none, or of a newer format.
        TraceError: a part is damaged, or one before the last is missing, too short, or not the one that is continued.
    """
    *earlier, (last, until) = parts_of(os.fspath(path))
    if until is not None:
        raise UsageError("a step behind the last part", got=str(path), expected="a.trace@15+b.trace")
    files, sources, links = [last], [open_any(last)], list[tuple[StatedContinues | None, int | None]]()
    seen = {os.path.realpath(last)}
    while (stated := stated_continues(files[-1], sources[-1])) is not None or earlier:
        after = files[-1]
        if stated is not None and not earlier:
            earlier = _looked_for(stated, after)
        before, until = earlier.pop()
        if (real := os.path.realpath(before)) in seen:
            remedy = "Name the parts in order, each once: a.trace+b.trace."
            raise TraceError(f"{printable(before)} comes twice in one run, which would continue itself", remedy=remedy)
        seen.add(real)
        sources.append(_opened_before(before, after, stated))
        files.append(before)
        links.append((stated, until if len(files) > 2 or step is None else step))
    if len(files) == 1:
        if step is not None:
            raise UsageError("a step to join at", got=step, expected="a run of several traces, a.trace+b.trace")
        return files, sources[0], ()
    run = _Run(files.pop(), sources.pop())
    while files:
        run.goes_on(files.pop(), sources.pop(), *links.pop())
    return run.result()


def _opened_before(before: Path, after: Path, stated: StatedContinues | None) -> Source:
    """A part that is not the last: whatever is wrong with it, nothing can be judged."""
    try:
        return open_any(before)
    except NotATraceError as error:
        where = f" from step {stated.step:,}" if stated is not None else ""
        raise TraceError(
            f"{printable(after)} continues {printable(before.name)}{where}: {error.what}",
            got=str(before),
            expected=error.expected,
            remedy=f"Put it there, or name both: {_both(before.name, after)}",
        ) from None


def _the_same(before: Path, after: Path) -> str:
    return f"Give the {printable(before.name)} that {printable(after.name)} was recorded after."


def _both(before: str, after: Path) -> str:
    return f"FOLDER/{printable(before)}{BETWEEN}{printable(after)}"


def certified_before(source: Source, step: int) -> Certifier:
    """Certifies the rows of a run before that step; more may be added."""
    return Piece(_HERE, source, 0, source.num_rows, {}, Certifier()).certify(step)


def losses_before(source: Source, step: int) -> LossesDigest:
    """Digests losses and rates of a run's rows before that step; more may be added."""
    return Piece(_HERE, source, 0, source.num_rows, {}, Certifier()).losses(step)


def of_replica(source: Source, index: int | None) -> Piece:
    """The rows of a run; of a replica those of its own last trace, behind those that all have before."""
    whole = Piece(_HERE, source, 0, source.num_rows, {}, Certifier())
    if index is None:
        return whole
    last = source.pieces[-1] if isinstance(source, Continued) else whole
    return replace(last, source=last.source.parts[index]) if isinstance(last.source, Merged) else last


class _Run:
    """Joins parts, the first one first. Each row is certified once, unless a part goes back behind a join."""

    def __init__(self, path: Path, source: Source) -> None:
        self.pieces = [Piece(path, source, 0, source.num_rows, {}, Certifier())]
        self.joins = list[Join]()

    def goes_on(self, path: Path, source: Source, stated: StatedContinues | None, step: int | None) -> None:
        """Adds the next part, from the step that it states, or else from that one; by default from the end."""
        before = self.pieces[-1]
        made = before.first + before.rows
        if stated is not None and step not in (None, stated.step):
            remedy = f"Name them without a step: {printable(before.path.name)}{BETWEEN}{printable(path.name)}."
            what = f"{printable(path)} states where it goes on"
            raise TraceError(what, got=step, expected=f"{stated.step:,}", remedy=remedy)
        at = stated.step if stated is not None else step if step is not None else self._resumed_at(source, made)
        if at > made:
            raise TraceError(
                f"{printable(path)} continues {printable(before.path.name)} from step {at:,}",
                got=Verbatim(f"{counted(made, 'step')} before it"),
                expected=f"at least {at:,}",
                remedy=_the_same(before.path, path),
            )
        while len(self.pieces) > 1 and self.pieces[-1].first >= at:
            self.pieces.pop()
        last = self.pieces[-1]
        last.rows = at - last.first
        certifier = last.certify(last.rows)
        if stated is not None and (certificate := certifier.result()) != stated.certificate:
            raise TraceError(
                f"{printable(path)} continues another {printable(before.path.name)}: of its first "
                f"{counted(at, 'step')} the certificate is",
                got=Verbatim(certificate),
                expected=stated.certificate,
                remedy=_the_same(before.path, path),
            )
        losses = last.losses(last.rows)
        if stated is not None and stated.losses not in (None, losses.result()):
            raise TraceError(
                f"{printable(path)} continues another {printable(before.path.name)}: its first {counted(at, 'step')} "
                "took the same samples, and have other losses or learning rates; their digest is",
                got=Verbatim(losses.result()),
                expected=stated.losses,
                remedy=_the_same(before.path, path),
            )
        piece = Piece(path, source, at, source.num_rows, {"step": at}, certifier, last.largest, losses_before=losses)
        piece.added |= _added(last, source, stated)
        piece.dropped = COUNTED if stated is None and _labelled_anew(last, source) else ()
        self.pieces.append(piece)
        self.joins.append(Join(at, before.path.name, path.name, made - at, stated is not None))

    def _resumed_at(self, source: Source, made: int) -> int:
        """Where a part goes on that does not state it: where its optimizer had come to, else at the end."""
        updates = source.end.get("updates_before", 0)
        return behind_update(Continued(self.pieces, ""), updates) if updates else made

    def result(self) -> tuple[list[Path], Source, tuple[Join, ...]]:
        """See ``open_run``."""
        last = self.pieces[-1]
        certificate = last.certify(last.rows).result()
        return [one.path for one in self.pieces], Continued(self.pieces, certificate), tuple(self.joins)


def _added(last: Piece, source: Source, stated: StatedContinues | None) -> dict[str, int]:
    """What a part's counters lack, which began at 0 in its own process, unless what it recorded are the run's."""
    added = {"time_ns": last_of(last, "time_ns")}
    if stated is not None:  # whoever recorded it knew of the part before it
        return added
    for name in COUNTERS:
        before, (values, known) = last_of(last, name), read_between(source, name, 0, 1)
        first = int(values[0]) if len(values) and known is None else 0
        if first < before or source.end.get("evidence", DECLARED) != DECLARED:
            added[name] = before
    return added


def _labelled_anew(last: Piece, source: Source) -> bool:
    """Whether a part labels its first step as one that is behind already, since its process counts from 0."""
    before = [last.column(name, last.rows - 1, last.rows) for name in COUNTED] if last.rows else []
    after = [read_between(source, name, 0, 1) for name in COUNTED] if source.num_rows else []
    if not before or not after or any(one.known is not None for one in (*before, *after)):
        return False
    return [int(one.values[0]) for one in after] <= [int(one.values[0]) for one in before]
