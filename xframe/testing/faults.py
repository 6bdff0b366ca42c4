"""Named faults: bugs as real training code has them, in pipeline or loop code that really runs.

A fault is a mixin over an adapter; ``make`` puts the two together. The adapters that come with xframe
share their shape (``pipeline`` yields batches, ``train_step`` returns the step, ``run`` records), so one
fault serves all of them. Training really goes wrong, and what happened is recorded as in any other run.
Each fault says what a comparison must report: the check, the first step, the cause.

``FAULTS`` all train on the digits, 1,797 samples in batches of 64, so that a pass has 29 steps, 0 to 28, and
the last of them 5 samples. The threads are public reports of bugs of the same kind.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from xframe.diagnosis.names import CAUSES
from xframe.plan.training_plan import ACCUMULATION, LARGEST, TrainingPlan
from xframe.running.steering import Place, Window
from xframe.tasks.task import SGD

if TYPE_CHECKING:
    from xframe.running.adapter import Adapter
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task

NUM_VALIDATION = 180  # samples that ``with_validation`` adds


class Faulty:
    """What a fault overrides a part of."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return super().pipeline(plan, task, runtime)  # type: ignore[misc]

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return super().train_step(plan, task, runtime)  # type: ignore[misc]

    def run(self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Any) -> Any:
        return super().run(plan, task, runtime, recorder)  # type: ignore[misc]


def make(adapter: Adapter, fault: type[Faulty]) -> Adapter:
    """That adapter with the fault in it, named ``faulty``; its first loop is the one that goes step by step."""
    facts = {"name": "faulty", "loops": stepwise_first(adapter)}
    made: Adapter = type(fault.__name__, (fault, type(adapter)), facts)()
    return made


def stepwise_first(adapter: Adapter | type[Adapter]) -> tuple[str, ...]:
    """The adapter's loops, first the one that calls ``pipeline`` and ``train_step``, which a fault overrides."""
    first = getattr(adapter, "stepwise", adapter.loops[0])
    return (first, *(loop for loop in adapter.loops if loop != first))


def takes_faults(adapter: Adapter) -> bool:
    """Whether the adapter has the shape that faults are mixed into."""
    return callable(getattr(adapter, "pipeline", None)) and callable(getattr(adapter, "train_step", None))


# --- what the faults are made of -------------------------------------------------------------------


def _family(native: Any) -> str:
    """``numpy``, ``torch`` or ``tensorflow``, by the adapter that a batch or a step comes from."""
    return type(native).__module__.partition(".")[0].removeprefix("xframe_")


def train(step: Any, batch: Any, *, updates: int, clear_gradients: bool = False) -> Any:
    """One native training step with that many updates on its gradient; returns what the step returns."""
    step.window.close(batch.place, len(batch.ids))  # that the run ends is no part of the bug
    family = _family(step)
    if family == "numpy":
        loss, gradients = step.gradients(batch)
        for _ in range(updates):
            step.updates.apply(step.model.parameters, {} if clear_gradients else gradients)
        return loss
    if family == "torch":
        step.optimizer.zero_grad()
        loss = step.loss(step.model.module(batch.features), batch.targets)
        loss.backward()
        if clear_gradients:
            step.optimizer.zero_grad()
        for _ in range(updates):
            step.optimizer.step()
        return loss
    assert not clear_gradients, "Keras refuses to apply no gradients"
    variables = step.model.module.trainable_variables
    loss, gradients, *_ = step.gradients(batch.features, batch.targets)
    for _ in range(updates):
        step.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    seen = sys.modules[type(step).__module__].Seen
    return seen(batch.ids, step.optimizer.iterations.value + 0, loss, step.optimizer.learning_rate + 0)


def set_rate(step: Any, rate: float) -> None:
    """Gives the native optimizer that learning rate."""
    if _family(step) == "numpy":
        step.updates.learning_rate = rate
    elif _family(step) == "torch":
        for group in step.optimizer.param_groups:
            group["lr"] = rate
    else:
        step.optimizer.learning_rate = rate


def scaled(seen: Any, factor: float) -> Any:
    """What a step returned, with its loss times that."""
    return seen._replace(loss=seen.loss * factor) if hasattr(seen, "_replace") else seen * factor


class Step:
    """A training step whose calls go through ``call(honest step, index, batch)``; all else is the honest one's."""

    def __init__(self, honest: Any, call: Callable[[Any, int, Any], Any]) -> None:
        self.honest, self.call, self.calls = honest, call, itertools.count()

    def __call__(self, batch: Any) -> Any:
        return self.call(self.honest, next(self.calls), batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.honest, name)


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


def joined(first: Any, second: Any) -> Any:
    """One batch of the rows of two, at the first one's place."""
    name = {"numpy": "concatenate", "torch": "cat", "tensorflow": "concat"}[_family(first)]
    concatenate = partial(getattr(sys.modules[_family(first)], name), axis=0)
    return type(first)(first.place, *(concatenate(pair) for pair in zip(first[1:], second[1:], strict=True)))


def with_validation(task: Task) -> Task:
    """The task with samples behind its own that are not to be trained on."""
    import numpy as np

    def load() -> tuple[Any, Any]:
        features, targets = task.data("float64")
        rows = np.arange(NUM_VALIDATION) % task.num_samples
        return np.concatenate([features, features[rows, ::-1]]), np.concatenate([targets, targets[rows]])

    return replace(task, num_samples=task.num_samples + NUM_VALIDATION, load=load)


class Misread(Faulty):
    """A base that goes by ``fields`` in place of the plan's, in a part of its code."""

    fields: ClassVar[Mapping[str, Any]] = {}

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, **self.fields)


class BatchesBy(Misread):
    """In its pipeline."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return super().pipeline(self.misread(plan), task, runtime)


class StepsBy(Misread):
    """In its step."""

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return super().train_step(self.misread(plan), task, runtime)


class RunsBy(Misread):
    """In all of the run."""

    def run(self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Any) -> Any:
        return super().run(self.misread(plan), task, runtime, recorder)


class Reorders(Faulty):
    """A base whose passes have the orders that ``edit`` returns."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        return order.ids(pass_index)

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        edited: Any = EditedOrder(plan, partial(self.edit, plan))
        return super().pipeline(edited, task, runtime)


class Steered(Faulty):
    """A base whose step asks ``Own``, a window that errs, when to zero its gradients and when to update."""

    Own: type[Window] = Window

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        step = super().train_step(plan, task, runtime)
        step.window = self.Own(plan)
        return step


