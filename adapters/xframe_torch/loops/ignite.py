"""The loop ``ignite``: the engine of ``create_supervised_trainer``, seen as it prepares its batch."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events, create_supervised_evaluator, create_supervised_trainer
from numpy.typing import NDArray

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running.runtime import Runtime
from xframe.tasks.task import Task
from xframe_torch.loops.watched import Watched, quiet


def train(plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder) -> dict[str, NDArray[Any]]:
    """Trains; returns the final weights."""
    watched = Watched("ignite", plan, task, runtime, recorder)
    given = dict(watched.arguments)
    loader = watched.loader(drop_last=given.pop("drop_last", False))
    window, _ = given.pop("gradient_accumulation_steps", 1), given.pop("batch_size")

    def prepare(batch: Any, device: Any, non_blocking: bool) -> tuple[torch.Tensor, torch.Tensor]:
        features, targets, ids = batch
        watched.took(ids)
        return features.to(device), targets.to(device)

    with quiet("ignite"):
        trainer = create_supervised_trainer(
            watched.module,
            watched.optimizer,
            watched.loss,
            device=runtime.device,
            prepare_batch=prepare,
            gradient_accumulation_steps=window,
        )
        if watched.clip is not None:  # Ignite has no setting for it
            clip, parameters = watched.clip, watched.parameters
            watched.optimizer.register_step_pre_hook(lambda *_: clip(parameters))
        _attach(trainer, watched, window)
        trainer.run(loader, **given)
    return watched.final()


def _attach(trainer: Engine, watched: Watched, window: int) -> None:
    """What comes between the steps: rows, the schedule, validations."""
    plan, began = watched.plan, [0]
    after = {
        "steps": lambda every: Events.ITERATION_COMPLETED(every=every),
        "updates": lambda every: Events.ITERATION_COMPLETED(every=every * window),
        "epochs": lambda every: Events.EPOCH_COMPLETED(every=every),
    }

    def begin(engine: Engine) -> None:
        began[0] = engine.state.iteration

    def close(engine: Engine) -> None:
        watched.close(engine.state.epoch - 1, engine.state.iteration - began[0] - 1)

    trainer.add_event_handler(Events.EPOCH_STARTED, begin)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, close)
    if (scheduler := watched.scheduler) is not None:
        trainer.add_event_handler(after[plan.schedule_clock or "updates"](1), lambda _: scheduler.step())
    if plan.validation_every is not None:
        evaluator, loader = _evaluator(watched), watched.validation_loader()

        def validate(engine: Engine) -> None:
            evaluator.run(loader)
            if watched.validated():
                engine.terminate()

        def validate_last(engine: Engine) -> None:
            if watched.validates_last:
                validate(engine)

        trainer.add_event_handler(after[plan.validation_unit or "epochs"](plan.validation_every), validate)
        trainer.add_event_handler(Events.COMPLETED, validate_last)


def _evaluator(watched: Watched) -> Engine:
    def prepare(batch: Any, device: Any, non_blocking: bool) -> tuple[torch.Tensor, torch.Tensor]:
        return batch[0].to(device), batch[1].to(device)

    def seen(engine: Engine) -> None:
        outputs, targets = engine.state.output
        watched.tested(outputs, targets, engine.state.batch[2])

    evaluator = create_supervised_evaluator(watched.module, device=watched.runtime.device, prepare_batch=prepare)
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, seen)
    return evaluator
