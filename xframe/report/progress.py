"""A line for each run on stderr: live bars in a terminal, one closing line each in pipes and CI."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from xframe.running.progress import Progress
from xframe.tables import plain_only

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import Task

_OFTEN = 10.0  # seconds between lines of how many trials are done


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

    console = Console(file=stream, color_system=None if plain_only() else "auto")
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
    """One line when a run has ended, or is silent for long; of trials now and then how many are done."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._totals = stream, dict[str, tuple[int, str]]()
        self._began = self._shown = time.monotonic()

    def begin(self, label: str, total: int, epochs: int | None = None, *, unit: str = "steps") -> None:
        self._totals[label] = total, unit
        self._began = self._shown = time.monotonic()

    def advance(self, label: str, steps: int, epoch: int | None = None, loss: float | None = None) -> None:
        (total, unit), now = self._totals[label], time.monotonic()
        if unit != "trials" or now < self._shown + _OFTEN or not steps:
            return
        self._shown, left = now, (now - self._began) / steps * (total - steps)
        time_left = f"{left / 60:.0f} min" if left >= 120 else f"{left:.0f} s"
        print(f"  {label}  {steps:,}/{total:,} {unit}  about {time_left} left", file=self._stream, flush=True)

    def silent(self, label: str, seconds: float, replica: int | None = None) -> None:
        print(f"  {label:{max(map(len, self._totals))}}  {_silent(seconds, replica)}", file=self._stream, flush=True)

    def end(self, label: str, steps: int, text: str) -> None:
        width = max(map(len, self._totals))
        total, unit = self._totals[label]
        print(f"  {label:{width}}  {steps:,}/{total:,} {unit}  {text}", file=self._stream, flush=True)


class Live(Progress):
    """Bars that move: epochs begun, steps made, the time left, seconds per step and the loss."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, Task] = {}

    def begin(self, label: str, total: int, epochs: int | None = None, *, unit: str = "steps") -> None:
        # last: when steps were last reported, and how many
        self._bars.add_task(label, total=total, state="starting", epoch="", unit=unit, epochs=epochs, last=None)
        self._tasks[label] = self._bars.tasks[-1]

    def state(self, label: str, text: str) -> None:
        self._bars.update(self._tasks[label].id, state=text, last=(time.monotonic(), 0))

    def silent(self, label: str, seconds: float, replica: int | None = None) -> None:
        self._bars.update(self._tasks[label].id, state=_silent(seconds, replica))

    def advance(self, label: str, steps: int, epoch: int | None = None, loss: float | None = None) -> None:
        now, task = time.monotonic(), self._tasks[label]
        before, made = task.fields["last"] or (now, 0)
        unit, epochs = task.fields["unit"][:-1], task.fields["epochs"]
        parts = [f"{_seconds((now - before) / (steps - made))}/{unit}"] if steps > made else []
        parts += [] if loss is None else [f"loss {loss:.4g}"]
        shown = "" if epoch is None else f"{epoch + 1}/{epochs} epochs" if epochs else f"epoch {epoch}"
        self._bars.update(task.id, completed=steps, state="  ".join(parts), epoch=shown, last=(now, steps))

    def end(self, label: str, steps: int, text: str) -> None:
        self._bars.update(self._tasks[label].id, completed=steps, state=text)


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def _silent(seconds: float, replica: int | None) -> str:
    who = "" if replica is None else f"replica {replica}: "
    return f"{who}no sign of life for {seconds:.0f} s; Ctrl-C stops it, --timeout limits it"
