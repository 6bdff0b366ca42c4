"""What came of a recorded command, in words, by what its processes said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from xframe.errors import counted, listed, printable
from xframe.recording.attach.continuing import said_of_resumed
from xframe.recording.attach.instruments import untrained
from xframe.trace.ranks import rank_path

Words = Mapping[str, Any]


class _Ran(NamedTuple):
    """A trace that a process opened.

    Attributes:
        path, process: those.
        steps: recorded in it; None where the process did not close it.
        captured: words about captured updates.
        replica: its index and how many there are, of one of several.
        folder: of such a one, where all of them are.
    """

    path: str
    process: int
    steps: int | None
    captured: str
    replica: tuple[int, int] | None
    folder: str | None


def recorded(words: Sequence[Words], out: Path, code: int) -> tuple[int | None, str]:
    """How many steps were recorded, None if that is not known, and what was, in words.

    Replicas of one training are one run, and its steps are those that all of them have.
    """
    shown = {str(word["trouble"]) for word in words if word.get("shown")}
    troubles = dict.fromkeys(str(word["trouble"]) for word in words if "trouble" in word)
    lines = [text for text in troubles if text not in shown]
    running = [word["running"] for word in words if "running" in word]
    ended = {word["ended"]: word for word in words if "ended" in word}
    traces = [_ran(word, ended.get(word["opened"], {})) for word in words if "opened" in word]
    traces = list({one.path: one for one in traces if one.steps != 0}.values())
    runs: dict[str, list[_Ran]] = {}
    for one in traces:
        runs.setdefault(one.folder or one.path, []).append(one)
    if len(runs) > 1:
        which = "processes" if len(runs) == len(traces) else "runs"
        lines.append(f"{len(runs)} {which} trained, and each has a trace of its own:")
    for path, ranks in runs.items():
        lines += _of_replicas(Path(path), out, ranks, running) if ranks[0].folder else [_of_one(ranks[0], out, running)]
    for one in traces:
        word = ended.get(one.path, {})
        if word.get("updates_before"):
            lines.append(said_of_resumed(_shown(one.path, out), word["updates_before"]))
    if runs:
        known = [min(one.steps or 0 for one in ranks) for ranks in runs.values()]
        whole = all(one.steps is not None for one in traces)
        return (sum(known) if whole else None), "\n".join(lines)
    if running:
        left = ", ".join(map(str, running))
        lines.append(f"the command ended, and process {left} of it goes on: what it trains is recorded in {out}")
        return None, "\n".join(lines)
    if shown:
        lines.append("no step was recorded: see what is said above")
    elif not lines:
        lines.append(f"nothing was recorded: {_why_nothing(words, code)}")
    return 0, "\n".join(lines)


def _ran(opened: Words, ended: Words) -> _Ran:
    replica = opened.get("replica")
    captured = ended.get("captured", "")
    replica = None if replica is None else (int(replica[0]), int(replica[1]))
    return _Ran(opened["opened"], opened["process"], ended.get("steps"), captured, replica, opened.get("folder"))


def _shown(path: str, out: Path) -> Path:
    """A trace as the command line names the folder that it is in."""
    inside = Path(path).absolute().relative_to(out.absolute().parent)
    return out.parent / inside


def _of_one(one: _Ran, out: Path, running: Sequence[int]) -> str:
    name = printable(_shown(one.path, out))
    if one.steps is not None:
        return f"{counted(one.steps, 'step')} recorded in {name}{one.captured}"
    if one.process in running:
        return f"process {one.process} goes on, and its steps to {name}"
    return f"{_cut_short(one.path)} recorded in {name}: what trained was ended before it could close it"


def _of_replicas(folder: Path, out: Path, ranks: Sequence[_Ran], running: Sequence[int]) -> Iterator[str]:
    """One line for the run, and one for each replica that lacks something of it."""
    name, of = printable(_shown(str(folder), out)), max(one.replica[1] for one in ranks if one.replica)
    steps = {one.replica[0]: _steps_of(one) for one in ranks if one.replica}
    here = [index for index in range(of) if rank_path(folder, index).exists()]
    by = f"{of} replicas" if len(here) == of else f"{len(here)} of {of} replicas"
    known = [count for count in steps.values() if count is not None]
    yield f"{counted(min(known, default=0), 'step')} recorded in {name}, by {by}"
    if missing := [index for index in range(of) if index not in here]:
        yield f"no step of replica {listed(missing)} is recorded there, so that the run is not known as a whole"
    for one in sorted(ranks, key=lambda one: one.replica or (0, 0)):
        index = one.replica[0] if one.replica else 0
        count = steps[index]
        if one.steps is None and one.process in running:
            yield f"replica {index}, process {one.process}, goes on"
        elif one.steps is None:
            had = "nothing that can be read" if count is None else counted(count, "step")
            yield f"replica {index} was ended before it could close its trace: {had} of it recorded"
        elif count is not None and count > min(known):
            yield f"replica {index} has {counted(count, 'step')}"


def _steps_of(one: _Ran) -> int | None:
    return _readable(one.path) if one.steps is None else one.steps


def _readable(path: str) -> int | None:
    """How many steps a trace has that nobody closed; None if nothing of it can be read."""
    from xframe.errors import XframeError
    from xframe.trace.trace import Trace

    try:
        trace = Trace.open(path)
    except XframeError:
        return None
    return trace.num_rows - (trace.joins[-1].step if trace.joins else 0)


def _cut_short(path: str) -> str:
    steps = _readable(path)
    return "nothing that can be read" if steps is None else counted(steps, "step")


def _why_nothing(words: Sequence[Words], code: int) -> str:
    attached = list(dict.fromkeys(word["attached"] for word in words if "attached" in word))
    ran = any("python" in word for word in words)
    if code and (attached or ran):
        return f"the command failed (exit {code}) before its first update"
    if attached or ran:
        return untrained(attached)
    return (
        "the command ran no Python that xframe can follow: none at all, or one that is kept from it "
        "(python -I, -E or -S, an emptied environment, a version before 3.8)"
    )
