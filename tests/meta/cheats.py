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
from xframe.plan import ACCUMULATION, LARGEST, TrainingPlan
from xframe.steering import Place, Window
from xframe.task import SGD

ADAPTERS: dict[str, type] = {"numpy": NumpyAdapter, "torch": TorchAdapter, "tensorflow": TensorflowAdapter}


def make(framework: str, cheat: type) -> Adapter:
    """That framework's adapter with the cheat in it, named ``cheat``."""
    return type(cheat.__name__, (cheat, ADAPTERS[framework]), {"name": "cheat"})()


# --- what the cheats are made of -------------------------------------------------------------------


def train(step: Any, batch: Any, *, updates: int, clear_gradients: bool = False) -> Any:
    """One native training step with that many updates on its gradient; returns what the step returns."""
    step.window.close(batch.place, len(batch.ids))  # that the run ends is no part of the bug
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
    """A plan whose passes have the orders that ``edit(order, pass index)`` returns."""

    def __init__(self, plan: TrainingPlan, edit: Callable[[Any, int], Any]) -> None:
        self.plan, self.edit = plan, edit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)

    def sample_order(self, num_samples: int) -> EditedOrder:
        self.order = self.plan.sample_order(num_samples)
        return self

    def ids(self, pass_index: int) -> Any:
        return self.edit(self.order, pass_index)


def placed(batch: Any, **fields: Any) -> Any:
    """The same batch at another place."""
    return batch._replace(place=batch.place._replace(**fields))


def changed(plan: TrainingPlan, **fields: Any) -> TrainingPlan:
    return TrainingPlan.from_mapping({**plan.to_dict(), **fields})


def without(plan: TrainingPlan, limit: str) -> TrainingPlan:
    return changed(plan, **{limit: None})


def batches_by(**fields: Any) -> type:
    """A base whose pipeline goes by these fields in place of the plan's."""

    class Misread:
        def pipeline(self, plan, task, runtime) -> Any:
            return super().pipeline(changed(plan, **fields), task, runtime)

    return Misread


def steps_by(**fields: Any) -> type:
    """A base whose step goes by these fields in place of the plan's."""

    class Misread:
        def train_step(self, plan, task, runtime) -> Any:
            return super().train_step(changed(plan, **fields), task, runtime)

    return Misread


class Steered:
    """A base whose step asks ``Own``, a window that errs, when to zero its gradients and when to update."""

    Own = Window

    def train_step(self, plan, task, runtime) -> Any:
        step = super().train_step(plan, task, runtime)
        step.window = self.Own(plan)
        return step


def joined(first: Any, second: Any) -> Any:
    """One batch of the rows of two, at the first one's place."""
    family = type(first).__module__.partition(".")[0]
    if family == "xframe_numpy":
        concatenate = np.concatenate
    elif family == "xframe_torch":
        from torch import cat as concatenate
    else:
        from functools import partial

        import tensorflow as tf

        concatenate = partial(tf.concat, axis=0)
    return type(first)(first.place, *(concatenate(pair) for pair in zip(first[1:], second[1:], strict=True)))


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


class PadsByHand:
    """No bug, with the padding put together by hand: what is caught in the cheat made from it is not ``joined``."""

    passes_late = 0

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        starts: list[Any] = []  # each pass's first batch
        for batch in super().pipeline(changed(plan, remainder="keep"), task, runtime):
            if batch.place.step_in_epoch == 0:
                starts.append(batch)
            missing = plan.batch_size - len(batch.ids)
            start = starts[max(0, len(starts) - 1 - self.passes_late)]
            yield placed(joined(batch, start.take(range(missing))), padding=missing) if missing else batch


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
        def edit(order: Any, pass_index: int) -> Any:
            ids = order.ids(pass_index)
            if pass_index == 0:
                ids[[7, 12]] = ids[[12, 7]]
            return ids

        return super().pipeline(EditedOrder(plan, edit), task, runtime)


class RepeatsASample:
    """Step 2 has a sample of step 1 in place of its own (datasets 3423: data duplicated; pytorch 25162)."""

    def pipeline(self, plan, task, runtime) -> Any:
        def edit(order: Any, pass_index: int) -> Any:
            ids = order.ids(pass_index)
            if pass_index == 0:
                ids[12] = ids[7]
            return ids

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
            batch = placed(batch, last=False)
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
            yield batch._replace(place=Place(step.epoch, step.step_in_epoch, step.padding, False, False, False, False))

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
            yield placed(batch, step_in_epoch=i)


class AsksThePlanForItsCounts:
    """The pipeline is endless; when to stop is the plan's to say."""

    def pipeline(self, plan, task, runtime) -> Any:
        endless = without(changed(plan, updates=LARGEST), "epochs")
        return itertools.islice(super().pipeline(endless, task, runtime), plan.counts(task.num_samples).num_steps)


class MislabelsEpochs:
    """The epoch is counted up one step late: the first step of a new pass still bears the old number."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            epoch, step_in_epoch = batch.place[:2]
            yield placed(batch, epoch=epoch - 1) if epoch and step_in_epoch == 0 else batch


# --- what a pass's rest becomes --------------------------------------------------------------------


class KeepsTheRest(batches_by(remainder="keep")):
    """The plan carries a pass's rest into the next or pads it; the pipeline makes a short batch of it."""


