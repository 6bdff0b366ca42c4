"""A script that resumes a run: the trace of what came before, and what its optimizer knows of that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xframe.errors import UsageError, Verbatim, counted, printable
from xframe.recording.replicas import Place
from xframe.trace.ranks import rank_path

_KEY = "XFRAME_CONTINUES"


@dataclass(frozen=True, slots=True)
class Continuing:
    """What a recorded process continues; nothing without a trace.

    Attributes:
        trace: its file, or several with plus signs between.
        step: the run's first step here; None: behind the last update that the optimizer had made, if that is known,
            else behind all that the trace has.
    """

    trace: str | None = None
    step: int | None = None

    @classmethod
    def of(cls, text: str) -> Continuing:
        """As ``environment`` states it."""
        return cls(**json.loads(text)) if text else NOTHING_BEFORE

    def environment(self) -> Mapping[str, str]:
        """What states it to processes, whatever folder they are in.

        Raises:
            UsageError: there is a step and no trace, or the trace has fewer.
            TraceError: the trace is damaged, or none.
        """
        from xframe.trace.trace import Trace

        if self.trace is None:
            if self.step is not None:
                raise UsageError("--step", got=self.step, expected="beside --continues TRACE")
            return {}
        run = Trace.open(self.trace)
        if self.step is not None and not 0 <= self.step <= run.num_rows:
            has = f"0 to {run.num_rows:,}, as many steps as {self.trace} has"
            raise UsageError("the step to go on from", got=self.step, expected=has)
        anywhere = replace(run, path=run.path.absolute(), files=tuple(file.absolute() for file in run.files))
        return {_KEY: json.dumps({"trace": anywhere.argument, "step": self.step})}

    def options(self, updates_before: int, replica: Place) -> dict[str, Any]:
        """What ``xframe.record`` takes, in a process whose optimizer had made so many updates.

        Raises:
            UsageError: a replica continues a run in which it had no part.
        """
        from xframe.trace.pieces import behind_update
        from xframe.trace.trace import Trace

        if self.trace is None:
            return {}
        index, of = replica
        trace = self.trace if of == 1 else str(rank_path(Path(self.trace), index))
        if of > 1 and not Path(trace).exists():
            got = Verbatim(f"replica {index} of {of}, and none of it in {self.trace}")
            raise UsageError("what a replica continues", got=got, expected="a run of as many replicas, one folder")
        step = self.step
        if step is None and updates_before:
            step = behind_update(Trace.open(trace).source, updates_before)
        return {"continues": trace, "step": step}


NOTHING_BEFORE = Continuing()


def resumed_with(updates: int) -> dict[str, int]:
    """What the end of a trace says where an optimizer began with updates made before."""
    return {"updates_before": updates} if updates else {}


def said_of_resumed(trace: Path, updates: int) -> str:
    """The same in words, and how to join the two."""
    name = printable(trace)
    return (
        f"its optimizer began with {counted(updates, 'update')} made before, so that it resumes a run: with that one's "
        f"trace it is FIRST.trace+{name}, as in xframe compare WHOLE.trace FIRST.trace+{name}; "
        "xframe record --continues FIRST.trace states it in the trace"
    )
