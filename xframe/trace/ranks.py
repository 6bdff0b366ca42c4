"""The folder of a run of several replicas: a trace of each, ``0.trace``, ``1.trace`` and so on, opened as one run."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from xframe.errors import NotATraceError, TraceError, Verbatim, counted, printable
from xframe.trace.merged import Merged
from xframe.trace.opening import File, open_source
from xframe.trace.source import Source, damaged, unreadable
from xframe.trace.stated import StatedReplica, StatedRun, fitted

_RANK = re.compile(r"(0|[1-9]\d{0,9})\.trace")
_AT_ONCE = 2  # that are opened, where they are many bytes: of each a block is held
_SMALL = 1 << 20


def rank_path(folder: Path, index: int) -> Path:
    """The trace of that replica in the folder of a run."""
    return folder / f"{index}.trace"


def first_path(path: Path) -> Path:
    """The file of a run that its weights lie beside: of a folder that of its first replica."""
    return rank_path(path, 0) if os.path.isdir(path) else path


def is_run(folder: Path) -> bool:
    """Whether a folder has a replica's trace."""
    try:
        return os.path.isdir(folder) and any(map(_RANK.fullmatch, os.listdir(folder)))
    except (OSError, ValueError):
        return False


def open_any(path: Path) -> Source:
    """Opens one file of any form, or the folder of a run of replicas, and verifies it.

    Raises:
        NotATraceError: it is none, or of a newer format; a folder has no replica's trace.
        TraceError: it is damaged; replicas' traces are missing, or none, or not of one run.
    """
    return _open_folder(path) if os.path.isdir(path) else open_source(path)


def _open_folder(folder: Path) -> Merged:
    try:
        indices = sorted(int(match[1]) for name in os.listdir(folder) if (match := _RANK.fullmatch(name)))
    except OSError as error:
        raise unreadable(folder, error) from None
    if not indices:
        expected = "a trace, or the folder of a run of replicas: 0.trace, 1.trace and so on"
        raise NotATraceError("no trace in the folder", got=str(folder), expected=expected)
    paths = [rank_path(folder, index) for index in indices]
    _allow_files(len(paths))
    parts = _open_all(paths)
    stated = [_stated(path, part) for path, part in zip(paths, parts, strict=True)]
    _check(folder, paths, parts, stated)
    return Merged(folder, paths, parts, stated)


def _open_all(paths: Sequence[Path]) -> list[File]:
    def opened(path: Path) -> File:
        try:
            source = open_source(path)
        except NotATraceError as error:  # a run that lacks a part cannot be judged, whatever is in its place
            remedy = error.remedy or "Put the replica's trace there, or record the run again."
            raise TraceError(error.what, got=error.got, expected=error.expected, remedy=remedy) from None
        source.forget(0)
        return source

    if sum(os.path.getsize(path) for path in paths if os.path.exists(path)) < _SMALL:
        return [opened(path) for path in paths]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(opened, paths))


def _allow_files(more: int) -> None:
    """Lets this process have that many more files open, as far as the system lets it."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * more + 256
        if soft != resource.RLIM_INFINITY and soft < wanted:
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _stated(path: Path, part: Source) -> StatedReplica:
    facts = part.metadata.get("replica")
    if type(facts) is not dict:
        raise NotATraceError(
            f"{printable(path)} does not state which replica it is of",
            got=Verbatim("a folder with traces of whole runs" if facts is None else f"replica {facts!r}"),
            expected="traces recorded with replica=(rank, world_size), or by a launcher's ranks",
        )
    try:
        return fitted(StatedReplica, facts)
    except ValueError as error:
        raise damaged(path, f"which replica it is of is not stated as it must be ({error})") from None


def _check(folder: Path, paths: Sequence[Path], parts: Sequence[Source], stated: Sequence[StatedReplica]) -> None:
    """That the files are those of one run, and all of them.

    Raises:
        TraceError: they are not.
    """
    first, splits = stated[0], [one.split for one in stated if one.split is not None]
    for path, part, own in zip(paths, parts, stated, strict=True):
        if own.index != int(path.stem):
            raise TraceError(
                f"{printable(path)} is of another replica than its name says",
                got=own.index,
                expected=path.stem,
                remedy="Each replica has one file, named by its index: two copies of one are no two replicas.",
            )
        for what, mine, others in (
            ("of another number of replicas", own.of, first.of),
            ("dealt otherwise", own.split, splits[0] if splits and own.split is not None else own.split),
            ("of another mean of gradients", own.gradients, first.gradients),
            ("one whose losses are put together otherwise", own.losses, first.losses),
        ):
            if mine != others:
                raise _other_run(path, paths[0], what, mine, others)
        if part.metadata.get("plan") != parts[0].metadata.get("plan"):
            raise _other_run(path, paths[0], "recorded under another plan", None, None)
    _check_run(paths, [own.run for own in stated])
    if len(paths) < first.of:
        there = {own.index for own in stated}
        lacking = [index for index in range(first.of) if index not in there]
        names = ", ".join(f"{index}.trace" for index in lacking[:3]) + (", …" if len(lacking) > 3 else "")
        raise TraceError(
            f"{len(paths):,} of {counted(first.of, 'replica')} are there",
            got=str(folder),
            expected=f"{names} too",
            remedy="Put it there, or record the run again: of a part of its samples nothing can be judged."
            if len(lacking) == 1
            else "Put them there, or record the run again: of a part of its samples nothing can be judged.",
        )


def _check_run(paths: Sequence[Path], runs: Sequence[StatedRun]) -> None:
    """That what tells runs apart is the same in all that state it; where all have a token, it decides.

    Raises:
        TraceError: it is not.
    """
    by_token = all(one.token is not None for one in runs)
    for told in ("token",) if by_token else ("token", "launcher"):
        known = [(path, text) for path, one in zip(paths, runs, strict=True) if (text := getattr(one, told))]
        for path, text in known:
            if text != known[0][1]:
                raise _other_run(path, known[0][0], "of another one, by its " + told, text, known[0][1])


def _other_run(path: Path, first: Path, what: str, mine: object, others: object) -> TraceError:
    return TraceError(
        f"{printable(path)} and {first.name} are not of one run: it is {what}",
        got=None if mine == others else Verbatim(mine),
        expected=None if mine == others else str(others),
        remedy="Give each run a folder of its own.",
    )