class Stepped(Faulty):
    """A base whose steps go through ``call``."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return step(batch)

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return Step(super().train_step(plan, task, runtime), partial(self.call, plan))


# --- what a pass's rest becomes --------------------------------------------------------------------


class DropsTheRemainder(BatchesBy):
    """The samples left at the end of a pass are dropped."""

    fields: ClassVar[Mapping[str, Any]] = {"remainder": "drop"}


class KeepsTheRest(BatchesBy):
    """The plan drops a pass's rest, pads it or carries it into the next; the pipeline makes a short batch of it."""

    fields: ClassVar[Mapping[str, Any]] = {"remainder": "keep"}


class CarriesTheRest(BatchesBy):
    """The plan makes a short batch of a pass's rest, the pipeline fills it from the next pass."""

    fields: ClassVar[Mapping[str, Any]] = {"remainder": "carry"}


class PadsTheRest(BatchesBy):
    """The short last batch is filled up from the start of its pass, as a sampler for several ranks does."""

    fields: ClassVar[Mapping[str, Any]] = {"remainder": "pad"}


class FillsTheShortBatch(Faulty):
    """The short last batch is filled up with its own samples again."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            size = len(batch.ids)
            yield batch if size == plan.batch_size else batch.take([i % size for i in range(plan.batch_size)])


class PadsFromTheEnd(Faulty):
    """The last batch is filled with the last samples of the pass, not the first."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            size = len(batch.ids)
            real = size - batch.place.padding
            yield batch.take([*range(real), *(real - 1 - i % real for i in range(batch.place.padding))])


class PadsWithOneSample(Faulty):
    """The last batch is filled with its last sample, over and over."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            real = len(batch.ids) - batch.place.padding
            yield batch.take([min(i, real - 1) for i in range(len(batch.ids))])


class PadsByHand(Faulty):
    """No bug yet, with the padding put together by hand."""

    passes_late = 0

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        starts: list[Any] = []  # each pass's first batch
        for batch in super().pipeline(changed(plan, remainder="keep"), task, runtime):
            if batch.place.step_in_epoch == 0:
                starts.append(batch)
            missing = plan.batch_size - len(batch.ids)
            start = starts[max(0, len(starts) - 1 - self.passes_late)]
            yield placed(joined(batch, start.take(range(missing))), padding=missing) if missing else batch


class PadsFromThePreviousPass(PadsByHand):
    """The last batch is filled from the start of the pass before: the order was asked for too early."""

    passes_late = 1


# --- how large, how long ---------------------------------------------------------------------------


class UsesAnotherBatchSize(BatchesBy):
    """Batches of 50 where the plan says otherwise: a default that nobody overrode."""

    fields: ClassVar[Mapping[str, Any]] = {"batch_size": 50}


class MultipliesTheBatchSize(BatchesBy):
    """The batch size is taken for one per replica, and two replicas' batches make a step."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, batch_size=2 * plan.batch_size)


class DividesTheBatchSize(BatchesBy):
    """A global batch size is dealt out to four replicas, and a step sees one replica's part."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, batch_size=plan.batch_size // 4)


class StopsEarly(Faulty):
    """Training ends one step before its time."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        return (batch for batch, _ in pairwise(super().pipeline(plan, task, runtime)))


class OneStepTooMany(Faulty):
    """The last batch is trained on twice."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            batch = placed(batch, last=False)
            yield batch
        yield batch


class ComparesStepsInclusively(RunsBy):
    """``step <= limit`` where ``step < limit`` is meant."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps=(plan.steps or 0) + 1)


class CountsStepsFromOne(RunsBy):
    """``step < limit`` with a step counted from 1: one too few."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps=(plan.steps or 2) - 1)


class FinishesTheEpoch(RunsBy):
    """The limit of steps is looked at between epochs only, and so goes unheeded inside one."""

    fields: ClassVar[Mapping[str, Any]] = {"steps": None}


class IgnoresTheUpdateLimit(RunsBy):
    """The limit of updates is not looked at; epochs alone end the run."""

    fields: ClassVar[Mapping[str, Any]] = {"updates": None}


class TakesUpdatesForSteps(RunsBy):
    """The limit of updates ends the run after so many steps."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps=plan.updates, updates=None)


class TakesStepsForUpdates(RunsBy):
    """The limit of steps ends the run after so many updates."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps=None, updates=plan.steps)


class CountsEpochsInPasses(Faulty):
    """Training ends after so many passes where so many epochs of ``steps_per_epoch`` steps are meant."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        passes = 0
        for batch in super().pipeline(without(changed(plan, updates=LARGEST), "epochs"), task, runtime):
            yield batch
            passes += batch.place.ends_pass
            if passes == plan.epochs:
                return


# --- epochs of so many steps -----------------------------------------------------------------------


class LengthensEpochs(BatchesBy):
    """Epochs of one step too many."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps_per_epoch=(plan.steps_per_epoch or 0) + 1)


class RoundsEpochsDown(BatchesBy):
    """Epochs of one step too few."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, steps_per_epoch=(plan.steps_per_epoch or 2) - 1)


class RestartsEachEpoch(BatchesBy):
    """The plan lets a pass, or the stream of ``carry``, go on over the epochs; the pipeline begins anew with each."""

    fields: ClassVar[Mapping[str, Any]] = {"epoch_iterator": "restart"}


class ContinuesOverEpochs(BatchesBy):
    """Each epoch is to begin a new pass, and the iterator is not reset."""

    fields: ClassVar[Mapping[str, Any]] = {"epoch_iterator": "continue"}


class ShortensEpochs(BatchesBy):
    """The plan repeats the data, but where they run out the epoch ends."""

    fields: ClassVar[Mapping[str, Any]] = {"on_exhaustion": "short_epoch"}


class RepeatsTheData(BatchesBy):
    """The epoch is to end where the data do, but the next pass fills it up."""

    fields: ClassVar[Mapping[str, Any]] = {"on_exhaustion": "repeat"}


class StopsWithTheData(BatchesBy):
    """Only the epoch is to end where the data do, but all training does."""

    fields: ClassVar[Mapping[str, Any]] = {"on_exhaustion": "stop"}


class SkipsAPass(Reorders):
    """The pass that an epoch abandons is counted twice, so that the next has the order of the one after it."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        return order.ids(2 * pass_index)


class BeginsWithTheSecondPass(Reorders):
    """Epochs counted from 1 seed the order, so that each pass has that of the next."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        return order.ids(pass_index + 1)


