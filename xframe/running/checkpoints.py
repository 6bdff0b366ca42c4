"""Checkpoints: what a run writes while it trains, where it stops, and what it goes on from.

A checkpoint is a state's file whose head says of which run it is (``Of``). When one is due, the recorder's rows go to
the disk first, with the file's digest, and the file takes its place last, whole: whatever ends the process, the file's
rows are in the trace, and the trace vouches for the file. Replicas of a run are one state between two steps: the first
writes the file, once the rows of all are on the disk.

    Wanted        what was asked for, on the command line or of a worker
    Of            what a checkpoint's head states of its run, read and checked; FORMAT.md has its keys
    Checkpoints   what a loop asks between two steps; ``NONE`` is of runs that keep none
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xframe.errors import StateError, UsageError, Verbatim, printable
from xframe.running.runtime import Replica
from xframe.running.states import read_content, write_state
from xframe.state.state import State

if TYPE_CHECKING:
    from xframe.recording.recorder import Recorder

_CHANGING = ("steps", "certificate", "losses", "digest")
NEVER = -1  # a number of steps that no run has made


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is to keep, where it is to stop, and what it goes on from. Steps are those of the whole run."""

    file: str | None = None  # the checkpoint to write: where the run stops or ends, and
    every: int | None = None  # after each so many steps
    stop_after: int | None = None
    resume: str | None = None  # the checkpoint to go on from, and
    vouched: str | None = None  # the digest that it is to have, once it was checked

    def __post_init__(self) -> None:
        for name, steps in (("checkpoint_every", self.every), ("stop_after", self.stop_after)):
            if steps is not None and (type(steps) is not int or steps < 1):
                raise UsageError(name, got=steps, expected="a number of steps from 1")
            if steps is not None and self.file is None:
                option = f"--{name.replace('_', '-')}"
                expected = "--checkpoint FILE.safetensors beside it: without a file nothing is left to go on from"
                raise UsageError(f"{option} without a checkpoint", got=steps, expected=expected)

    def __bool__(self) -> bool:
        return self.file is not None or self.resume is not None


NOTHING_KEPT = Wanted()


@dataclass(frozen=True, slots=True)
class Of:
    """Of which run a checkpoint is.

    Attributes:
        plan, plan_digest, task, runtime, adapter, loop: what the run was made by.
        optimizer: that took the place of the task's own; None if that was used.
        replica: by ``index`` and ``of``, whose own rows these are, of the run's last trace; None: of one process.
        data_fingerprint, weights_fingerprint: of the task's samples and initial weights.
        computes: layers, loss, metrics and validation samples of the task, as its ``computes`` has them.
        trace: where the run's trace lies, from the checkpoint's folder.
        steps: made so far, in the whole run; certificate, losses: digests of their rows.
        digest: the file's own, which is not in its head.
    """

    plan: Mapping[str, Any]
    plan_digest: str
    task: str
    runtime: Mapping[str, Any]
    adapter: str
    loop: str
    data_fingerprint: str
    weights_fingerprint: str
    computes: Mapping[str, Any]
    trace: str
    steps: int
    certificate: str
    losses: str
    optimizer: Mapping[str, Any] | None = None
    replica: Mapping[str, int] | None = None
    digest: str = field(default="", compare=False)

    @classmethod
    def read(cls, values: Mapping[str, Any], digest: str = "") -> Of:
        """What a head states, keys that are not known passed over. Raises ValueError: one is missing or no such."""
        kinds: dict[str, Any] = dict.fromkeys((each.name for each in fields(cls) if each.name != "digest"), str)
        kinds |= {"plan": dict, "runtime": dict, "computes": dict, "steps": int}
        kinds |= dict.fromkeys(("optimizer", "replica"), (dict, type(None)))
        facts = {name: values.get(name) for name in kinds}
        if wrong := [name for name, kind in kinds.items() if not isinstance(facts[name], kind)]:
            raise ValueError(f"of its run it has no {wrong[0]}" if wrong[0] not in values else f"its {wrong[0]} is odd")
        if type(facts["steps"]) is not int or facts["steps"] < 0:
            raise ValueError(f"its number of steps is {facts['steps']!r}")
        if (replica := facts["replica"]) is not None:
            of = replica.get("of")
            if replica.get("index") != 0 or type(of) is not int or of < 2:
                raise ValueError(f"its replica is {replica!r}")
        trace = Path(str(facts["trace"]))
        if not str(trace).isprintable() or not trace.name or trace.is_absolute():
            raise ValueError(
                f"its trace is {str(facts['trace'])!r}, which is no file's name from the checkpoint's folder"
            )
        return cls(**facts, digest=digest)  # type: ignore[arg-type]


