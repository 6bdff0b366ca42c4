"""What a long run reports of its progress."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class Progress:
    """Learns how far each run is, by its label; this one shows nothing."""

    def begin(self, label: str, total: int, epochs: int | None = None, *, unit: str = "steps") -> None:
        """A run of ``total`` steps, or of a different unit, is to start; under early stopping, at most."""

    def state(self, label: str, text: str) -> None:
        """What it is doing."""

    def look(self) -> None:
        """Called about every second while runs go on; what it raises ends them."""

    def silent(self, label: str, seconds: float, replica: int | None = None) -> None:
        """Nothing was heard of it for that long, or of one of its replicas."""

    def advance(self, label: str, steps: int, epoch: int | None = None, loss: float | None = None) -> None:
        """That many of its steps are recorded; the last one's epoch, from 0, and loss."""

    def end(self, label: str, steps: int, text: str) -> None:
        """It is over."""

    def each(self, label: str, items: Sequence[T], unit: str) -> Iterator[T]:
        """The items, one after the other; each is done once the next is asked for."""
        began = time.monotonic()
        self.begin(label, len(items), unit=unit)
        for done, item in enumerate(items, 1):
            yield item
            self.advance(label, done)
        self.end(label, len(items), f"{time.monotonic() - began:5.1f} s")