class CarriesTheRest(batches_by(remainder="carry")):
    """The plan makes a short batch of it, the pipeline fills it from the next pass (tensorflow 22010)."""


class PadsFromTheEnd:
    """The last batch is filled with the last samples of the pass, not the first (pytorch 25162: the last few again)."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            size = len(batch.ids)
            real = size - batch.place.padding
            yield batch.take([*range(real), *range(real - batch.place.padding, real)])


class PadsFromThePreviousPass(PadsByHand):
    """The last batch is filled from the start of the pass before: the order was asked for too early."""

    passes_late = 1


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


class HidesItsPadding:
    """Trains on the padding and lies: every row is told as a sample of its own."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        return (placed(batch, padding=0) for batch in super().pipeline(plan, task, runtime))


# --- epochs of so many steps -----------------------------------------------------------------------


class RestartsEachEpoch(batches_by(epoch_iterator="restart")):
    """The plan lets a pass, or the stream of ``carry``, go on over the epochs; the pipeline begins anew with each."""


class ContinuesOverEpochs(batches_by(epoch_iterator="continue")):
    """Each epoch is to begin a new pass, and the iterator is not reset (tensorflow 25254)."""


class ShortensEpochs(batches_by(on_exhaustion="short_epoch")):
    """The plan repeats the data, but where they run out the epoch ends (keras 19037: the epoch is interrupted)."""


class RepeatsTheData(batches_by(on_exhaustion="repeat")):
    """The epoch is to end where the data do, but the next pass fills it up."""


class StopsWithTheData(batches_by(on_exhaustion="stop")):
    """Only the epoch is to end where the data do, but all training does (keras 15708)."""


class LengthensEpochs:
    """Epochs of one step too many (IMC_Denoise 32: quotient + 1 where the batch size divides)."""

    def pipeline(self, plan, task, runtime) -> Any:
        return super().pipeline(changed(plan, steps_per_epoch=plan.steps_per_epoch + 1), task, runtime)


class SkipsAPass:
    """The pass that an epoch abandons is counted twice, so that the next has the order of the one after it."""

    def pipeline(self, plan, task, runtime) -> Any:
        return super().pipeline(EditedOrder(plan, lambda order, index: order.ids(2 * index)), task, runtime)


