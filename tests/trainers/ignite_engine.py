"""PyTorch-Ignite's supervised trainer, watched step by step."""

from __future__ import annotations

import warnings

from observed import Observed
from torch_loop import WatchedTask

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)  # torch 2.13 warns of its own modules
    from ignite.engine import create_supervised_trainer


def run_ignite(
    num_samples: int,
    *,
    batch_size: int,
    max_epochs: int | None = None,
    max_iters: int | None = None,
    epoch_length: int | None = None,
    gradient_accumulation_steps: int = 1,
    drop_last: bool = False,
    deterministic: bool = False,
) -> Observed:
    task = WatchedTask(num_samples, batch_size, drop_last)
    trainer = create_supervised_trainer(
        task.model,
        task.optimizer,
        task.loss,
        gradient_accumulation_steps=gradient_accumulation_steps,
        deterministic=deterministic,
    )
    trainer.run(task.loader, max_epochs=max_epochs, max_iters=max_iters, epoch_length=epoch_length)
    return task.seen
