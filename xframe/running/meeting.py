"""Where replicas meet that a launcher has started, maybe on several hosts: a folder beside the run's output.

All share it. Each replica writes there what it was asked for and at which addresses it can be reached; when all have
come, replica 0 makes way for the output and writes what all have said. So a folder that is not shared, or a replica
that does not come, is found before anything is trained. At its end each writes how it ended, and all look for that
meanwhile. The last one to leave removes the folder; what one that was killed has left there, the next run takes for
nothing: replica 0 clears the folder first, the others write again, and each knows its own by a number drawn at random.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xframe.errors import UsageError, Verbatim, WorkerError, XframeError, unwritable
from xframe.running.launch import Launch, address_of
from xframe.running.replicas import free_ports, new_meeting
from xframe.running.runtime import Replica
from xframe.running.workers import LeftError
from xframe.trace.ranks import rank_path

_LOOK_SECONDS = 0.2
_LAST_WORDS = 15.0  # seconds for the one at fault to say so, when another was left alone by it
_ALL = "all.json"


@dataclass(eq=False)
class Meeting:
    """One replica's side of it."""

    launch: Launch
    place: Path
    patience: float
    run: str = ""  # a name for it
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of all replicas, by the label of a run
    reported: bool = False
    since: float = 0.0  # ready, as of the monotonic clock
    waits: list[str] = field(default_factory=list)  # runs in which it has come to where the framework meets
    seen: dict[str, float] = field(default_factory=dict)  # by run, when another one was first seen there

    @classmethod
    def beside(cls, out: Path, launch: Launch, patience: float) -> Meeting:
        """That of the run which writes there."""
        return cls(launch, out.resolve().parent / f".{out.name}-meeting", patience)

    def replica(self, label: str) -> Replica:
        """Which one this process is of the run of that label."""
        launch = self.launch
        addresses = self.addresses[label]
        return Replica(launch.index, launch.of, new_meeting(), addresses, self.patience, launch.here)

    @contextlib.contextmanager
    def held(
        self, asked: str, labels: Sequence[str], listens: str | None, prepare: Callable[[], Any]
    ) -> Iterator[None]:
        """Begins when all have come, and replica 0 has prepared; lets the others know how it ends.

        Args:
            asked: what this replica was asked for, which must be the same for all.
            labels: the runs that have a process for each replica.
            listens: the one of them that gets the addresses that the launcher chose.
            prepare: makes way for the output, at replica 0.

        Raises:
            UsageError: the folder cannot be written, or what was asked for is not the same.
            WorkerError: a replica has not come, or failed.
        """
        ports = free_ports(len(labels), "")
        own = {label: address_of(self.launch.host, port) for label, port in zip(labels, ports, strict=True)}
        if listens is not None and self.launch.addresses:
            own[listens] = self.launch.addresses[self.launch.index]
        try:
            said = {"asked": asked, "addresses": own, "number": secrets.token_hex(8)}
            all_said = self._lead(said, prepare) if self.launch.index == 0 else self._follow(said)
        except OSError as error:
            raise unwritable("meet the other replicas", self.place, error) from None
        self.run = all_said[0]["number"]
        self.addresses = {label: tuple(one["addresses"][label] for one in all_said) for label in labels}
        try:
            yield
        except LeftError as error:
            self.report(error)
            raise self._at_fault(error) from None
        except BaseException as error:
            self.report(error)
            raise
        else:
            self.report(None)
        finally:
            self._leave([self.launch.index])

    def _lead(self, own: dict[str, Any], prepare: Callable[[], Any]) -> list[dict[str, Any]]:
        """What all have said, once they are there and know it."""
        come, refused = {0: own}, None
        with contextlib.suppress(FileNotFoundError):
            for file in self.place.iterdir():
                file.unlink(missing_ok=True)

        def all_are_there() -> bool:
            for index in range(1, self.launch.of):
                if (said := self._read(f"{index}.json")) is not None:
                    come[index] = said
            return len(come) == self.launch.of

        self._write("0.json", own)
        try:
            if not self._wait(all_are_there):
                raise self._absent([index for index in range(self.launch.of) if index not in come])
            for index, said in sorted(come.items()):
                if said["asked"] != own["asked"]:
                    raise UsageError(
                        f"replica {index} was not asked for the same as replica 0",
                        expected="one plan, task and optimizer, the same adapters and options, for all replicas",
                    )
            prepare()
        except BaseException as error:
            refused = {"text": _text(error), "usage": isinstance(error, UsageError)}
            raise
        finally:
            self._write(_ALL, {"said": [come[index] for index in sorted(come)], "refused": refused})
        return [come[index] for index in sorted(come)]

    def _follow(self, own: dict[str, Any]) -> list[dict[str, Any]]:
        """What all have said, once replica 0 has seen this one."""
        name, found = f"{self.launch.index}.json", dict[str, Any]()

        def is_known() -> bool:
            if not (self.place / name).exists():
                self._write(name, own)
            found.update(self._read(_ALL) or {})
            return any(one["number"] == own["number"] for one in found.get("said", ()))

        if not self._wait(is_known):
            there = [index for index in range(self.launch.of) if (self.place / f"{index}.json").exists()]
            raise self._absent([index for index in range(self.launch.of) if index not in there] or [0])
        if (refused := found["refused"]) is not None:
            kind = UsageError if refused["usage"] else WorkerError
            raise kind(refused["text"])
        said: list[dict[str, Any]] = found["said"]
        return said

    def _absent(self, indices: Sequence[int]) -> WorkerError:
        return WorkerError(
            f"{_named(indices)} of {self.launch.of} did not come",
            got=Verbatim(f"nothing from there in {self.place} within --patience {self.patience:g} s"),
            expected="xframe started for each replica with the same --out, in a folder that all hosts share",
            remedy="See whether it was started and what it says, whether its host has that folder, and raise "
            "--patience if hosts start at different times.",
        )

    def ready(self, devices: Sequence[str]) -> None:
        """Lets the others know that this replica's workers are, and what devices these have, the best first."""
        self.since = time.monotonic()
        self._write(f"{self.run}-{self.launch.index}.ready", {"devices": list(devices)})

    def devices(self) -> list[str] | None:
        """Those that all replicas have, once all are ready; None before, and where this one is not.

        Raises:
            WorkerError: a replica is not, for longer than the patience.
            UsageError: there is no such device.
        """
        there = self._said("ready")
        if self.launch.index not in there:
            return None
        late = [index for index in range(self.launch.of) if index not in there and index not in self._reports()]
        if late and time.monotonic() > self.since + self.patience:
            raise WorkerError(
                f"{_named(late)} of {self.launch.of} did not begin to train",
                got=Verbatim(f"no word that it is ready within --patience {self.patience:g} s"),
                remedy="See what its host says; raise --patience if its framework takes longer to start there.",
            )
        if late:
            return None
        own, *others = [there[index]["devices"] for index in sorted(there)]
        shared = [device for device in own if all(device in other for other in others)]
        if not shared:
            has = "; ".join(f"replica {index}: {', '.join(there[index]['devices'])}" for index in sorted(there))
            raise UsageError("the replicas have no device in common", got=Verbatim(has), remedy="Use --device cpu.")
        return shared

    def arrived(self, labels: Sequence[str]) -> None:
        """Lets the others know in which runs this replica waits for them where the framework meets, maybe for ever."""
        if labels and list(labels) != self.waits:
            self.waits = list(labels)
            self._write(f"{self.run}-{self.launch.index}.arrived", {"labels": self.waits})

    def awaited(self) -> dict[str, float]:
        """By run, for how many seconds another replica has been seen to wait there."""
        now = time.monotonic()
        for index, said in self._said("arrived").items():
            for label in said["labels"] if index != self.launch.index else ():
                self.seen.setdefault(label, now)
        return {label: now - since for label, since in self.seen.items()}

    def look(self) -> bool:
        """Whether another replica has been left alone by a third, or by this one.

        Raises:
            WorkerError: another one has failed.
        """
        reports = self._reports()
        for index, report in sorted(reports.items()):
            if report["error"] is not None and not report["left"] and index != self.launch.index:
                raise _failed(index, report)
        return any(report["left"] for index, report in reports.items() if index != self.launch.index)

    def gather(self, traces: Sequence[Path]) -> None:
        """At replica 0, when its own part has ended well: waits until the others' have, and their files are there.

        Raises:
            WorkerError: one has failed, or says nothing, or its trace is not to be seen.
        """
        others = range(1, self.launch.of)

        def ended() -> bool:
            if self.look():
                raise self._at_fault(None)
            return all(index in self._reports() for index in others)

        def seen() -> bool:
            return all(rank_path(trace, index).exists() for trace in traces for index in others)

        if not self._wait(ended):
            raise self._lost([index for index in others if index not in self._reports()])
        if not self._wait(seen):
            lacking = [rank_path(trace, index) for trace in traces for index in others]
            (first, *_) = [path for path in lacking if not path.exists()]
            raise WorkerError(
                "a replica has ended well, and its trace is not to be seen here",
                got=str(first),
                expected="an --out in a folder that all hosts share",
            )

    def _at_fault(self, error: LeftError | None) -> XframeError:
        """The error of the replica that has left this one, or another, alone; ``error`` is this one's."""
        done = dict[int, dict[str, Any]]()

        def known() -> bool:
            done.update(self._reports())
            blamed = any(report["error"] is not None and not report["left"] for report in done.values())
            return blamed or len(done) + (error is None) >= self.launch.of

        self._wait(known, _LAST_WORDS)
        for index, report in sorted(done.items()):
            if report["error"] is not None and not report["left"]:
                return _failed(index, report)
        silent = [index for index in range(self.launch.of) if index not in done and index != self.launch.index]
        if silent:
            return self._lost(silent)
        return error or _failed(*next((i, report) for i, report in sorted(done.items()) if report["left"]))

    def _lost(self, indices: Sequence[int]) -> WorkerError:
        self._leave(indices)  # they will not
        return WorkerError(
            f"{_named(indices)} of {self.launch.of} ended without a word, or lost the shared folder",
            got=Verbatim(f"no report of its end in {self.place}"),
            remedy="See what its host says. What was recorded so far is in the shared folder.",
        )

    def _leave(self, indices: Sequence[int]) -> None:
        """Those need the folder no longer; it goes when nobody does."""
        with contextlib.suppress(OSError):
            for index in indices:
                self._write(f"{self.run}-{index}.left", {})
        if len(self._said("left")) == self.launch.of:
            shutil.rmtree(self.place, ignore_errors=True)

    def report(self, error: BaseException | None) -> None:
        """Lets the others know how this replica's part ends, once: as soon as that is clear."""
        if self.reported:
            return
        self.reported = True
        end = {"error": None if error is None else _text(error), "left": isinstance(error, LeftError)}
        with contextlib.suppress(OSError):  # the disk may be what failed
            self._write(f"{self.run}-{self.launch.index}.end", end)

    def _reports(self) -> dict[int, dict[str, Any]]:
        """How those ended that have."""
        return self._said("end")

    def _said(self, what: str) -> dict[int, dict[str, Any]]:
        """What the replicas of this run have written under that name, by their index."""
        found = dict[int, dict[str, Any]]()
        with contextlib.suppress(OSError):
            for name in os.listdir(self.place):
                run, _, rest = name.partition("-")
                index, _, kind = rest.partition(".")
                if run == self.run and kind == what and (said := self._read(name)) is not None:
                    found[int(index)] = said
        return found

    def _wait(self, until: Callable[[], bool], seconds: float | None = None) -> bool:
        """Whether that came true within so many seconds, or the patience."""
        deadline = time.monotonic() + (self.patience if seconds is None else seconds)
        while not until():
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        """A whole file, or none where replica 0 clears the folder meanwhile."""
        self.place.mkdir(parents=True, exist_ok=True)
        passing = self.place / f"{name}.{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            passing.write_text(json.dumps(value), encoding="utf-8")
            passing.replace(self.place / name)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            value = json.loads((self.place / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return value if isinstance(value, dict) else None


def _named(indices: Sequence[int]) -> str:
    return f"{'replica' if len(indices) == 1 else 'replicas'} {', '.join(map(str, indices[:8]))}"


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, XframeError) else f"{type(error).__name__}: {error}".removesuffix(": ")


def _failed(index: int, report: Mapping[str, Any]) -> WorkerError:
    """The error of another replica, as it said it."""
    text = str(report["error"])
    return WorkerError(text if text.startswith("replica ") else f"replica {index}: {text}")
