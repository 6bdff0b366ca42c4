"""Adapters that cheat or err. Each has its bug in pipeline or step code that really runs.

A cheat is a mixin over a real adapter; ``make`` puts the two together. The three adapters share their
shape (``pipeline`` yields batches, ``train_step`` returns the step, ``run`` records), so one cheat
serves all of them. Training really goes wrong and the recorder records normally; only where a cheat
says that it *lies* is something changed on its way into the trace.

The threads named are public reports of bugs of the same kind.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from xframe_numpy import NumpyAdapter
from xframe_tensorflow import TensorflowAdapter
from xframe_torch import TorchAdapter

from xframe import counting
from xframe.adapter import Adapter
from xframe.plan import LARGEST, TrainingPlan
from xframe.task import SGD

ADAPTERS: dict[str, type] = {"numpy": NumpyAdapter, "torch": TorchAdapter, "tensorflow": TensorflowAdapter}


def make(framework: str, cheat: type) -> Adapter:
    """That framework's adapter with the cheat in it, named ``cheat``."""
    return type(cheat.__name__, (cheat, ADAPTERS[framework]), {"name": "cheat"})()


# --- what the cheats are made of -------------------------------------------------------------------


def train(step: Any, batch: Any, *, updates: int, clear_gradients: bool = False) -> Any:
    """One native training step with that many updates on its gradient; returns what the step returns."""
    family = type(step).__module__.partition(".")[0]
    if family == "xframe_numpy":
        loss, gradients = step.gradients(batch)
        for _ in range(updates):
            step.updates.apply(step.model.parameters, {} if clear_gradients else gradients)
        return loss
    if family == "xframe_torch":
        step.optimizer.zero_grad()
        loss = step.loss(step.model.module(batch.features), batch.targets)
        loss.backward()
        if clear_gradients:
            step.optimizer.zero_grad()
        for _ in range(updates):
            step.optimizer.step()
        return loss
    import tensorflow as tf
    from xframe_tensorflow.step import Seen

    assert not clear_gradients, "Keras refuses to apply no gradients"
    variables = step.model.module.trainable_variables
    with tf.GradientTape() as tape:
        loss = step.loss(batch.targets, step.model.module(batch.features, training=True))
    gradients = tape.gradient(loss, variables)
    for _ in range(updates):
        step.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return Seen(batch.ids, step.optimizer.iterations.value + 0, loss, step.optimizer.learning_rate + 0)


class Step:
    """A training step whose calls go through ``call(honest step, index, batch)``; all else is the honest one's."""

    def __init__(self, honest: Any, call: Callable[[Any, int, Any], Any]) -> None:
        self.honest, self.call, self.calls = honest, call, itertools.count()

    def __call__(self, batch: Any) -> Any:
        return self.call(self.honest, next(self.calls), batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.honest, name)


def tamper(recorder: Any, edit: Callable[[int, dict[str, Any]], dict[str, Any]]) -> None:
    """From now on the recorder is told ``edit(index, seen)`` instead of what was seen."""
    honest = recorder.step
    recorder.step = lambda **seen: honest(**{**seen, **edit(recorder.num_steps, seen)})


class EditedOrder:
    """A plan whose first pass has another order."""

    def __init__(self, plan: TrainingPlan, edit: Callable[[Any], None]) -> None:
        self.plan, self.edit = plan, edit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)

    def sample_order(self, num_samples: int) -> EditedOrder:
        self.order = self.plan.sample_order(num_samples)
        return self

    def ids(self, pass_index: int) -> Any:
        ids = np.array(self.order.ids(pass_index))
        if pass_index == 0:
            self.edit(ids)
        return ids


def changed(plan: TrainingPlan, **fields: Any) -> TrainingPlan:
    return TrainingPlan.from_mapping({**plan.to_dict(), **fields})


def without(plan: TrainingPlan, limit: str) -> TrainingPlan:
    return TrainingPlan.from_mapping({name: value for name, value in plan.to_dict().items() if name != limit})


# --- the control -----------------------------------------------------------------------------------


class Honest:
    """No bug, in the same wrapping as the cheats: what is caught in them is not the wrapping."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        yield from super().pipeline(plan, task, runtime)

    def train_step(self, task, runtime) -> Step:
        return Step(super().train_step(task, runtime), lambda step, index, batch: step(batch))

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {})
        return super().run(plan, task, runtime, recorder)


class HonestByHand:
    """No bug, with the step written out as the cheats' is: what is caught in them is not ``train``."""

    def train_step(self, task, runtime) -> Step:
        return Step(super().train_step(task, runtime), lambda step, index, batch: train(step, batch, updates=1))


