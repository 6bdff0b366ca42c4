"""The evidence that an update was applied: a counter raised where the weights are written."""

from __future__ import annotations


class UpdateCounter:
    """Updates of one optimizer: those tried, and those in which there was something to write."""

    evidence = "optimizer's counter, raised where the weights are written"

    def __init__(self) -> None:
        self.applied = self.attempts = 0