class ResumesALaterPass(Reorders):
    """After the first pass, as after a checkpoint, the sampler is set to an epoch too far."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        return order.ids(pass_index + (pass_index > 0))


# --- the order -------------------------------------------------------------------------------------


class NeverShuffles(BatchesBy):
    """The plan shuffles, the pipeline doesn't."""

    fields: ClassVar[Mapping[str, Any]] = {"order": "sequential"}


class ShufflesWithAnotherSeed(BatchesBy):
    """The order of the next seed."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, seed=plan.seed + 1)


class SameOrderEachPass(BatchesBy):
    """The plan shuffles each pass anew, the pipeline only once."""

    fields: ClassVar[Mapping[str, Any]] = {"reshuffle": False}


class ReshufflesEachPass(BatchesBy):
    """One order is to be kept, the pipeline shuffles each pass anew."""

    fields: ClassVar[Mapping[str, Any]] = {"reshuffle": True}


def _generator(plan: TrainingPlan, pass_index: int) -> Any:
    import numpy as np

    return np.random.default_rng([plan.seed, pass_index])


class ShufflesOnItsOwn(Reorders):
    """Each pass is shuffled by the script's own generator, as two scripts written apart are."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        return _generator(plan, pass_index).permutation(order.num_samples)


class ShufflesByAnotherGenerator(Reorders):
    """The other of two scripts, each of which shuffles by a generator of its own."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        import numpy as np

        return np.random.RandomState(1000 * plan.seed + pass_index).permutation(order.num_samples)


class ShufflesInABuffer(Reorders):
    """A shuffle buffer of four batches over sorted data."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        import numpy as np

        draw, size, n = _generator(plan, pass_index), 4 * plan.batch_size, order.num_samples
        buffer, drawn = list(range(min(size, n))), []
        for incoming in range(len(buffer), n):
            place = int(draw.integers(len(buffer)))
            drawn.append(buffer[place])
            buffer[place] = incoming
        draw.shuffle(buffer)
        return np.array([*drawn, *buffer], dtype=np.int64)


class DrawsWithReplacement(Reorders):
    """Each sample is drawn from all of them, whether it was drawn before or not."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        return _generator(plan, pass_index).integers(0, order.num_samples, order.num_samples)


class ShufflesBatches(Faulty):
    """Batches are cut from the stored order first and shuffled then."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        held: list[Any] = []
        passes = itertools.count()
        for batch in super().pipeline(changed(plan, order="sequential"), task, runtime):
            held.append(batch)
            if batch.place.ends_pass:
                chosen = _generator(plan, next(passes)).permutation(len(held))
                yield from (held[i]._replace(place=old.place) for i, old in zip(chosen, held, strict=True))
                held = []


class SortsItsBatches(Faulty):
    """Each batch's samples are sorted, as by length or by the file they came from."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        import numpy as np

        for batch in super().pipeline(plan, task, runtime):
            yield batch.take(np.argsort(np.asarray(batch.ids)))


class SwapsInsideABatch(Faulty):
    """The first two samples of step 2 change places, ids and data alike."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            yield batch.take([1, 0, *range(2, len(batch.ids))]) if i == 2 else batch


# --- single batches and samples --------------------------------------------------------------------


class DropsABatch(Faulty):
    """The batch of step 3 is lost."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        return (batch for i, batch in enumerate(super().pipeline(plan, task, runtime)) if i != 3)


class LosesTheFirstBatch(Faulty):
    """A batch is drawn before training, to look at its shape, and is gone."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        return itertools.islice(super().pipeline(plan, task, runtime), 1, None)


class RepeatsABatch(Faulty):
    """The batch of step 3 is trained on again, as by a retry after an error that came too late."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            yield batch
            if i == 3:
                yield batch


class SwapsBatches(Faulty):
    """The batches of steps 3 and 4 change places: of two workers, the second was faster."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        held: list[Any] = []
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            if i == 3:
                held.append(batch)
            elif i == 4:
                yield batch._replace(place=held[0].place)
                yield held[0]._replace(place=batch.place)
            else:
                yield batch


class SwapsAcrossBatches(Reorders):
    """Two samples of the first pass, of steps 1 and 2, change places."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        ids, b = order.ids(pass_index), plan.batch_size
        if pass_index == 0:
            ids[[b + 2, 2 * b + 2]] = ids[[2 * b + 2, b + 2]]
        return ids


class RepeatsASample(Reorders):
    """Step 2 has a sample of step 1 in place of its own."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        ids, b = order.ids(pass_index), plan.batch_size
        if pass_index == 0:
            ids[2 * b + 2] = ids[b + 2]
        return ids


class LosesASample(Faulty):
    """The batch of step 3 is one sample short."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            yield batch.take(list(range(len(batch.ids) - 1))) if i == 3 else batch


class FiltersASample(Reorders):
    """A sample in the fourth batch fails to load and is passed over; those after it move up by one."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        import numpy as np

        ids = order.ids(pass_index)
        # The pipelines cut a pass of a known length: its last place repeats the one before, and ``pipeline`` takes it.
        return ids if pass_index else np.append(np.delete(ids, 3 * plan.batch_size + 7), ids[-1])

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        first = True
        for batch in super().pipeline(plan, task, runtime):
            cut = first and batch.place.ends_pass
            first = first and not cut
            yield batch.take(list(range(len(batch.ids) - 1))) if cut else batch


class DrawsFromAllData(Faulty):
    """The split is forgotten: the validation samples are drawn with the training samples."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return super().pipeline(plan, with_validation(task), runtime)


class TrainsWhileValidating(Faulty):
    """At the end of a pass a validation batch goes through the training step."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        larger = with_validation(task)
        at_once = TrainingPlan(batch_size=larger.num_samples, epochs=1, order="sequential")
        (whole,) = super().pipeline(at_once, larger, runtime)
        validation = whole.take(range(task.num_samples, task.num_samples + min(plan.batch_size, NUM_VALIDATION)))
        for batch in super().pipeline(plan, task, runtime):
            place = batch.place
            if not place.ends_pass:
                yield batch
                continue
            yield placed(batch, last=False)
            yield validation._replace(place=place._replace(step_in_epoch=place.step_in_epoch + 1))