def read_checkpoint(path: Path, vouched: str | None = None) -> tuple[State, Of]:
    """A checkpoint's state, and of which run it is.

    Raises:
        StateError: it is damaged, or a state's file that says nothing of a run, or has not the digest ``vouched``.
    """
    state, run, digest = read_content(path, vouched=vouched)
    try:
        if run is None or state.position is None:
            raise ValueError("it says nothing of the run that it was taken of")
        of = Of.read(run, digest)
        if (steps := state.position["window"]["steps"]) != of.steps:
            raise ValueError(f"it is of step {steps:,}, and its head says {of.steps:,}")
    except ValueError as error:
        expected = "a checkpoint that xframe run --checkpoint wrote"
        raise StateError(f"cannot go on from {printable(path)}", got=Verbatim(error), expected=expected) from None
    return state, of


@dataclass(eq=False)
class Checkpoints:
    """What a loop asks between two steps, where ``due`` is the number of steps after which it is to ask.

    Attributes:
        begins: the state to go on from; None from the task's initial weights.
        stopped: the run was to stop where it asked last.
        replica: which one of the run's this process is; None of one process.
        meet: of a replica's loop, waits until all have come there.
    """

    wanted: Wanted = field(default_factory=Wanted)
    recorder: Recorder | None = None
    of: Mapping[str, Any] = field(default_factory=dict)  # ``Of``, without what changes, see ``head``
    begins: State | None = None
    stopped: bool = False
    replica: Replica | None = None
    meet: Callable[[], None] | None = None
    made: int = 0  # steps, when it was last looked at
    written: int = NEVER  # steps of the last checkpoint

    def __post_init__(self) -> None:
        if self.begins is not None and self.begins.position is not None:
            self.made = self.begins.position["window"]["steps"]

    @property
    def due(self) -> int:
        """The number of steps after which it is to be asked next; ``NEVER`` if it need not be."""
        return self.due_after(self.made)

    def due_after(self, steps: int) -> int:
        """The same, once so many are made."""
        every, stop = self.wanted.every, self.wanted.stop_after
        following = [steps - steps % every + every] if every else []
        following += [stop] if stop is not None and stop > steps else []
        return min(following, default=NEVER)

    def take(self, export: Callable[[], State]) -> int:
        """After the step that was due, where training goes on: writes a checkpoint; returns the next that is due."""
        self.made = self.due
        self.stopped = self.made == self.wanted.stop_after
        self._write(export)
        return self.due

    def end(self, export: Callable[[], State]) -> None:
        """After the last step."""
        if self.wanted.file is not None:
            self._write(export)

    def _write(self, export: Callable[[], State]) -> None:
        assert self.recorder is not None
        assert self.wanted.file is not None
        steps, certificate, losses = self.recorder.so_far()
        if steps == self.written:
            return
        self.written = steps
        if self.replica is not None:
            assert self.meet is not None
            self.recorder.checkpointed()
            self.meet()  # the rows of all are on the disk
            if self.replica.index:
                return
        run = {**self.of, "steps": steps, "certificate": certificate, "losses": losses}
        try:
            write_state(Path(self.wanted.file), export(), run, self.recorder.checkpointed)
        except OSError as error:  # of writing to a file that is open, it names none
            raise OSError(error.errno, error.strerror, self.wanted.file) from error


NONE = Checkpoints()


def head(of: Of) -> dict[str, Any]:
    """What of a run does not change while it trains, as a checkpoint's head has it."""
    return {name: value for name, value in asdict(of).items() if name not in _CHANGING}


def from_folder_of(checkpoint: str, trace: str) -> str:
    """Where the trace lies, as a checkpoint states it."""
    return os.path.relpath(Path(trace).resolve(), Path(checkpoint).resolve().parent)
