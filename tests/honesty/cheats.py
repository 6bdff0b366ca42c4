"""Adapters that cheat, beside the shipped ``xframe.testing.faults``, whose bugs are recorded as they are.

Here is what lies to the recorder, what only the contract suite sees, what only equality to the bit sees,
what the ledger's weights alone can tell, and the controls. A cheat is a mixin over a real adapter, as a fault
is, and has its bug in pipeline or step code that really runs; only where it says that it *lies* is something
changed on its way into the trace.

The threads named are public reports of bugs of the same kind.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from xframe_numpy import NumpyAdapter
from xframe_tensorflow import TensorflowAdapter
from xframe_torch import TorchAdapter

from xframe.plan import counting
from xframe.plan.fields import LARGEST
from xframe.running.adapter import Adapter
from xframe.running.steering import Place
from xframe.testing.faults.bases import Steered, Step, changed, joined, placed, stepwise_first, train
from xframe.testing.faults.numbers import TrainsAtHalfTheRate
from xframe.testing.faults.updates import UpdatesEachStep

ADAPTERS: dict[str, type] = {"numpy": NumpyAdapter, "torch": TorchAdapter, "tensorflow": TensorflowAdapter}


def make(framework: str, cheat: type) -> Adapter:
    """That framework's adapter with the cheat in it, named ``cheat``."""
    honest = ADAPTERS[framework]
    return type(cheat.__name__, (cheat, honest), {"name": "cheat", "loops": stepwise_first(honest)})()


# --- what the cheats are made of -------------------------------------------------------------------


def tamper(recorder: Any, edit: Callable[[int, dict[str, Any]], dict[str, Any]]) -> None:
    """From now on the recorder is told ``edit(index, seen)`` instead of what was seen."""
    honest = recorder.step
    recorder.step = lambda **seen: honest(**{**seen, **edit(recorder.num_steps, seen)})


# --- the control -----------------------------------------------------------------------------------


class Honest:
    """No bug, in the same wrapping as the cheats: what is caught in them is not the wrapping."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        yield from super().pipeline(plan, task, runtime)

    def train_step(self, plan, task, runtime) -> Step:
        return Step(super().train_step(plan, task, runtime), lambda step, index, batch: step(batch))

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {})
        return super().run(plan, task, runtime, recorder)


class HonestByHand:
    """No bug, with the step written out as the cheats' is: what is caught in them is not ``train``."""

    def train_step(self, plan, task, runtime) -> Step:
        return Step(super().train_step(plan, task, runtime), lambda step, index, batch: train(step, batch, updates=1))


class HonestWindow(Steered):
    """No bug, with a window put in as the cheats' are: what is caught in them is not ``Steered``."""


# --- which samples, in the pipeline ----------------------------------------------------------------


class ShufflesWithAFreshSeed:
    """Another order in each run."""

    seeds = itertools.count(1)

    def pipeline(self, plan, task, runtime) -> Any:
        return super().pipeline(changed(plan, seed=plan.seed + next(self.seeds)), task, runtime)


class AsksThePlan:
    """Trains on ready batches made from the plan's own steps, so that its counts cannot but be right."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        (whole,) = super().pipeline(changed(plan, batch_size=task.num_samples, epochs=1), task, runtime)
        where = {int(sample): row for row, sample in enumerate(whole.ids)}
        for step in self.steps_of(plan, task.num_samples):
            batch = whole.take([where[sample] for sample in step.sample_ids.tolist()])
            yield batch._replace(place=Place(step.epoch, step.step_in_epoch, step.padding, False, False, False, False))

    def steps_of(self, plan, num_samples) -> Iterator[Any]:
        return plan.each_step(num_samples)


class AsksThePlanForEachStep(AsksThePlan):
    """The same, one step at a time."""

    def steps_of(self, plan, num_samples) -> Iterator[Any]:
        return (plan.step(i, num_samples) for i in range(10))


class CountsWithXframe(AsksThePlan):
    """The same, from the module behind the plan."""

    def steps_of(self, plan, num_samples) -> Iterator[Any]:
        return counting.each_step(plan, num_samples)


class DrawsRandomNumbers:
    """A draw at every step that the bare run would not make."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            np.random.rand()  # noqa: NPY002
            yield batch


class AsksThePlanForItsCounts:
    """The pipeline is endless; when to stop is the plan's to say."""

    def pipeline(self, plan, task, runtime) -> Any:
        endless = changed(plan, updates=LARGEST, epochs=None)
        return itertools.islice(super().pipeline(endless, task, runtime), plan.counts(task.num_samples).num_steps)


# --- what a pass's rest becomes --------------------------------------------------------------------


