"""What all trainers' loops share: the task's model, optimizer, loader and scheduler, and the rows of what a step sees.

A trainer gets these as a script would hand them over. Its training step reports the ids that stand beside its data
(``took``) and computes its loss here (``loss``); when it has ended, with its update if there was one, ``close`` makes
its row. Its validations report their batches (``tested``), and ``validated`` records them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import Recorder
from xframe.running.runtime import Runtime
from xframe.running.steering import Course
from xframe.tasks import losses
from xframe.tasks.task import Task
from xframe_torch.evidence import UpdateCounter
from xframe_torch.loops.settings import arguments, version
from xframe_torch.losses import accuracy, lowered
from xframe_torch.model import Model
from xframe_torch.optimizers import averaged, clipping, lower, set_rate
from xframe_torch.pipeline import InMemory, Read
from xframe_torch.validation import by_sample


class OneByOne(Dataset[Any]):
    """Features, target and id of one sample; under these names where there are some."""

    def __init__(self, samples: InMemory | Read, names: tuple[str, ...] = ()) -> None:
        self.samples, self.names = samples, names

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.samples, InMemory):
            sample = self.samples[index]
        else:
            features, targets, ids = self.samples[torch.tensor([index])]
            sample = features[0], targets[0], ids[0]
        return dict(zip(self.names, sample, strict=True)) if self.names else sample


class PassOrder(Sampler[int]):
    """The plan's order of the samples, at each iteration the next pass's."""

    def __init__(self, plan: TrainingPlan, num_samples: int) -> None:
        self.order, self.begun, self.num_samples = plan.sample_order(num_samples), count(), num_samples

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        yield from self.order.ids(next(self.begun)).tolist()


class Watched:
    """A run in a trainer's hands.

    Attributes:
        arguments: the trainer's own, for the plan.
        parameters: that are trained.
        scheduler: torch's own, at the task's rates; None without a schedule.
        clip: clips the gradients of parameters as the task's optimizer says; None if it does not.
    """

    def __init__(self, loop: str, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Recorder) -> None:
        self.plan, self.task, self.runtime, self.recorder = plan, task, runtime, recorder
        self.arguments = arguments(loop, plan, task.num_samples)
        recorder.settings({"trainer": version(loop)} | {f"trainer.{k}": v for k, v in self.arguments.items()})
        self.model = Model(task, runtime.precision, runtime.device)
        self.module, self._rule = self.model.module, task.optimizer
        self.parameters: list[Any] = [p for p in self.module.parameters() if p.requires_grad]
        self._loss, self._of = lowered(task.loss, self.parameters[0]), losses.of(task.loss)
        self.optimizer = lower(self._rule, self.model.trained)
        self.averaged = averaged(self._rule, self.optimizer, self.model)
        self.updates = UpdateCounter(self.optimizer)
        self.scheduler = self._scheduler() if self._rule.scheduled else None
        self.clip = clipping(self._rule)
        self.course = Course(plan, recorder, self._measured, self.model.weights)
        self.measures, self._tested = "accuracy" in task.metrics, list[tuple[Any, ...]]()
        self._ids: Any = None  # of the step that is being made, and its learning rate
        self._rate = 0.0
        self._seen: tuple[Any, float, Any] = (None, 0.0, None)
        self._validated_at = -1

    def _scheduler(self) -> torch.optim.lr_scheduler.LambdaLR:
        set_rate(self.optimizer, 1.0)  # which the scheduler multiplies by the rate
        return torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rule.rate)

    # What the trainer is given.

    def dataset(self, *names: str) -> OneByOne:
        """The samples; each a mapping if there are names for features, target and id."""
        precision = self.runtime.precision
        samples = self.task.samples(precision)
        held = samples.arrays
        return OneByOne(Read(samples, precision) if held is None else InMemory(*held, precision), names)

    def loader(self, *, drop_last: bool = False) -> DataLoader[Any]:
        """A DataLoader that cuts batches from the passes' orders itself."""
        return DataLoader(
            self.dataset(),
            batch_size=self.plan.batch_size,
            sampler=PassOrder(self.plan, self.task.num_samples),
            drop_last=drop_last,
            num_workers=self.runtime.workers,
            pin_memory=self.runtime.device == "cuda",
            generator=torch.Generator(),  # else each iterator draws a seed from the global one
        )

    def validation_dataset(self, *names: str) -> OneByOne:
        """The validation samples."""
        precision = self.runtime.precision
        return OneByOne(InMemory(*self.task.validation_data(precision), precision), names)

    def validation_loader(self) -> DataLoader[Any]:
        """Those in their stored order, in batches of their own."""
        size = self.plan.validation_batch_size or self.plan.batch_size
        return DataLoader(self.validation_dataset(), batch_size=size, generator=torch.Generator())

    # What its steps report.

    def took(self, ids: Any) -> None:
        """The training step has these ids beside its data, and goes by the optimizer's rate of now."""
        self._ids = ids
        self._rate = float(self.optimizer.param_groups[0]["lr"])

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The training step's loss."""
        loss = self._loss(outputs, targets)
        self._seen = loss.detach(), self._rate, accuracy(outputs, targets) if self.measures else None
        return loss

    def close(self, epoch: int, step_in_epoch: int) -> None:
        """The step is over."""
        if self.averaged is not None:
            self.averaged.close()
        loss, rate, right = self._seen
        self.recorder.step(
            ids=self._ids,
            updates=self.updates,
            loss=loss,
            lr=rate,
            epoch=epoch,
            step_in_epoch=step_in_epoch,
            padding=0,
            accuracy=right,
        )

    @torch.no_grad()
    def tested(self, outputs: torch.Tensor, targets: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """A batch of a validation; returns its loss."""
        loss = self._loss(outputs, targets)
        right = accuracy(outputs, targets) if self.measures else None
        share = len(ids) if self._of.even else self._of.share(targets.cpu().numpy())
        self._tested.append((loss, right, ids.cpu(), share))
        return loss

    def validated(self) -> bool:
        """A validation is over; whether training is to stop."""
        self._validated_at = self.recorder.num_steps
        return self.course.check()

    @property
    def validates_last(self) -> bool:
        """Whether training has ended without the validation that the plan has there."""
        return self.plan.validation_every is not None and self._validated_at != self.recorder.num_steps

    def _measured(self) -> dict[str, Any]:
        tested, self._tested = self._tested, []
        values, right, ids, shares = zip(*tested, strict=True)
        sizes = [len(one) for one in ids]
        return {
            "loss": by_sample(*losses.counted(values, shares)),
            "accuracy": by_sample(list(right), sizes) if self.measures else None,
            "ids": torch.cat(ids),
            "batch_sizes": sizes,
        }

    def test(self) -> bool:
        """A validation as a script makes it; whether training is to stop."""
        self.module.eval()
        with torch.no_grad():
            for features, targets, ids in self.validation_loader():
                self.tested(self.module(features.to(self.runtime.device)), targets.to(self.runtime.device), ids)
        self.module.train()
        return self.validated()

    def trained(self, train: Callable[..., None], *loggers: str) -> dict[str, NDArray[Any]]:
        """Trains by a loop that takes this and the trainer's arguments; the weights that the run ends with."""
        with quiet(*loggers):
            train(self, **self.arguments)
        if self.validates_last:
            self.test()
        return self.final()

    def final(self) -> dict[str, NDArray[Any]]:
        """The weights that the run ends with."""
        return self.course.final()


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """What trainers say of loggers, workers and progress is not about what they do."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in loggers:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
