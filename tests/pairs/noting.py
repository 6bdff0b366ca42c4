"""What a script hands to the recorder after each step; the odd but honest ways of it included.

loss     step: of the step; running, by batch: the mean since the epoch began; late: of the step before;
         ten: every tenth step only; rounded: four decimals; none; logs: as Keras' logs have it (the script's part)
rate     used: by the step's update; ahead: read after the update, and so the next one's; defaults: the
         optimizer's first; none
accuracy right; wrong: of another threshold; by default none
epoch    the first epoch's number, or None: not labelled
updates  after: the step; before: read before the optimizer stepped; none
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

import xframe
from pairs.script import Script


class Notes:
    """Records the steps of a script, as it says."""

    def __init__(self, script: Script, path: str) -> None:
        self.script = script
        self.recorder = xframe.record(
            Path(path),
            plan=xframe.TrainingPlan(**dict(script.planned)) if script.planned else None,
            num_samples=script.n if script.note_n else None,
            metadata=dict(script.note_metadata),
        )
        self.steps = 0
        self._epoch = -1
        self._losses: list[float] = []  # of the epoch, where their mean is recorded
        self._before: float | None = None
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.recorder.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rows:
            self._block()
        self.recorder.__exit__(kind, error, trace)

    def step(
        self,
        *,
        ids: Any,
        loss: Any,
        updates: tuple[Any, Any],
        rate: tuple[Any, Any],
        epoch: int,
        accuracy: Any = None,
    ) -> None:
        """One step; ``updates`` and ``rate`` are those before and after its update."""
        script = self.script
        if epoch != self._epoch:
            self._epoch, self._losses = epoch, []
        row = {
            "ids": ids,
            "loss": self._loss(loss),
            "updates": {"after": updates[1], "before": updates[0], "none": None}[script.note_updates],
            "lr": {"used": rate[0], "ahead": rate[1], "defaults": script.rate, "none": None}[script.note_rate],
            "epoch": None if script.note_epoch is None else epoch + script.note_epoch,
            "accuracy": {"": None, "right": accuracy, "wrong": 0.5}[script.note_accuracy],
        }
        self.steps += 1
        if script.by_block:
            self._rows.append(row)
        else:
            self.recorder.step(**row)

    def _loss(self, loss: Any) -> Any:
        kind = self.script.note_loss
        if kind in ("step", "logs"):
            return loss
        value = float(loss.detach() if hasattr(loss, "detach") else loss)
        self._losses.append(value)
        before, self._before = self._before, value
        ten = value if self.steps % 10 == 0 else None
        mean = float(np.mean(self._losses))
        return {"running": mean, "late": before, "ten": ten, "rounded": round(value, 4), "none": None}[kind]

    def _block(self) -> None:
        """All steps at once, as a script does that keeps lists."""
        columns = {name: [row[name] for row in self._rows] for name in self._rows[0]}
        ids = [np.asarray(one) for one in columns.pop("ids")]
        given = {
            name: np.array([float(one.detach() if hasattr(one, "detach") else one) for one in column])
            for name, column in columns.items()
            if column[0] is not None and name in ("loss", "lr")
        }
        given |= {
            name: np.array([int(one) for one in column])
            for name, column in columns.items()
            if column[0] is not None and name in ("updates", "epoch")
        }
        self.recorder.block(ids=np.concatenate(ids), batch_sizes=[len(one) for one in ids], **given)

    def validation(self, loss: float, accuracy: float) -> None:
        """One validation over all validation samples."""
        n = self.script.validated
        size = self.script.batch
        self.recorder.validation(
            loss=loss,
            accuracy=accuracy,
            ids=np.arange(n),
            batch_sizes=[min(size, n - start) for start in range(0, n, size)],
        )

    def weights(self, weights: dict[str, Any]) -> None:
        """The final weights; ``average``: halfway to where they began."""
        if self.script.note_weights == "none":
            return
        if self.script.note_weights == "average":
            from pairs.script import weights as first

            start = first(self.script)
            weights = {name: 0.99 * np.asarray(one) + 0.01 * start[name] for name, one in weights.items()}
        self.recorder.weights(weights)
