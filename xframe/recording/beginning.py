"""How a trace begins: its file, and what its recorder must know of the run before it, where it continues another."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xframe.errors import UsageError, Verbatim, counted, unwritable
from xframe.plan.fields import sample_count
from xframe.recording.versions import loaded_versions
from xframe.trace.captured import beside
from xframe.trace.certificate import Certifier, LossesDigest
from xframe.trace.continued import COUNTERS, UNTIL, certified_before, losses_before, parts_of
from xframe.trace.facts import Facts
from xframe.trace.pieces import BETWEEN, moved
from xframe.trace.schema import COUNTED, Column
from xframe.trace.source import exists_already, read_between
from xframe.trace.trace import Trace
from xframe.trace.writer import TraceWriter

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class Begun:
    """The run before a trace that continues another.

    Attributes:
        head: what the trace states of it.
        certifier, losses: of its rows; None if there are none.
        updates, attempts: applied and tried in it; attempts None if that is not known.
    """

    head: dict[str, Any] = field(default_factory=dict)
    certifier: Certifier | None = None
    updates: int = 0
    attempts: int | None = 0
    losses: LossesDigest | None = None

    def counted(self, applied: Any, attempts: Any) -> tuple[Any, Any]:
        """The whole run's counts, from a counter's of this process, which may be a tensor."""
        if self.certifier is None:
            return applied, attempts
        tried = None if attempts is None or self.attempts is None else attempts + self.attempts
        return applied + self.updates, tried

    def added(self, columns: dict[str, Column]) -> dict[str, Column]:
        """The columns of a recorder that knows of its own process only: the run's counts, and no labels of epochs."""
        if self.certifier is None:
            return columns
        kept = {name: column for name, column in columns.items() if name not in COUNTED}
        if self.attempts is None:
            kept.pop("update_attempts", None)
        return kept | {
            name: moved(kept[name], more)
            for name, more in zip(COUNTERS, (self.updates, self.attempts), strict=True)
            if name in kept and more
        }


NOTHING = Begun()


def begun_now(plan: TrainingPlan | None, num_samples: int | None) -> dict[str, Any]:
    """The facts of a run that begins here and now."""
    return Facts(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        platform=f"{platform.system()} {platform.machine()}",
        versions=loaded_versions(),
        plan={} if plan is None else plan.to_dict(),
        num_samples=None if num_samples is None else sample_count(num_samples),
    ).metadata()


def new_writer(path: Path, metadata: Mapping[str, Any], before: Begun) -> TraceWriter:
    """Begins the file of a trace.

    Raises:
        UsageError: it exists, or something that would be of it, or it cannot be written.
    """
    check_new(path)
    try:
        return TraceWriter(path, metadata, before.certifier, before.losses)
    except TypeError as error:
        raise UsageError("the trace's metadata", got=Verbatim(error), expected="values that JSON has") from None
    except FileExistsError:  # made since it was looked for, by another process
        raise exists_already(path) from None
    except (OSError, RuntimeError) as error:
        raise unwritable("write the trace", path, error) from None


def check_new(path: Path) -> None:
    """Refuses a name that no new trace can have."""
    if not path.name:
        raise UsageError("the trace's path", got=str(path), expected="the name of a file")
    for file in beside(path):
        if file.exists():
            raise exists_already(file)


def begun(path: Path, continues: str | Path | None, step: int | None, *, new: bool = True) -> Begun:
    """What is known of the run that a new trace at ``path`` continues; where it is not new, as a folder of replicas.

    Raises:
        UsageError: the run has fewer steps, or is not given.
        TraceError: it cannot be read.
    """
    if continues is None:
        if step is not None:
            raise UsageError("a step to go on from", got=step, expected="beside a trace that is continued")
        return NOTHING
    if new:
        check_new(path)
    trace = Trace.open(continues)
    at = trace.num_rows if step is None else step
    if type(at) is not int or not 0 <= at <= trace.num_rows:
        raise UsageError(
            "the step to go on from",
            got=Verbatim(at),
            expected=f"0 to {trace.num_rows:,}: {continues} has {counted(trace.num_rows, 'step')}",
        )
    certifier, losses = certified_before(trace.source, at), losses_before(trace.source, at)
    stated = {"trace": _names(path, continues), "step": at, "certificate": certifier.result()}
    stated["losses"] = losses.result()
    updates, attempts = (_known(trace, name, at) for name in COUNTERS)
    return Begun({"continues": stated}, certifier, updates or 0, attempts, losses)


def _known(trace: Trace, name: str, rows: int) -> int | None:
    """The value of the last of the first rows; None where it is not known."""
    values, known = read_between(trace.source, name, max(rows - 1, 0), rows)
    return 0 if not rows else int(values[0]) if known is None else None


def _names(path: Path, continues: str | Path) -> str:
    """How a trace names what it continues: relative to its own folder, or by the bare name of a file elsewhere."""
    folder = os.path.dirname(os.path.abspath(path))
    names = []
    for part, until in parts_of(os.fspath(continues)):
        try:
            name = Path(os.path.relpath(os.path.abspath(part), folder))
        except ValueError:  # on another drive
            name = Path(part.name)
        at = "" if until is None else f"{UNTIL}{until}"
        names.append((part.name if ".." in name.parts else name.as_posix()) + at)
    return BETWEEN.join(names)