class PadsOnce:
    """A batch of more than twice the samples is filled with one more round only (Paddle 59390: padded just once)."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            yield placed(batch.take(range(2 * task.num_samples)), padding=task.num_samples)


class MasksItsPadding:
    """The padding is multiplied by 0, so that it is in the batch and not in the gradient."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            size = len(batch.ids)
            real = size - batch.place.padding
            padding = batch.take(range(real, size))
            yield joined(batch.take(range(real)), padding._replace(features=padding.features * 0))


# --- which data stand beside the ids ---------------------------------------------------------------


class EchoesThePlan:
    """The ids are the plan's, the data other samples'."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        other = super().pipeline(changed(plan, seed=plan.seed + 1), task, runtime)
        for told, trained in zip(super().pipeline(plan, task, runtime), other, strict=True):
            yield trained._replace(ids=told.ids)


class OverweightsTheShortBatch:
    """The short batch's gradient is scaled as if the batch were full (transformers 34191: wrong normalization)."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            # The ledger's model is linear and its loss a sum: scaling the input scales loss and gradient.
            yield batch._replace(features=batch.features * (plan.batch_size / len(batch.ids)))


# --- how often the optimizer is applied ------------------------------------------------------------


class CountsAttempts:
    """Skips the updates of steps 1 and 3 and lies: attempts are told as updates (accelerate 4242)."""

    def train_step(self, plan, task, runtime) -> Step:
        honest = super().train_step(plan, task, runtime)
        return Step(honest, lambda step, index, batch: train(step, batch, updates=index not in (1, 3)))

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"updates": index + 1})
        return super().run(plan, task, runtime, recorder)


class TrainsNothing:
    """Forward and backward only, and lies: every step is told with its update."""

    def train_step(self, plan, task, runtime) -> Step:
        return Step(super().train_step(plan, task, runtime), lambda step, index, batch: train(step, batch, updates=0))

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"updates": index + 1})
        return super().run(plan, task, runtime, recorder)


class ReadsTheCounterEarly:
    """Lies: the counter told is the one from before the update."""

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"updates": getattr(seen["updates"], "applied", seen["updates"]) - 1})
        return super().run(plan, task, runtime, recorder)


class RecordsNoUpdates:
    """Trains and records well, but has no evidence of updates."""

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"updates": None})
        return super().run(plan, task, runtime, recorder)


class KeepsItsState:
    """A second run goes on from the first one's weights and counter."""

    kept: Any = None

    def train_step(self, plan, task, runtime) -> Any:
        fresh = super().train_step(plan, task, runtime)
        self.kept = self.kept or fresh
        self.kept.window = fresh.window
        return self.kept


class RecordsNothing:
    """Lies: trains all steps and records none."""

    def run(self, plan, task, runtime, recorder) -> Any:
        recorder.step = lambda **seen: None
        return super().run(plan, task, runtime, recorder)


class LeavesAStepOut:
    """Lies: step 3 is trained and not recorded."""

    def run(self, plan, task, runtime, recorder) -> Any:
        honest, calls = recorder.step, itertools.count()
        recorder.step = lambda **seen: None if next(calls) == 3 else honest(**seen)
        return super().run(plan, task, runtime, recorder)


# --- accumulation: which steps make an update ------------------------------------------------------


class TellsTheWindowsUpdates(UpdatesEachStep):
    """Updates each step, and lies: one update is told for every k steps, as Keras derives its counter from them."""

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"updates": (index + 1) // plan.gradient_accumulation_steps})
        return super().run(plan, task, runtime, recorder)


# --- which numbers ---------------------------------------------------------------------------------


class ConstantLoss:
    """Lies: the loss told is always 1."""

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"loss": 1.0})
        return super().run(plan, task, runtime, recorder)


class DividesItsLoss:
    """Lies: the loss told is divided by k (lightning 2569: the logged loss is)."""

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"loss": seen["loss"] / plan.gradient_accumulation_steps})
        return super().run(plan, task, runtime, recorder)


class HidesItsRate(TrainsAtHalfTheRate):
    """Half the learning rate, and lies: the task's is told."""

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"lr": task.optimizer.learning_rate})
        return super().run(plan, task, runtime, recorder)


class TrainsInSinglePrecision:
    """Trains in float32, whatever was asked for."""

    def run(self, plan, task, runtime, recorder) -> Any:
        return super().run(plan, task, replace(runtime, precision="float32"), recorder)


class TrainsInDoublePrecision:
    """Trains in float64 and hands back what was asked for."""

    def run(self, plan, task, runtime, recorder) -> Any:
        weights = super().run(plan, task, replace(runtime, precision="float64"), recorder)
        return {name: values.astype(runtime.precision) for name, values in weights.items()}


class OneBitOff:
    """One weight handed back is the next float above the one trained."""

    def run(self, plan, task, runtime, recorder) -> Any:
        weights = super().run(plan, task, runtime, recorder)
        kernel = weights["dense_0/kernel"] = np.array(weights["dense_0/kernel"])
        kernel[-1, 0] = np.nextafter(kernel[-1, 0], np.inf, dtype=kernel.dtype)
        return weights
