"""The loop ``transformers``: ``transformers.Trainer.train``, seen in its model's ``forward``."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
import transformers
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running.runtime import Runtime
from xframe.tasks.task import Task
from xframe_torch.loops.watched import PassOrder, Watched, quiet

_NAMES = "features", "labels", "ids"  # of a batch, by which the Trainer calls the model


class Forward(torch.nn.Module):
    """The task's model with its loss, as the Trainer wants it."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.model, self.watched = watched.module, watched

    def forward(self, features: torch.Tensor, labels: torch.Tensor, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = self.model(features)
        if not self.training:
            return {"loss": self.watched.tested(outputs, labels, ids)}
        self.watched.took(ids)
        return {"loss": self.watched.loss(outputs, labels)}


class CountingForward(Forward):
    """One that divides by the items of the whole window itself: the Trainer knows it by its arguments."""

    def forward(
        self, features: torch.Tensor, labels: torch.Tensor, ids: torch.Tensor, **loss_kwargs: Any
    ) -> dict[str, torch.Tensor]:
        loss = super().forward(features, labels, ids)["loss"]
        return {"loss": loss * labels.numel() / loss_kwargs["num_items_in_batch"]}


class Rows(transformers.TrainerCallback):  # type: ignore[misc]
    """Makes a row of each step, and ends training early."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.epoch, self.step = -1, 0

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.epoch, self.step = self.epoch + 1, 0

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        if self.watched.clip is not None:  # the Trainer's own adds 1e-6 to the norm, and knows no other kinds
            self.watched.clip(self.watched.parameters)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.watched.close(self.epoch, self.step)
        self.step += 1

    on_substep_end = on_step_end

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.watched.validated():
            control.should_training_stop = True


class Trainer(transformers.Trainer):  # type: ignore[misc]
    """The Trainer, with the plan's order of the samples."""

    order: PassOrder

    def _get_train_sampler(self, *_: Any) -> PassOrder:
        return self.order


def train(plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder) -> dict[str, NDArray[Any]]:
    """Trains; returns the final weights."""
    watched = Watched("transformers", plan, task, runtime, recorder)
    given = dict(watched.arguments)
    kind = CountingForward if given.pop("num_items_in_batch", False) else Forward
    validation = None
    if plan.validation_every is not None:
        validation = watched.validation_dataset(*_NAMES)
        given["per_device_eval_batch_size"] = plan.validation_batch_size
        given["eval_strategy"] = "epoch" if plan.validation_unit == "epochs" else "steps"
        given["eval_steps"] = None if plan.validation_unit == "epochs" else plan.validation_every
    with quiet("transformers.trainer", "accelerate"), tempfile.TemporaryDirectory() as folder:
        settings = transformers.TrainingArguments(
            output_dir=folder,
            use_cpu=runtime.device == "cpu",
            dataloader_num_workers=runtime.workers,
            max_grad_norm=0.0,
            remove_unused_columns=False,
            prediction_loss_only=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            **given,
        )
        trainer = Trainer(
            kind(watched),
            settings,
            train_dataset=watched.dataset(*_NAMES),
            eval_dataset=validation,
            callbacks=[Rows(watched)],
            optimizers=(watched.optimizer, watched.scheduler or _constant(watched.optimizer)),
        )
        trainer.order = PassOrder(plan, task.num_samples)
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
        if watched.validates_last:
            trainer.evaluate()
    return watched.final()


def _constant(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """Else the Trainer makes one that falls to 0."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