class EachWorkerReadsAll(Faulty):
    """Two workers read the same iterable data, neither its share only: every batch comes twice."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            inside = 2 * batch.place.step_in_epoch
            yield placed(batch, step_in_epoch=inside, ends_pass=False, ends_epoch=False, last=False)
            yield placed(batch, step_in_epoch=inside + 1)


class ReadsTheOthersShard(Reorders):
    """Both of two replicas take rank 0's share of a strided sampler: half of the samples twice, half never."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        ids = order.ids(pass_index)
        ids[1::2] = ids[: len(ids) - len(ids) % 2 : 2]
        return ids


class RestartsAfterResuming(Faulty):
    """Resumed after ten steps, it begins the pass anew."""

    skipped = 0

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        yield from itertools.islice(super().pipeline(plan, task, runtime), 10)
        yield from itertools.islice(super().pipeline(plan, task, runtime), self.skipped, None)


class SkipsTwiceAfterResuming(RestartsAfterResuming):
    """Resumed after ten steps, the batches that were trained on are skipped twice."""

    skipped = 20


# --- how often the optimizer is applied ------------------------------------------------------------


class SkipsAnUpdate(Stepped):
    """Step 3 computes its gradient and does not apply it."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return train(step, batch, updates=index != 3)


class SkipsTheFirstUpdate(Stepped):
    """The first step's update is skipped, as by a loss scale that begins too high."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return train(step, batch, updates=index != 0)


class AppliesAnUpdateTwice(Stepped):
    """Step 3 applies the same gradient twice."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return train(step, batch, updates=1 + (index == 3))


class ClearsTheGradients(Stepped):
    """In step 3 ``zero_grad`` comes before ``step``: the optimizer is called and changes nothing."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return train(step, batch, updates=1, clear_gradients=index == 3)


# --- accumulation: which steps make an update ------------------------------------------------------


class UpdatesEachStep(StepsBy):
    """Accumulation is switched off, every step updates."""

    fields: ClassVar[Mapping[str, Any]] = {"gradient_accumulation_steps": 1, **dict.fromkeys(ACCUMULATION)}


class HalvesTheWindow(StepsBy):
    """Windows of half the steps: the factor was divided among two replicas."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, gradient_accumulation_steps=plan.gradient_accumulation_steps // 2)


class LengthensTheWindow(StepsBy):
    """Windows of one step more: the count begins at 0 and is compared with ``>``."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, gradient_accumulation_steps=plan.gradient_accumulation_steps + 1)


class UpdatesTooEarly(Steered):
    """``i % k == 0`` where ``(i + 1) % k == 0`` is meant: the first step updates at once."""

    class Own(Window):
        """A window that begins with one step to go."""

        def __init__(self, plan: TrainingPlan) -> None:
            super().__init__(plan)
            self._count = plan.gradient_accumulation_steps - 1


class MissesAnUpdate(Steered):
    """The second window ends without its update, and its gradients are zeroed."""

    class Own(Window):
        """A window whose second update is not made."""

        def close(self, place: Place, rows: int) -> int | None:
            divisor = super().close(place, rows)
            return None if self.updates == 2 else divisor


class FlushesTheLeftover(StepsBy):
    """What is left at an epoch's end updates, where the plan drops it or carries it on."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_remainder": "flush"}


class DropsTheLeftover(StepsBy):
    """What is left at an epoch's end is zeroed, where the plan updates or keeps it."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_remainder": "drop"}


class LeaksTheLeftover(StepsBy):
    """``(i + 1) % k`` counts anew in each epoch, and nothing zeroes what is left."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_remainder": "leak"}


class CarriesTheLeftover(StepsBy):
    """The window goes on over the epoch's end that is to cut it."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_remainder": "carry"}


class CutsAtPasses(StepsBy):
    """The end of a pass cuts the window, where the plan has it cut by the end of an epoch."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_boundary": "pass"}


class CutsAtEpochs(StepsBy):
    """The end of an epoch cuts the window, where the plan has it cut by the end of a pass."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_boundary": "epoch"}


class FlushesAtTheEnd(StepsBy):
    """A window still open when training stops updates, the plan drops it."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_at_end": "flush"}


class DropsAtTheEnd(StepsBy):
    """A window still open when training stops is lost, the plan flushes it."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_at_end": "drop"}


class LooksAtLimitsFirst(Steered):
    """The limit of steps ends the run before the end of the epoch on the same step can cut the window."""

    class Own(Window):
        """A window that its limit's last step cannot cut."""

        def close(self, place: Place, rows: int) -> int | None:
            stops = self.steps + 1 == self.plan.steps
            return super().close(place._replace(ends_pass=False, ends_epoch=False) if stops else place, rows)


class NeverEndsAShortEpoch(Faulty):
    """The window is not cut where the data end the epoch before its time."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        return (placed(batch, exhausts=False) for batch in super().pipeline(plan, task, runtime))


# --- accumulation: which gradients, divided by what. Same counts, other weights ------------------------


class NeverZeroes(Steered):
    """An update's gradients stay and enter the next one too."""

    class Own(Window):
        """A window that is never fresh again."""

        def close(self, place: Place, rows: int) -> int | None:
            divisor = super().close(place, rows)
            self.fresh = False
            return divisor


class ZeroesEachStep(Steered):
    """Only a window's last gradient enters its update."""

    class Own(Window):
        """A window that is fresh at each step."""

        def close(self, place: Place, rows: int) -> int | None:
            divisor = super().close(place, rows)
            self.fresh = True
            return divisor


class LeaksUncounted(Steered):
    """Leaked gradients enter the next update and are not counted among those that are there."""

    class Own(Window):
        """A window that counts anew after a cut."""

        def _cut(self) -> int | None:
            divisor = super()._cut()
            self._present = 0
            return divisor


class LeavesPaddingOutOfTheMean(Steered):
    """The padding's gradients are summed with the others, and divided by the number of the others."""

    class Own(Window):
        """A window that does not count padding."""

        def close(self, place: Place, rows: int) -> int | None:
            return super().close(place, rows - place.padding)


class DividesByTheWindow(StepsBy):
    """A window cut short is divided by k, not by the steps in it."""

    fields: ClassVar[Mapping[str, Any]] = {"loss_normalization": "window"}


class DividesByTheSteps(StepsBy):
    """Divided by the steps present, where the plan has k; or rows, so that a short batch weighs more."""

    fields: ClassVar[Mapping[str, Any]] = {"loss_normalization": "actual"}