# --- which samples, in the pipeline ----------------------------------------------------------------


class DropsABatch:
    """The batch of step 3 is lost (pytorch 12474: real samples dropped)."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        return (batch for i, batch in enumerate(super().pipeline(plan, task, runtime)) if i != 3)


class SwapsInsideABatch:
    """The first two samples of step 2 change places, ids and data alike."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            yield batch.take([1, 0, *range(2, len(batch.ids))]) if i == 2 else batch


class SwapsAcrossBatches:
    """Samples at places 7 and 12 of the first pass, in steps 1 and 2, change places."""

    def pipeline(self, plan, task, runtime) -> Any:
        def edit(ids: Any) -> None:
            ids[[7, 12]] = ids[[12, 7]]

        return super().pipeline(EditedOrder(plan, edit), task, runtime)


class RepeatsASample:
    """Step 2 has a sample of step 1 in place of its own (datasets 3423: data duplicated; pytorch 25162)."""

    def pipeline(self, plan, task, runtime) -> Any:
        def edit(ids: Any) -> None:
            ids[12] = ids[7]

        return super().pipeline(EditedOrder(plan, edit), task, runtime)


class LosesASample:
    """The batch of step 3 is one sample short (pytorch 12474: real samples dropped)."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            yield batch.take(list(range(len(batch.ids) - 1))) if i == 3 else batch


class DropsTheRemainder:
    """The plan keeps the short last batch, the pipeline drops it."""

    def pipeline(self, plan, task, runtime) -> Any:
        return super().pipeline(changed(plan, remainder="drop"), task, runtime)


class FillsTheShortBatch:
    """The short last batch is filled up with samples already seen (pytorch 25162: padded by duplicates)."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            size = len(batch.ids)
            yield batch if size == plan.batch_size else batch.take([i % size for i in range(plan.batch_size)])


class StopsEarly:
    """Training ends one step before its time."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        return (batch for batch, _ in pairwise(super().pipeline(plan, task, runtime)))


class OneStepTooMany:
    """The last batch is trained on twice (transformers 37777: one more than expected)."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            yield batch
        yield batch


class FinishesTheEpoch:
    """The limit of steps is looked at between epochs only, and so goes unheeded inside one."""

    def run(self, plan, task, runtime, recorder) -> Any:
        return super().run(without(plan, "steps"), task, runtime, recorder)


class IgnoresTheUpdateLimit:
    """The limit of updates is not looked at; epochs alone end the run."""

    def run(self, plan, task, runtime, recorder) -> Any:
        return super().run(without(plan, "updates"), task, runtime, recorder)


class NeverShuffles:
    """The plan shuffles, the pipeline doesn't."""

    def pipeline(self, plan, task, runtime) -> Any:
        return super().pipeline(changed(plan, order="sequential"), task, runtime)


class ShufflesWithAnotherSeed:
    """The order of the next seed."""

    def pipeline(self, plan, task, runtime) -> Any:
        return super().pipeline(changed(plan, seed=plan.seed + 1), task, runtime)


class SameOrderEachPass:
    """The plan shuffles each pass anew, the pipeline only once (pytorch 31771: set_epoch forgotten)."""

    def pipeline(self, plan, task, runtime) -> Any:
        return super().pipeline(changed(plan, reshuffle=False), task, runtime)


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
            yield batch._replace(epoch=step.epoch, step_in_epoch=step.step_in_epoch)

    def steps_of(self, plan, num_samples) -> Iterator[Any]:
        return plan.steps(num_samples)


class AsksThePlanForEachStep(AsksThePlan):
    """The same, one step at a time."""

    def steps_of(self, plan, num_samples) -> Iterator[Any]:
        return (plan.step(i, num_samples) for i in range(10))


class CountsWithXframe(AsksThePlan):
    """The same, from the module behind the plan."""

    def steps_of(self, plan, num_samples) -> Iterator[Any]:
        return counting.steps(plan, num_samples)


class DrawsRandomNumbers:
    """A draw at every step that the bare run would not make."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            np.random.rand()  # noqa: NPY002
            yield batch


class NeverRestartsItsSteps:
    """The place in the epoch is counted over the whole run."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            yield batch._replace(step_in_epoch=i)


class AsksThePlanForItsCounts:
    """The pipeline is endless; when to stop is the plan's to say."""

    def pipeline(self, plan, task, runtime) -> Any:
        endless = without(changed(plan, updates=LARGEST), "epochs")
        return itertools.islice(super().pipeline(endless, task, runtime), plan.counts(task.num_samples).num_steps)


