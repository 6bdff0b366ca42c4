"""The loop ``lightning``: ``lightning.Trainer.fit`` with a LightningModule, seen in its ``training_step``."""

from __future__ import annotations

import tempfile
from typing import Any

import lightning
import torch
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running.runtime import Runtime
from xframe.tasks.task import Task
from xframe_torch.loops.watched import Watched, quiet

_QUIET = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")


class Module(lightning.LightningModule):  # type: ignore[misc]
    """The task's model, as a script would write it for Lightning."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.model, self.watched = watched.module, watched

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        features, targets, ids = batch
        self.watched.took(ids)
        return self.watched.loss(self.model(features), targets)

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        self.watched.close(self.trainer.current_epoch, index)

    def validation_step(self, batch: Any, index: int) -> torch.Tensor:
        features, targets, ids = batch
        return self.watched.tested(self.model(features), targets, ids)

    def on_validation_epoch_end(self) -> None:
        if self.watched.validated():
            self.trainer.should_stop = True

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Lightning's own adds 1e-6 to the norm, and has none for a single variable."""
        if self.watched.clip is not None:
            self.watched.clip(self.watched.parameters)

    def configure_optimizers(self) -> Any:
        optimizer, scheduler = self.watched.optimizer, self.watched.scheduler
        if scheduler is None:
            return optimizer
        interval = "epoch" if self.watched.plan.schedule_clock == "epochs" else "step"
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval}}


def train(plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder) -> dict[str, NDArray[Any]]:
    """Trains; returns the final weights."""
    watched = Watched("lightning", plan, task, runtime, recorder)
    given = dict(watched.arguments)
    loader = watched.loader(drop_last=given.pop("drop_last", False))
    del given["batch_size"]
    validation, every = None, plan.validation_every
    if every is not None:
        validation = watched.validation_loader()
        by_epoch = plan.validation_unit == "epochs"
        given |= {
            "check_val_every_n_epoch": every if by_epoch else None,
            "val_check_interval": None if by_epoch else every,
        }
    with quiet("lightning.pytorch", "lightning.fabric"), tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            accelerator="cpu" if runtime.device == "cpu" else "gpu",
            devices=1,
            num_sanity_val_steps=0,
            default_root_dir=folder,
            **dict.fromkeys(_QUIET, False),
            **given,
        )
        module = Module(watched)
        try:
            trainer.fit(module, loader, validation)
            if watched.validates_last:
                trainer.validate(module, validation, verbose=False)
        except SystemExit as error:
            raise error.__context__ or error from None  # a KeyboardInterrupt, which Lightning turns into an exit
    return watched.final()
