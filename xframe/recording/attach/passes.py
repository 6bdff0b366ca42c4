"""Evaluation passes: what models computed without training, as validations.

A model's call is of an evaluation if no gradient can come of it, or the model is in evaluation mode, and no backward
pass follows on its batch. Calls on one iteration over a loader are one pass; so are those on other batches with nothing
trained between. What only may be an evaluation, such as a teacher's call or a prediction on its own, is no pass: a pass
walks over a loader that trains nothing, or its losses were computed, or its samples are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xframe.recording import values
from xframe.recording.attach.batch import Batch

_MOST = 1 << 17  # calls of a pass; of one with more, such as a service's predictions, nothing is kept


@dataclass(slots=True)
class _Call:
    """A model's call on a batch, and the losses that were computed of it: each a total, and over how many rows."""

    batch: Batch
    training: bool | None = None  # whether it was in training mode
    losses: list[tuple[Any, int | None]] = field(default_factory=list)


@dataclass(slots=True)
class Pass:
    """Calls that are one evaluation."""

    calls: list[_Call] = field(default_factory=list)

    def found(self, *, trained: bool) -> bool:
        """Whether it is an evaluation, by all that is known now; ``trained``: a step was made before."""
        if not self.calls:
            return False
        walk = self.calls[0].batch.walk
        if walk is not None and walk.trained:
            return False
        if all(call.losses for call in self.calls):
            return True
        return trained and (walk is not None or all(call.batch.ids is not None for call in self.calls))

    def facts(self) -> dict[str, Any]:
        """The arguments of ``Recorder.validation``."""
        batches, modes = [call.batch for call in self.calls], {call.training for call in self.calls}
        facts: dict[str, Any] = {"loss": self._loss(), "training": modes.pop() if len(modes) == 1 else None}
        if all(batch.size is not None for batch in batches):
            facts["batch_sizes"] = np.array([batch.size for batch in batches], dtype=np.int64)
        if all(batch.ids is not None for batch in batches):
            facts["ids"] = np.concatenate([np.asarray(values.fetch(values.hold(batch.ids))) for batch in batches])
        return facts

    def _loss(self) -> float | None:
        """The mean over its rows; None unless each call had one loss over a known number of rows."""
        losses = [call.losses[0] for call in self.calls if len(call.losses) == 1]
        weights = [rows for _, rows in losses if rows is not None]
        if len(weights) < len(self.calls):
            return None
        means = values.fetch_numbers([values.number(mean, "loss") for mean, _ in losses])
        return float(np.average(np.array(means, dtype=np.float64), weights=weights))


class Passes:
    """Those that go on, and those that have ended and wait to be written.

    Attributes:
        ended: the latter.
    """

    def __init__(self) -> None:
        self._going: Pass | None = None
        self.ended: list[Pass] = []

    @property
    def goes_on(self) -> bool:
        """Whether something was computed that may be an evaluation."""
        return self._going is not None

    def called(self, batch: Batch, *, trained: bool = False, training: bool | None = None) -> None:
        """A model computed, in that mode; ``trained``: it is on the batch that was trained on last."""
        walk = batch.walk
        if trained or (walk is not None and walk.trained):
            self._going_ends()  # what comes is of the training, and no losses of the pass before
            return
        if self._going is None or self._going.calls[0].batch.walk is not walk:
            self._going_ends()
            self._going = Pass()
        calls = self._going.calls
        if not calls or calls[-1].batch is not batch:
            if len(calls) >= _MOST:
                calls.clear()
            calls.append(_Call(batch, training))

    def loss(self, mean: Any, rows: int | None) -> None:
        """A loss was computed of the last call: its mean over so many rows, None if it is no mean."""
        if self._going is not None:
            self._going.calls[-1].losses.append((mean, rows))

    def trained(self, batch: Batch | None) -> None:
        """Gradients were computed on a batch: whatever was computed with it before is no evaluation."""
        if batch is not None and batch.walk is not None:
            batch.walk.trained = True
        if self._going is not None:
            self._going.calls = [call for call in self._going.calls if call.batch is not batch]
            self._going_ends()

    def take(self, *, trained: bool) -> Iterator[dict[str, Any]]:
        """What has ended, as arguments of ``Recorder.validation``."""
        ended, self.ended = self.ended, []
        return (each.facts() for each in ended if each.found(trained=trained))

    def end(self) -> None:
        """Nothing more will come."""
        self._going_ends()

    def _going_ends(self) -> None:
        going, self._going = self._going, None
        if going is not None and going.calls:
            self.ended.append(going)
