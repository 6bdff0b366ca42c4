"""The real ``lightning.Trainer.fit``, watched step by step."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import lightning
import torch
from observed import Observed
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Stream(IterableDataset[torch.Tensor]):
    """The rows one after the other, their number unknown."""

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self.rows)


class WatchedModule(lightning.LightningModule):
    """A linear model on unit vectors; ``seen`` fills up as the trainer uses it."""

    def __init__(self, num_samples: int) -> None:
        super().__init__()
        self.seen = Observed()
        self.linear = nn.Linear(num_samples, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(self.linear.weight)
        self.script: Iterator[float] = iter(())

    def validation_step(self, batch: torch.Tensor) -> None:
        self.log("val_loss", next(self.script))

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.seen.ids.append(batch.argmax(dim=1).tolist())
        self.seen.updates.append(len(self.seen.gradients))
        return -self.linear(batch).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        # Lightning calls training_step and backward inside optimizer.step: before it, there are only older gradients.
        optimizer.register_step_post_hook(self._on_update)
        return optimizer

    def _on_update(self, *_: Any) -> None:
        self.seen.gradients.append(0.0 - self.linear.weight.grad.numpy()[0])  # no negative zeros, and a copy
        self.seen.updates[-1] = len(self.seen.gradients)


def run_lightning(
    num_samples: int,
    *,
    batch_size: int,
    max_epochs: int | None = None,
    max_steps: int = -1,
    accumulate_grad_batches: int = 1,
    limit_train_batches: int | float | None = None,
    drop_last: bool = False,
    data: Literal["loader", "iterable"] = "loader",
    script: Iterable[float] = (),
    shuffle: bool = False,
    **others: Any,
) -> Observed:
    """The arguments are those of ``Trainer`` and ``DataLoader``, with their defaults.

    Args:
        script: what each validation of one batch comes to, if it validates.
        data: ``loader``: of a data set with a length. ``iterable``: of an ``IterableDataset`` without one.
    """
    rows = torch.eye(num_samples, dtype=torch.float64)
    module = WatchedModule(num_samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of workers, of logging, of max_epochs: none is about the counts
        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        trainer = lightning.Trainer(
            **{"accelerator": "cpu", "devices": 1, "num_sanity_val_steps": 0, **quiet, **others},
            max_epochs=max_epochs,
            max_steps=max_steps,
            accumulate_grad_batches=accumulate_grad_batches,
            limit_train_batches=limit_train_batches,
        )
        dataset = Stream(rows) if data == "iterable" else rows
        module.script = iter(script)
        validation = DataLoader(rows[:1]) if script else None
        loader = DataLoader(dataset, batch_size=batch_size, drop_last=drop_last, shuffle=shuffle)
        trainer.fit(module, loader, validation)
    return module.seen
