"""What a long run reports of its progress."""

from __future__ import annotations


class Progress:
    """Learns how far each run is, by its label; this one shows nothing."""

    def begin(self, label: str, total: int, epochs: int | None = None, *, unit: str = "steps") -> None:
        """A run of ``total`` steps, or of a different unit, is to start; under early stopping, at most."""

    def state(self, label: str, text: str) -> None:
        """What it is doing."""

    def advance(self, label: str, steps: int, epoch: int | None = None, loss: float | None = None) -> None:
        """That many of its steps are recorded; the last one's epoch, from 0, and loss."""

    def end(self, label: str, steps: int, text: str) -> None:
        """It is over."""
