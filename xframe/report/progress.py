"""A line for each run on stderr: live bars in a terminal, one closing line each in pipes and CI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class Progress:
    """Told how far each run is, by its label; this one shows nothing."""

    def begin(self, label: str, total: int, unit: str = "steps") -> None:
        """A run of so many steps, or of another unit, is to start."""

    def state(self, label: str, text: str) -> None:
        """What it is doing."""

    def advance(self, label: str, steps: int) -> None:
        """So many of its steps are recorded."""

    def end(self, label: str, steps: int, text: str) -> None:
        """It is over."""


@contextmanager
def watching(stream: TextIO) -> Iterator[Progress]:
    """A Progress that shows itself on ``stream`` until the block is left."""
    if not stream.isatty():
        yield Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    console = Console(file=stream)
    wide = [BarColumn(bar_width=24), TimeElapsedColumn(), TimeRemainingColumn(compact=True)]
    bars = Bars(
        TextColumn("  {task.description:12}"),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[unit]}"),
        *(wide if console.width >= 80 else []),
        TextColumn("{task.fields[state]}"),
        console=console,
    )
    with bars:
        yield Live(bars)


class Lines(Progress):
    """One line when a run has ended."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._totals = stream, dict[str, tuple[int, str]]()

    def begin(self, label: str, total: int, unit: str = "steps") -> None:
        self._totals[label] = total, unit

    def end(self, label: str, steps: int, text: str) -> None:
        width = max(map(len, self._totals))
        total, unit = self._totals[label]
        print(f"  {label:{width}}  {steps:,}/{total:,} {unit}  {text}", file=self._stream, flush=True)


class Live(Progress):
    """Bars that move."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def begin(self, label: str, total: int, unit: str = "steps") -> None:
        self._tasks[label] = self._bars.add_task(label, total=total, state="starting", unit=unit)

    def state(self, label: str, text: str) -> None:
        self._bars.update(self._tasks[label], state=text)

    def advance(self, label: str, steps: int) -> None:
        self._bars.update(self._tasks[label], completed=steps)

    def end(self, label: str, steps: int, text: str) -> None:
        self._bars.update(self._tasks[label], completed=steps, state=text)