class MislabelsEpochs:
    """The epoch is counted up one step late: the first step of a new pass still bears the old number."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            yield batch._replace(epoch=batch.epoch - 1) if batch.epoch and batch.step_in_epoch == 0 else batch


# --- which data stand beside the ids ---------------------------------------------------------------


class EchoesThePlan:
    """The ids are the plan's, the data other samples'."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        other = super().pipeline(changed(plan, seed=plan.seed + 1), task, runtime)
        for told, trained in zip(super().pipeline(plan, task, runtime), other, strict=True):
            yield trained._replace(ids=told.ids)


class MispairsTargets:
    """Ids and features are right, but in step 3 each sample is taught another one's target."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            backwards = list(reversed(range(len(batch.ids))))
            yield batch._replace(targets=batch.take(backwards).targets) if i == 3 else batch


class OverweightsTheShortBatch:
    """The short batch's gradient is scaled as if the batch were full (transformers 34191: wrong normalization)."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            # The ledger's model is linear and its loss a sum: scaling the input scales loss and gradient.
            yield batch._replace(features=batch.features * (plan.batch_size / len(batch.ids)))


# --- how often the optimizer is applied ------------------------------------------------------------


class SkipsAnUpdate:
    """Step 3 computes its gradient and does not apply it; told honestly (transformers 2995: no optimizer step)."""

    def train_step(self, task, runtime) -> Step:
        honest = super().train_step(task, runtime)
        return Step(honest, lambda step, index, batch: train(step, batch, updates=index != 3))


class AppliesAnUpdateTwice:
    """Step 3 applies the same gradient twice; told honestly."""

    def train_step(self, task, runtime) -> Step:
        honest = super().train_step(task, runtime)
        return Step(honest, lambda step, index, batch: train(step, batch, updates=1 + (index == 3)))


class ClearsTheGradients:
    """In step 3 ``zero_grad`` comes before ``step``: the optimizer is called and changes nothing."""

    def train_step(self, task, runtime) -> Step:
        honest = super().train_step(task, runtime)
        return Step(honest, lambda step, index, batch: train(step, batch, updates=1, clear_gradients=index == 3))


class CountsAttempts:
    """Skips the updates of steps 1 and 3 and lies: attempts are told as updates (accelerate 4242)."""

    def train_step(self, task, runtime) -> Step:
        honest = super().train_step(task, runtime)
        return Step(honest, lambda step, index, batch: train(step, batch, updates=index not in (1, 3)))

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"updates": index + 1})
        return super().run(plan, task, runtime, recorder)


class TrainsNothing:
    """Forward and backward only, and lies: every step is told with its update."""

    def train_step(self, task, runtime) -> Step:
        return Step(super().train_step(task, runtime), lambda step, index, batch: train(step, batch, updates=0))

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

    def train_step(self, task, runtime) -> Any:
        self.kept = self.kept or super().train_step(task, runtime)
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


# --- which numbers ---------------------------------------------------------------------------------


class ConstantLoss:
    """Lies: the loss told is always 1."""

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"loss": 1.0})
        return super().run(plan, task, runtime, recorder)


class TrainsAtHalfTheRate:
    """Half the learning rate, told honestly."""

    factor = 0.5

    def train_step(self, task, runtime) -> Any:
        rule = task.optimizer
        slower = SGD(rule.learning_rate * self.factor, rule.momentum, rule.weight_decay)
        return super().train_step(replace(task, optimizer=slower), runtime)


class TrainsAtRateZero(TrainsAtHalfTheRate):
    """Learning rate 0: every update is applied, and none changes a weight."""

    factor = 0.0


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


class ReturnsAnEarlierCheckpoint:
    """The final weights handed back are those after step 6, a restored "best" checkpoint."""

    def train_step(self, task, runtime) -> Step:
        def call(step: Any, index: int, batch: Any) -> Any:
            seen = step(batch)
            if index == 6:
                self.best = step.model.weights()
            return seen

        return Step(super().train_step(task, runtime), call)

    def run(self, plan, task, runtime, recorder) -> Any:
        super().run(plan, task, runtime, recorder)
        return self.best


class ReturnsAnotherLayout:
    """The weights handed back are (outputs, inputs), torch's layout, where the canonical one is (inputs, outputs)."""

    def run(self, plan, task, runtime, recorder) -> Any:
        return {name: values.T for name, values in super().run(plan, task, runtime, recorder).items()}


class OneBitOff:
    """One weight handed back is the next float above the one trained."""

    def run(self, plan, task, runtime, recorder) -> Any:
        weights = super().run(plan, task, runtime, recorder)
        kernel = weights["dense_0/kernel"] = np.array(weights["dense_0/kernel"])
        kernel[-1, 0] = np.nextafter(kernel[-1, 0], np.inf, dtype=kernel.dtype)
        return weights
