"""The recorders of all replicas as one, for an engine that has them in one process, as MirroredStrategy does.

with record_replicas("mirrored.trace", 2, plan=plan) as rec:
    for r, ids in enumerate(each_replicas_ids):
        rec.parts[r].step(ids=ids, ...)
    rec.validation(loss=loss)
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xframe.errors import UsageError
from xframe.recording.recorder import Recorder, record
from xframe.trace.trace import COMPLETE


def record_replicas(path: str | Path, of: int, **options: Any) -> Several:
    """Recorders of that many replicas, 2 or more, which write to a folder; ``options`` as ``record`` takes them.

    Raises:
        UsageError: as by ``record``; no file is left then.
    """
    if type(of) is not int or of < 2:
        raise UsageError("replicas to record", got=of, expected="2 or more")
    token = {"replica_run": secrets.token_hex(16)}
    options["metadata"] = {**token, **(options.get("metadata") or {})}
    return Several(Path(path).absolute(), [record(path, **options, replica=(index, of)) for index in range(of)])


class Several:
    """Takes steps by replica, in ``parts``, and what is the whole run's for all of them.

    Attributes:
        path: the folder, absolute.
        parts: a recorder for each replica.
    """

    def __init__(self, path: Path, parts: list[Recorder]) -> None:
        self.path, self.parts = path, parts

    @property
    def num_steps(self) -> int:
        """Steps that all replicas have recorded."""
        return min(part.num_steps for part in self.parts)

    @property
    def evidence(self) -> str | None:
        """As of each part, which it is set for."""
        return self.parts[0].evidence

    @evidence.setter
    def evidence(self, evidence: str | None) -> None:
        for part in self.parts:
            part.evidence = evidence

    @property
    def on_flush(self) -> Callable[[int, int | None, float | None], None] | None:
        """What the first replica's recorder calls."""
        return self.parts[0].on_flush

    @on_flush.setter
    def on_flush(self, call: Callable[[int, int | None, float | None], None] | None) -> None:
        self.parts[0].on_flush = call

    def validation(self, **measured: Any) -> None:
        """Takes one validation, of all replicas."""
        for part in self.parts:
            part.validation(**measured)

    def settings(self, settings: Mapping[str, Any]) -> None:
        """Takes what is set, for all replicas."""
        for part in self.parts:
            part.settings(settings)

    def weights(self, *weights: Mapping[str, Any]) -> None:
        """Keeps the final weights: those of each replica, or those that all of them have."""
        if len(weights) not in (1, len(self.parts)):
            raise UsageError("final weights", got=len(weights), expected=f"one mapping, or {len(self.parts)}")
        for index, part in enumerate(self.parts):
            part.weights(weights[index if len(weights) > 1 else 0])

    def flush(self) -> None:
        """Writes what waits."""
        for part in self.parts:
            part.flush()

    def counts_the_whole_run(self) -> None:
        """As of each part."""
        for part in self.parts:
            part.counts_the_whole_run()

    def close(self, outcome: str = COMPLETE) -> None:
        """Closes all, each though another fails; what fails first is raised."""
        with ExitStack() as stack:
            for part in reversed(self.parts):
                stack.callback(part.close, outcome)

    def __enter__(self) -> Self:
        for part in self.parts:
            part.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(COMPLETE if kind is None else f"interrupted by {kind.__name__}")
