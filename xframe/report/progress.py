"""A line for each run on stderr: live bars in a terminal, one closing line each in pipes and CI."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from xframe.running.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


@contextmanager
def watching(stream: TextIO) -> Iterator[Progress]:
    """A Progress that shows itself on ``stream`` until the block is left."""
    if not stream.isatty():
        yield Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    console = Console(file=stream)
    wide = [BarColumn(bar_width=20), TimeRemainingColumn(compact=True)]
    bars = Bars(
        TextColumn("  {task.description:12}"),
        *([TextColumn("{task.fields[epoch]}")] if console.width >= 100 else []),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[unit]}"),
        *(wide if console.width >= 90 else []),
        TextColumn("{task.fields[state]}"),
        console=console,
    )
    with bars:
        yield Live(bars)


class Lines(Progress):
    """One line when a run has ended."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._totals = stream, dict[str, tuple[int, str]]()

    def begin(self, label: str, total: int, epochs: int | None = None, *, unit: str = "steps") -> None:
        self._totals[label] = total, unit

    def end(self, label: str, steps: int, text: str) -> None:
        width = max(map(len, self._totals))
        total, unit = self._totals[label]
        print(f"  {label:{width}}  {steps:,}/{total:,} {unit}  {text}", file=self._stream, flush=True)


class Live(Progress):
    """Bars that move: epoch i/n, step j/m, the time left, seconds per step and the loss."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._epochs: dict[str, int | None] = {}
        self._last: dict[str, tuple[float, int]] = {}  # when steps were last reported, and how many

    def begin(self, label: str, total: int, epochs: int | None = None, *, unit: str = "steps") -> None:
        self._tasks[label] = self._bars.add_task(label, total=total, state="starting", epoch="", unit=unit)
        self._epochs[label] = epochs

    def state(self, label: str, text: str) -> None:
        self._bars.update(self._tasks[label], state=text)
        self._last[label] = time.monotonic(), 0

    def advance(self, label: str, steps: int, epoch: int | None = None, loss: float | None = None) -> None:
        now = time.monotonic()
        before, made = self._last.get(label, (now, 0))
        task = next(one for one in self._bars.tasks if one.id == self._tasks[label])
        unit = task.fields["unit"][:-1]
        parts = [f"{_seconds((now - before) / (steps - made))}/{unit}"] if steps > made else []
        parts += [] if loss is None else [f"loss {loss:.4g}"]
        total = self._epochs.get(label)
        shown = "" if epoch is None else f"epoch {epoch + 1}" + (f"/{total}" if total else "")
        self._last[label] = now, steps
        self._bars.update(self._tasks[label], completed=steps, state="  ".join(parts), epoch=shown)

    def end(self, label: str, steps: int, text: str) -> None:
        self._bars.update(self._tasks[label], completed=steps, state=text)


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"