class CountsEpochsInPasses:
    """Training ends after so many passes where so many epochs of ``steps_per_epoch`` steps are meant."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        passes = 0
        for batch in super().pipeline(without(changed(plan, updates=LARGEST), "epochs"), task, runtime):
            yield batch
            passes += batch.place.ends_pass
            if passes == plan.epochs:
                return


class LabelsByTheLastSample:
    """A carried batch of two passes is told as a step of the second; it belongs to its first sample's."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        rows = 0
        for batch in super().pipeline(plan, task, runtime):
            rows += len(batch.ids)
            yield placed(batch, epoch=(rows - 1) // task.num_samples)


class NeverEndsAShortEpoch:
    """The window is not cut where the data end the epoch before its time; lightning did so on iterables."""

    def pipeline(self, plan, task, runtime) -> Iterator[Any]:
        return (placed(batch, exhausts=False) for batch in super().pipeline(plan, task, runtime))


class TakesUpdatesForSteps:
    """The limit of updates ends the run after so many steps (lightning 7407: steps or batches?)."""

    def run(self, plan, task, runtime, recorder) -> Any:
        return super().run(changed(plan, steps=plan.updates, updates=None), task, runtime, recorder)


class TakesStepsForUpdates:
    """The limit of steps ends the run after so many updates (unsloth 1163: max_steps doubled by k = 2)."""

    def run(self, plan, task, runtime, recorder) -> Any:
        return super().run(changed(plan, steps=None, updates=plan.step_limit), task, runtime, recorder)


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

    def train_step(self, plan, task, runtime) -> Step:
        honest = super().train_step(plan, task, runtime)
        return Step(honest, lambda step, index, batch: train(step, batch, updates=index != 3))


class AppliesAnUpdateTwice:
    """Step 3 applies the same gradient twice; told honestly."""

    def train_step(self, plan, task, runtime) -> Step:
        honest = super().train_step(plan, task, runtime)
        return Step(honest, lambda step, index, batch: train(step, batch, updates=1 + (index == 3)))


class ClearsTheGradients:
    """In step 3 ``zero_grad`` comes before ``step``: the optimizer is called and changes nothing."""

    def train_step(self, plan, task, runtime) -> Step:
        honest = super().train_step(plan, task, runtime)
        return Step(honest, lambda step, index, batch: train(step, batch, updates=1, clear_gradients=index == 3))


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


class UpdatesEachStep(steps_by(gradient_accumulation_steps=1, **dict.fromkeys(ACCUMULATION))):
    """Accumulation is switched off, every step updates (lightning 21808: silently ignored)."""


class TellsTheWindowsUpdates(UpdatesEachStep):
    """Updates each step, and lies: one update is told for every k steps, as Keras derives its counter from them."""

    def run(self, plan, task, runtime, recorder) -> Any:
        tamper(recorder, lambda index, seen: {"updates": (index + 1) // plan.gradient_accumulation_steps})
        return super().run(plan, task, runtime, recorder)


class UpdatesTooEarly(Steered):
    """``i % k == 0`` where ``(i + 1) % k == 0`` is meant: the first step updates at once (transformers 12675)."""

    class Own(Window):
        def __init__(self, plan: TrainingPlan) -> None:
            super().__init__(plan)
            self._count = plan.gradient_accumulation_steps - 1


class MissesAnUpdate(Steered):
    """The second window ends without its update, and its gradients are zeroed (transformers 2995)."""

    class Own(Window):
        def close(self, place: Place, rows: int) -> int | None:
            divisor = super().close(place, rows)
            return None if self._updates == 2 else divisor


class FlushesTheLeftover(steps_by(accumulation_remainder="flush")):
    """What is left at an epoch's end updates, where the plan drops it or carries it on (accelerate 1847)."""


class DropsTheLeftover(steps_by(accumulation_remainder="drop")):
    """What is left at an epoch's end is zeroed, where the plan updates or keeps it (lightning 1549)."""


class LeaksTheLeftover(steps_by(accumulation_remainder="leak")):
    """``(i + 1) % k`` counts anew in each epoch, and nothing zeroes what is left (Swin-Transformer 185)."""


class CarriesTheLeftover(steps_by(accumulation_remainder="carry")):
    """The window goes on over the epoch's end that is to cut it (lightning 19684)."""


class CutsAtPasses(steps_by(accumulation_boundary="pass")):
    """The end of a pass cuts the window, where the plan has it cut by the end of an epoch."""


class CutsAtEpochs(steps_by(accumulation_boundary="epoch")):
    """The end of an epoch cuts the window, where the plan has it cut by the end of a pass."""


class FlushesAtTheEnd(steps_by(accumulation_at_end="flush")):
    """A window still open when training stops updates, the plan drops it."""


class DropsAtTheEnd(steps_by(accumulation_at_end="drop")):
    """A window still open when training stops is lost, the plan flushes it (pet 36: some gradients are lost)."""


class LooksAtLimitsFirst(Steered):
    """The limit of steps ends the run before the end of the epoch on the same step can cut the window."""

    class Own(Window):
        def close(self, place: Place, rows: int) -> int | None:
            stops = self._steps + 1 == self.plan.step_limit
            return super().close(place._replace(ends_pass=False, ends_epoch=False) if stops else place, rows)


# --- accumulation: which gradients, divided by what. Same counts, other weights ------------------------


class NeverZeroes(Steered):
    """An update's gradients stay and enter the next one too (pytorch 47175: zero_grad forgotten)."""

    class Own(Window):
        def close(self, place: Place, rows: int) -> int | None:
            divisor = super().close(place, rows)
            self.fresh = False
            return divisor


class ZeroesEachStep(Steered):
    """Only a window's last gradient enters its update (accelerate 1299: zero_grad at the start of each step)."""

    class Own(Window):
        def close(self, place: Place, rows: int) -> int | None:
            divisor = super().close(place, rows)
            self.fresh = True
            return divisor


class LeaksUncounted(Steered):
    """Leaked gradients enter the next update and are not counted among those that are there."""

    class Own(Window):
        def _cut(self) -> int | None:
            divisor = super()._cut()
            self._present = 0
            return divisor


class DividesByTheWindow(steps_by(loss_normalization="window")):
    """A window cut short is divided by k, not by the steps in it (lightning 19987)."""


class DividesByTheSteps(steps_by(loss_normalization="actual")):
    """Divided by the steps present, where the plan has k; or rows, so that a short batch weighs more (keras 20241)."""


class DividesByTheRows(steps_by(loss_normalization="samples")):
    """A short batch weighs less in its window, where the plan lets all steps weigh the same."""


class SumsTheWindow(steps_by(loss_normalization="sum")):
    """A window's gradients are summed and not divided (transformers 37766: k times the loss)."""


class LeavesPaddingOutOfTheMean(Steered):
    """The padding's gradients are summed with the others, and divided by the number of the others."""

    class Own(Window):
        def close(self, place: Place, rows: int) -> int | None:
            return super().close(place, rows - place.padding)


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


class TrainsAtHalfTheRate:
    """Half the learning rate, told honestly."""

    factor = 0.5

    def train_step(self, plan, task, runtime) -> Any:
        rule = task.optimizer
        slower = SGD(rule.learning_rate * self.factor, rule.momentum, rule.weight_decay)
        return super().train_step(plan, replace(task, optimizer=slower), runtime)


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

    def train_step(self, plan, task, runtime) -> Step:
        def call(step: Any, index: int, batch: Any) -> Any:
            seen = step(batch)
            if index == 6:
                self.best = step.model.weights()
            return seen

        return Step(super().train_step(plan, task, runtime), call)

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