class DividesByTheRows(StepsBy):
    """A short batch weighs less in its window, where the plan lets all steps weigh the same."""

    fields: ClassVar[Mapping[str, Any]] = {"loss_normalization": "samples"}


class SumsTheWindow(StepsBy):
    """A window's gradients are summed and not divided."""

    fields: ClassVar[Mapping[str, Any]] = {"loss_normalization": "sum"}


# --- labels ----------------------------------------------------------------------------------------


class MislabelsEpochs(Faulty):
    """The epoch is counted up one step late: the first step of a new pass still bears the old number."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for batch in super().pipeline(plan, task, runtime):
            epoch, step_in_epoch = batch.place[:2]
            yield placed(batch, epoch=epoch - 1) if epoch and step_in_epoch == 0 else batch


class CountsEpochsFromOne(Faulty):
    """The first epoch is called 1."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        return (placed(batch, epoch=batch.place.epoch + 1) for batch in super().pipeline(plan, task, runtime))


class NeverRestartsItsSteps(Faulty):
    """The place in the epoch is counted over the whole run."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            yield placed(batch, step_in_epoch=i)


class LabelsByTheLastSample(Faulty):
    """A carried batch of two passes is told as a step of the second; it belongs to its first sample's."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        rows = 0
        for batch in super().pipeline(plan, task, runtime):
            rows += len(batch.ids)
            yield placed(batch, epoch=(rows - 1) // task.num_samples)


class HidesItsPadding(Faulty):
    """Trains on the padding, and calls every row a sample of its own."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        return (placed(batch, padding=0) for batch in super().pipeline(plan, task, runtime))


# --- numbers ---------------------------------------------------------------------------------------


class TrainsAtHalfTheRate(Faulty):
    """Half the learning rate."""

    factor = 0.5

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        rule = task.optimizer
        slower = SGD(rule.rate(0) * self.factor, rule.momentum, rule.weight_decay)
        return super().train_step(plan, replace(task, optimizer=slower), runtime)


class TrainsAtRateZero(TrainsAtHalfTheRate):
    """Learning rate 0: every update is applied, and none changes a weight."""

    factor = 0.0


class DecaysEachPass(Stepped):
    """A schedule that is not in the plan divides the rate by ten after each pass."""

    rate: float

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        self.rate = task.optimizer.rate(0)
        return super().train_step(plan, task, runtime)

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        set_rate(step, self.rate / 10**batch.place.epoch)
        return step(batch)


class WarmsUp(DecaysEachPass):
    """A warm-up of ten updates that is not in the plan, the first at a tenth of the rate."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        set_rate(step, self.rate * min(1.0, (index + 1) / 10))
        return step(batch)


class MispairsTargets(Faulty):
    """Ids and features are right, but in step 3 each sample is taught another one's target."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        for i, batch in enumerate(super().pipeline(plan, task, runtime)):
            backwards = list(reversed(range(len(batch.ids))))
            yield batch._replace(targets=batch.take(backwards).targets) if i == 3 else batch


class LogsTheLossOverTheWindow(Stepped):
    """The loss that the loop keeps is divided by k; the gradient is not."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return scaled(step(batch), 1 / plan.gradient_accumulation_steps)


class SumsTheLossOfReplicas(Stepped):
    """The loss that the loop keeps is the sum over two replicas, not their mean."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return scaled(step(batch), 2.0)


class ReturnsAnEarlierCheckpoint(Stepped):
    """The final weights handed back are those after step 6, a restored "best" checkpoint."""

    best: Any

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        seen = step(batch)
        if index == 6:
            self.best = step.model.weights()
        return seen

    def run(self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Any) -> Any:
        super().run(plan, task, runtime, recorder)
        return self.best


class ReturnsAnotherLayout(Faulty):
    """The weights handed back are (outputs, inputs), torch's layout, where the canonical one is (inputs, outputs)."""

    def run(self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Any) -> Any:
        return {name: values.T for name, values in super().run(plan, task, runtime, recorder).items()}


def other_start(task: Task) -> Task:
    """The task with its initial weights drawn anew: half of them, the other way round."""

    def initial_weights() -> dict[str, Any]:
        return {name: values[::-1] / 2 for name, values in task.initial_weights().items()}

    return replace(task, initial_weights=initial_weights)


def other_scaling(task: Task) -> Task:
    """The task with features that nobody scaled down."""

    def load() -> tuple[Any, Any]:
        features, targets = task.data("float64")
        return features * 16, targets

    return replace(task, load=load)


def other_sorting(task: Task) -> Task:
    """The task with its rows read in another order, as of a folder listed by another file system."""

    def load() -> tuple[Any, Any]:
        features, targets = task.data("float64")
        return features[::-1], targets[::-1]

    return replace(task, load=load)


# --- what is to be found of each -------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """A bug, where it shows, and what a comparison must say of it.

    Attributes:
        name: as ``xframe selftest`` shows it.
        build: the mixin with the bug.
        check: of the first difference from an honest run: the earliest step's, and at that step the earliest.
        step: the first difference's step; None where no step shows it.
        cause: one of ``xframe.diagnosis.names.CAUSES``.
        or_else: causes that are as right, where the rows cannot tell them from ``cause``.
        plan: what is to be trained.
        thread: a public report of a bug of this kind.
        task: what the bug makes of the task, where that is the bug.
        frameworks: the adapters in which it can be expressed; None for all.
        against: a bug in the run that this one is held against, in place of an honest one; a plan that neither
            follows says nothing of the two, so that they are judged without it.
    """

    name: str
    build: type[Faulty]
    check: str
    step: int | None
    cause: str
    or_else: tuple[str, ...] = ()
    plan: TrainingPlan = TrainingPlan(batch_size=64, epochs=2)  # noqa: RUF009  frozen
    thread: str = ""
    task: Callable[[Task], Task] | None = None
    frameworks: tuple[str, ...] | None = None
    against: type[Faulty] | None = None

    def __post_init__(self) -> None:
        unknown = {self.cause, *self.or_else} - CAUSES.keys()
        if unknown:
            raise ValueError(f"fault {self.name!r} has unknown causes {unknown}")

    @property
    def description(self) -> str:
        return (self.build.__doc__ or "").strip() if self.task is None else (self.task.__doc__ or "").strip()

    @property
    def causes(self) -> tuple[str, ...]:
        return (self.cause, *self.or_else)

    @property
    def seen_by_the_plan(self) -> bool:
        """Whether the run alone, held against its plan, shows it: numbers need another run's."""
        return self.check in ("steps", "boundaries", "updates", "epochs") and not (self.task or self.against)


PLAN = TrainingPlan(batch_size=64, epochs=2)  # steps 0 to 28 and 29 to 57
DROPPED = changed(PLAN, remainder="drop")  # steps 0 to 27 and 28 to 55
PADDED = changed(PLAN, remainder="pad")
CARRIED = changed(PLAN, remainder="carry")  # step 28 has 5 samples of the first pass and 59 of the second
KEPT_ORDER = changed(PLAN, reshuffle=False)
FORTY_STEPS = changed(PLAN, steps=40)
# Epochs of 20 steps, where a pass has 29.
RESTARTED = changed(PLAN, epochs=3, steps_per_epoch=20)
CONTINUED = changed(RESTARTED, epoch_iterator="continue")
REPEATED = changed(CONTINUED, epochs=4)
SHORTENED = changed(REPEATED, on_exhaustion="short_epoch")  # epochs of 20, 9, 20 and 9 steps
# Windows of four: seven in a pass, and one step, step 28, is left.
FOURS = changed(PLAN, gradient_accumulation_steps=4)
FOURS_DROPPED = changed(FOURS, accumulation_remainder="drop")
FOURS_LEAKED = changed(FOURS, accumulation_remainder="leak")
FOURS_CARRIED = changed(FOURS, accumulation_remainder="carry")  # two steps are left when training ends
FOURS_FLUSHED_AT_END = changed(FOURS_CARRIED, accumulation_at_end="flush")
# Windows of three: two steps are left, the second of them of 5 samples.
THREES = changed(PLAN, gradient_accumulation_steps=3)
# Epochs of 18 steps: cut by epochs, an update follows step 17; by passes, step 19.
CUT_BY_EPOCHS = changed(CONTINUED, steps_per_epoch=18, gradient_accumulation_steps=4)
CUT_BY_PASSES = changed(CUT_BY_EPOCHS, accumulation_boundary="pass")

FAULTS = (
    # What becomes of a pass's rest, and of its cut into batches.
    Fault("drops-the-remainder", DropsTheRemainder, "boundaries", 28, "short-batch-dropped"),
    Fault("drops-where-padded", DropsTheRemainder, "boundaries", 28, "short-batch-dropped", plan=PADDED),
    Fault("keeps-where-dropped", KeepsTheRest, "boundaries", 28, "short-batch-kept", plan=DROPPED),
    Fault("keeps-where-padded", KeepsTheRest, "boundaries", 28, "short-batch-kept", plan=PADDED),
    Fault("keeps-where-carried", KeepsTheRest, "boundaries", 28, "short-batch-kept", plan=CARRIED),
    Fault(
        "carries-the-remainder",
        CarriesTheRest,
        "boundaries",
        28,
        "batches-straddle-passes",
        thread="tensorflow/tensorflow#22010",
    ),
    Fault("pads-the-remainder", PadsTheRest, "boundaries", 28, "short-batch-padded", thread="pytorch/pytorch#25162"),
    Fault("pads-where-dropped", PadsTheRest, "boundaries", 28, "short-batch-padded", plan=DROPPED),
    Fault("fills-the-short-batch", FillsTheShortBatch, "boundaries", 28, "short-batch-padded"),
    Fault(
        "pads-from-the-end",
        PadsFromTheEnd,
        "boundaries",
        28,
        "padding-differs",
        plan=PADDED,
        thread="pytorch/pytorch#25162",
    ),
    Fault("pads-with-one-sample", PadsWithOneSample, "boundaries", 28, "padding-differs", plan=PADDED),
    Fault("pads-from-the-pass-before", PadsFromThePreviousPass, "boundaries", 57, "padding-differs", plan=PADDED),
    # How large a batch is.
    Fault("another-batch-size", UsesAnotherBatchSize, "boundaries", 0, "batch-size"),
    Fault("batch-size-times-replicas", MultipliesTheBatchSize, "boundaries", 0, "batch-size-per-replica"),
    Fault(
        "batch-size-by-replicas",
        DividesTheBatchSize,
        "boundaries",
        0,
        "batch-size-per-replica",
        thread="OpenNMT/OpenNMT-tf#540",
    ),
    # How long training is.
    Fault("stops-early", StopsEarly, "steps", 57, "one-step-less"),
    Fault("counts-steps-from-one", CountsStepsFromOne, "steps", 39, "one-step-less", plan=FORTY_STEPS),
    Fault("one-step-too-many", ComparesStepsInclusively, "steps", 40, "one-step-more", plan=FORTY_STEPS),
    Fault(
        "trains-the-last-batch-twice",
        OneStepTooMany,
        "steps",
        58,
        # One step more than planned, and its batch is the last one's: both are plain in the rows.
        "one-step-more",
        or_else=("batch-repeated",),
        thread="huggingface/transformers#37777",
    ),
    Fault("finishes-the-epoch", FinishesTheEpoch, "steps", 40, "limit-confused", plan=FORTY_STEPS),
    Fault(
        "ignores-the-update-limit", IgnoresTheUpdateLimit, "steps", 45, "limit-confused", plan=changed(PLAN, updates=45)
    ),
    Fault(
        "updates-taken-for-steps",
        TakesUpdatesForSteps,
        "steps",
        10,
        "limit-confused",
        plan=changed(FOURS, epochs=None, updates=10),
        thread="Lightning-AI/pytorch-lightning#7407",
    ),
    Fault(
        "steps-taken-for-updates",
        TakesStepsForUpdates,
        "steps",
        12,
        "limit-confused",
        plan=changed(FOURS, epochs=None, steps=12),
        thread="unslothai/unsloth#1163",
    ),
    Fault("epochs-taken-for-passes", CountsEpochsInPasses, "steps", 60, "limit-confused", plan=CONTINUED),
    # Epochs of so many steps.
    Fault("epochs-too-long", LengthensEpochs, "boundaries", 20, "steps-per-epoch", plan=RESTARTED),
    Fault("epochs-too-short", RoundsEpochsDown, "boundaries", 19, "steps-per-epoch", plan=RESTARTED),
    Fault("restarts-each-epoch", RestartsEachEpoch, "boundaries", 20, "epoch-iterator", plan=CONTINUED),
    Fault(
        "continues-over-epochs",
        ContinuesOverEpochs,
        "boundaries",
        20,
        "epoch-iterator",
        plan=RESTARTED,
        thread="tensorflow/tensorflow#25254",
    ),
    Fault(
        "shortens-epochs",
        ShortensEpochs,
        "epochs",
        29,
        "short-epoch",
        plan=REPEATED,
        thread="keras-team/keras#19037",
    ),
    Fault("fills-short-epochs", RepeatsTheData, "epochs", 29, "short-epoch", plan=SHORTENED),
    Fault(
        "stops-with-the-data",
        StopsWithTheData,
        "steps",
        29,
        # It ends where the data do, which is its second epoch's end too: without the plan, a limit says as much.
        "short-epoch",
        or_else=("limit-confused",),
        plan=SHORTENED,
        thread="keras-team/keras#15708",
    ),
    # The order of passes.
    Fault("skips-a-pass", SkipsAPass, "boundaries", 20, "pass-skipped", plan=RESTARTED),
    Fault("begins-with-the-second-pass", BeginsWithTheSecondPass, "boundaries", 0, "pass-skipped"),
    Fault("resumes-a-later-pass", ResumesALaterPass, "boundaries", 29, "pass-skipped"),
    Fault("never-shuffles", NeverShuffles, "boundaries", 0, "not-shuffled"),
    Fault("another-seed", ShufflesWithAnotherSeed, "boundaries", 0, "other-seed"),
    Fault(
        "same-order-each-pass",
        SameOrderEachPass,
        "boundaries",
        29,
        "same-order-every-pass",
        thread="pytorch/pytorch#31771",
    ),
    Fault("reshuffles-each-pass", ReshufflesEachPass, "boundaries", 29, "reshuffled", plan=KEPT_ORDER),
    Fault("shuffles-on-its-own", ShufflesOnItsOwn, "boundaries", 0, "shuffled-independently"),
    Fault(
        "each-shuffles-on-its-own",
        ShufflesOnItsOwn,
        "boundaries",
        0,
        "shuffled-independently",
        against=ShufflesByAnotherGenerator,
    ),
    Fault(
        "shuffles-in-a-buffer",
        ShufflesInABuffer,
        "boundaries",
        0,
        "buffer-shuffle",
        thread="tensorflow/tensorflow#36626",
    ),
    Fault("shuffles-batches", ShufflesBatches, "boundaries", 0, "shuffle-after-batch"),
    Fault("draws-with-replacement", DrawsWithReplacement, "boundaries", 0, "with-replacement"),
    Fault("sorts-its-batches", SortsItsBatches, "boundaries", 0, "order-inside-batches"),
    Fault("swaps-inside-a-batch", SwapsInsideABatch, "boundaries", 2, "order-inside-batches"),
    # Single batches and samples.
    Fault("drops-a-batch", DropsABatch, "boundaries", 3, "batch-lost", thread="pytorch/pytorch#12474"),
    Fault("loses-the-first-batch", LosesTheFirstBatch, "boundaries", 0, "batch-lost"),
    Fault("repeats-a-batch", RepeatsABatch, "boundaries", 4, "batch-repeated"),
    Fault("swaps-batches", SwapsBatches, "boundaries", 3, "batches-swapped"),
    Fault("swaps-across-batches", SwapsAcrossBatches, "boundaries", 1, "samples-swapped"),
    Fault("repeats-a-sample", RepeatsASample, "boundaries", 2, "sample-repeated"),
    Fault("loses-a-sample", LosesASample, "boundaries", 3, "sample-lost", thread="pytorch/pytorch#12474"),
    Fault("filters-a-sample", FiltersASample, "boundaries", 3, "sample-lost"),
    Fault("draws-from-all-data", DrawsFromAllData, "boundaries", 0, "validation-in-training"),
    Fault("trains-while-validating", TrainsWhileValidating, "boundaries", 29, "validation-in-training"),
    Fault(
        "each-worker-reads-all",
        EachWorkerReadsAll,
        "boundaries",
        1,
        "shard-repeated",
        thread="huggingface/datasets#3423",
    ),
    Fault("reads-the-others-shard", ReadsTheOthersShard, "boundaries", 0, "shard-repeated"),
    Fault(
        "restarts-after-resuming",
        RestartsAfterResuming,
        "boundaries",
        10,
        "resumed-at-wrong-place",
        thread="huggingface/transformers#5605",
    ),
    Fault(
        "skips-twice-after-resuming",
        SkipsTwiceAfterResuming,
        "boundaries",
        10,
        "resumed-at-wrong-place",
        thread="huggingface/accelerate#1451",
    ),
    # Updates.
    Fault("skips-an-update", SkipsAnUpdate, "updates", 3, "update-skipped", thread="huggingface/transformers#2995"),
    Fault("skips-the-first-update", SkipsTheFirstUpdate, "updates", 0, "update-skipped"),
    Fault("applies-an-update-twice", AppliesAnUpdateTwice, "updates", 3, "update-doubled"),
    Fault(
        "clears-the-gradients",
        ClearsTheGradients,
        "updates",
        3,
        "update-skipped",
        frameworks=("numpy", "torch"),  # Keras refuses to apply no gradients
    ),
    Fault(
        "updates-each-step",
        UpdatesEachStep,
        "updates",
        0,
        "updates-counted-as-steps",
        plan=FOURS,
        thread="Lightning-AI/pytorch-lightning#21808",
    ),
    Fault("halves-the-window", HalvesTheWindow, "updates", 1, "accumulation-steps", plan=FOURS),
    Fault("lengthens-the-window", LengthensTheWindow, "updates", 3, "accumulation-steps", plan=FOURS),
    Fault(
        "updates-too-early",
        UpdatesTooEarly,
        "updates",
        0,
        "update-offset",
        plan=FOURS_CARRIED,
        thread="huggingface/transformers#12675",
    ),
    Fault(
        "misses-an-update",
        MissesAnUpdate,
        "updates",
        7,
        "update-skipped",
        plan=FOURS,
        thread="huggingface/transformers#2995",
    ),
    Fault(
        "flushes-where-dropped",
        FlushesTheLeftover,
        "updates",
        28,
        "leftover-flushed",
        plan=FOURS_DROPPED,
        thread="huggingface/accelerate#1847",
    ),
    Fault("flushes-where-carried", FlushesTheLeftover, "updates", 28, "leftover-flushed", plan=FOURS_CARRIED),
    # Dropped or leaked, the same steps have updates; which gradients enter the next one is not in the rows.
    Fault(
        "drops-where-flushed",
        DropsTheLeftover,
        "updates",
        28,
        "leftover-dropped",
        or_else=("leftover-leaked",),
        plan=FOURS,
        thread="Lightning-AI/pytorch-lightning#1549",
    ),
    Fault(
        "leaks-where-flushed",
        LeaksTheLeftover,
        "updates",
        28,
        "leftover-leaked",
        or_else=("leftover-dropped",),
        plan=FOURS,
        thread="microsoft/Swin-Transformer#185",
    ),
    Fault(
        "carries-where-flushed",
        CarriesTheLeftover,
        "updates",
        28,
        "leftover-carried",
        plan=FOURS,
        thread="Lightning-AI/pytorch-lightning#19684",
    ),
    Fault("carries-where-dropped", CarriesTheLeftover, "updates", 31, "leftover-carried", plan=FOURS_DROPPED),
    Fault("cuts-at-passes", CutsAtPasses, "updates", 17, "window-cut-elsewhere", plan=CUT_BY_EPOCHS),
    Fault("cuts-at-epochs", CutsAtEpochs, "updates", 17, "window-cut-elsewhere", plan=CUT_BY_PASSES),
    Fault("flushes-at-the-end", FlushesAtTheEnd, "updates", 57, "window-at-training-end", plan=FOURS_CARRIED),
    Fault(
        "drops-at-the-end",
        DropsAtTheEnd,
        "updates",
        57,
        "window-at-training-end",
        plan=FOURS_FLUSHED_AT_END,
        thread="timoschick/pet#36",
    ),
    Fault(
        "looks-at-limits-first",
        LooksAtLimitsFirst,
        "updates",
        28,
        # The only leftover is on the step that ends pass, epoch and training: it was dropped at all three ends.
        "window-at-training-end",
        or_else=("leftover-dropped",),
        plan=changed(FOURS, epochs=None, steps=29),
    ),
    Fault(
        "never-ends-a-short-epoch",
        NeverEndsAShortEpoch,
        "updates",
        28,
        "leftover-carried",
        plan=changed(SHORTENED, gradient_accumulation_steps=4),
    ),
    # The same samples and updates, other gradients: structure cannot tell, the next loss does.
    Fault("never-zeroes", NeverZeroes, "loss", 8, "other-gradient", plan=FOURS, thread="pytorch/pytorch#47175"),
    Fault(
        "zeroes-each-step",
        ZeroesEachStep,
        "loss",
        4,
        "other-gradient",
        plan=FOURS,
        thread="huggingface/accelerate#1299",
    ),
    # A leftover that is kept for the next update or not changes nothing but that update's gradient, which is all
    # that "other-gradient" says; the plan's policy being known, the narrower name is right too.
    Fault(
        "drops-where-leaked",
        DropsTheLeftover,
        "loss",
        33,
        "other-gradient",
        or_else=("leftover-dropped",),
        plan=FOURS_LEAKED,
    ),
    Fault(
        "leaks-where-dropped",
        LeaksTheLeftover,
        "loss",
        33,
        "other-gradient",
        or_else=("leftover-leaked",),
        plan=FOURS_DROPPED,
    ),
    Fault(
        "divides-by-the-window",
        DividesByTheWindow,
        "loss",
        29,
        "other-gradient",
        plan=FOURS,
        thread="Lightning-AI/pytorch-lightning#19987",
    ),
    Fault(
        "divides-by-the-steps",
        DividesByTheSteps,
        "loss",
        29,
        "other-gradient",
        plan=changed(THREES, loss_normalization="samples"),
        thread="keras-team/keras#20241",
    ),
    Fault("divides-by-the-rows", DividesByTheRows, "loss", 29, "other-gradient", plan=THREES),
    Fault(
        "sums-the-window",
        SumsTheWindow,
        "loss",
        4,
        "other-gradient",
        plan=FOURS,
        thread="huggingface/transformers#37766",
    ),
    Fault("leaks-uncounted", LeaksUncounted, "loss", 33, "other-gradient", plan=FOURS_LEAKED),
    Fault(
        "leaves-padding-out-of-the-mean",
        LeavesPaddingOutOfTheMean,
        "loss",
        29,
        "other-gradient",
        plan=changed(THREES, remainder="pad", loss_normalization="samples"),
    ),
    # Another target for the same id is other data as much as another gradient: the loss of step 3 shows it at once.
    Fault("mispairs-targets", MispairsTargets, "loss", 3, "other-gradient", or_else=("different-data",)),
    # Labels.
    Fault("mislabels-epochs", MislabelsEpochs, "epochs", 29, "epoch-labels"),
    Fault("counts-epochs-from-one", CountsEpochsFromOne, "epochs", 0, "epoch-labels"),
    Fault("never-restarts-its-steps", NeverRestartsItsSteps, "epochs", 29, "epoch-labels"),
    Fault("labels-by-the-last-sample", LabelsByTheLastSample, "epochs", 28, "epoch-labels", plan=CARRIED),
    Fault("hides-its-padding", HidesItsPadding, "epochs", 28, "padding-labels", plan=PADDED),
    # Numbers.
    Fault("other-starting-weights", Faulty, "loss", 0, "starting-weights", task=other_start),
    Fault("unscaled-features", Faulty, "boundaries", 0, "different-data", task=other_scaling),
    Fault("other-row-order", Faulty, "boundaries", 0, "different-data", task=other_sorting),
    Fault("half-the-rate", TrainsAtHalfTheRate, "lr", 0, "learning-rate"),
    Fault("rate-zero", TrainsAtRateZero, "lr", 0, "learning-rate"),
    Fault("decays-each-pass", DecaysEachPass, "lr", 29, "learning-rate"),
    Fault("warms-up", WarmsUp, "lr", 0, "learning-rate"),
    Fault(
        "logs-the-loss-over-k",
        LogsTheLossOverTheWindow,
        "loss",
        0,
        "loss-scale",
        plan=FOURS,
        thread="Lightning-AI/pytorch-lightning#2569",
    ),
    Fault("sums-the-replicas-loss", SumsTheLossOfReplicas, "loss", 0, "loss-scale"),
    Fault("returns-an-earlier-checkpoint", ReturnsAnEarlierCheckpoint, "weights", None, "weights-elsewhere"),
    Fault("returns-another-layout", ReturnsAnotherLayout, "weights", None, "weights-elsewhere"),
)
BY_NAME = {fault.name: fault for fault in FAULTS}
assert len(BY_NAME) == len(FAULTS), "two faults have one name"
