"""What faults are made of: mixins over an adapter, each overriding one part, and native steps of every framework.

The adapters that come with xframe share their shape (``pipeline`` yields batches, ``train_step`` returns the step,
``run`` records), so one fault serves all of them.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from xframe.plan.replicas import share
from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Seen
from xframe.running.steering import Window

if TYPE_CHECKING:
    from xframe.running.adapter import Adapter
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task

Batches = Iterator[Any]
NUM_VALIDATION = 180  # samples that ``with_validation`` adds


class Faulty:
    """What a fault overrides a part of."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return super().pipeline(plan, task, runtime)  # type: ignore[misc]

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return super().train_step(plan, task, runtime)  # type: ignore[misc]

    def validator(self, plan: TrainingPlan, task: Task, runtime: Runtime, model: Any) -> Any:
        return super().validator(plan, task, runtime, model)  # type: ignore[misc]

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


# --- mixins that bugs derive from ---


class Misread(Faulty):
    """A base that goes by its class's keywords in place of the plan's fields; a function gets the plan."""

    fields: dict[str, Any] = {}  # noqa: RUF012  replaced in each subclass, never changed

    def __init_subclass__(cls, **fields: Any) -> None:
        super().__init_subclass__()
        cls.fields = fields or cls.fields

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        fields = {name: value(plan) if callable(value) else value for name, value in self.fields.items()}
        return changed(plan, **fields)


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


class Rebatched(Faulty):
    """A base whose batches go through ``rebatch``."""

    def rebatch(self, plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
        return batches

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Batches:
        return self.rebatch(plan, task, super().pipeline(plan, task, runtime))


class Reorders(Faulty):
    """A base whose passes have the orders that ``edit`` returns."""

    def edit(self, plan: TrainingPlan, order: Any, pass_index: int) -> Any:
        return order.ids(pass_index)

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        edited: Any = EditedOrder(plan, partial(self.edit, plan))
        return super().pipeline(edited, task, runtime)


class Stepped(Faulty):
    """A base whose steps go through ``call``."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return step(batch)

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        return Step(super().train_step(plan, task, runtime), partial(self.call, plan))


class Steered(Faulty):
    """A base whose step asks ``Own``, a window that errs, when to zero its gradients and when to update."""

    Own: type[Window] = Window

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        step = super().train_step(plan, task, runtime)
        step.window = self.Own(plan)
        return step


class Restored(Stepped):
    """A base whose state is not what it was, from a step on."""

    at = 30

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        step = super().train_step(plan, task, runtime)
        if hasattr(step.honest, "keep"):
            step.honest.keep()
        self.begun = step.honest.state()
        return step

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        if index == self.at:
            step.restore(replace(step.state(), **self.lost()))
        return step(batch)

    def lost(self) -> dict[str, Any]:
        return {}


class WithDropout(Faulty):
    """A base that trains the task's perceptron with dropout between its layers."""

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        from xframe.tasks.initial import initial_weights
        from xframe.tasks.layers import Dense, Dropout

        layers = (Dense(32, "relu"), Dropout(0.5), Dense(10))
        dropping = replace(task, layers=layers, initial_weights=lambda: initial_weights(layers, (64,)))
        return super().train_step(plan, dropping, runtime)


class Replicated(Faulty):
    """A base of two replicas in one process: each has a native model of its own, and records its share of a step.

    Replicas that share their gradients all make the update of the rows of all: that is what each model here trains on.
    ``shares`` gives a replica its batches, ``trained`` what it makes an update of.
    """

    replicas = 2

    def shares(self, plan: TrainingPlan, task: Task, runtime: Runtime, replica: int, **more: Any) -> Batches:
        split = changed(plan, replicas=self.replicas, **more)
        for batch in self.pipeline(plan, task, runtime):
            if rows := [*range(len(batch.ids))][share(split, len(batch.ids), replica)]:
                yield batch.take(rows)

    def trained(self, batches: tuple[Any, ...], replica: int) -> Any:
        return reduce(joined, batches)

    def run(self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Any) -> Any:
        kept = []
        for replica, own in enumerate(recorder.parts):
            step = self.train_step(plan, task, runtime)
            every = [self.shares(plan, task, runtime, one) for one in range(self.replicas)]
            for batches in zip(*every, strict=False):
                mine, seen = batches[replica], step(self.trained(batches, replica))
                mark = float(sum((weight * weight).sum() for weight in step.model.weights().values()))
                labels = {"epoch": mine.place.epoch, "step_in_epoch": mine.place.step_in_epoch}
                facts = {"updates": seen.updates, "loss": seen.loss, "lr": seen.learning_rate, "weights_mark": mark}
                own.step(ids=mine.ids, **facts, **labels)
            kept.append(step.model.weights())
        recorder.weights(*kept)
        return kept[0]


def mixin(bug: Any) -> type[Faulty]:
    """The mixin that has the bug in it: a window that errs, or a function that takes batches, an order or a step."""
    if isinstance(bug, type) and issubclass(bug, Faulty):
        return bug
    facts = {"__doc__": bug.__doc__, "__module__": bug.__module__}
    if isinstance(bug, type):
        return type(bug.__name__, (Steered,), {**facts, "Own": bug})
    hooks = {"batches": (Rebatched, "rebatch"), "order": (Reorders, "edit"), "step": (Stepped, "call")}
    base, name = next(hooks[word] for word in inspect.signature(bug).parameters if word in hooks)
    return type(bug.__name__, (base,), {**facts, name: staticmethod(bug)})


# --- plans, tasks and orders, changed ---


def changed(plan: TrainingPlan, **fields: Any) -> TrainingPlan:
    """The plan with these fields in place of its own."""
    return TrainingPlan.from_mapping({**plan.to_dict(), **fields})


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


def with_validation(task: Task) -> Task:
    """The task with samples behind its own that are not to be trained on."""
    import numpy as np

    def load() -> tuple[Any, Any]:
        features, targets = task.data("float64")
        rows = np.arange(NUM_VALIDATION) % task.num_samples
        return np.concatenate([features, features[rows, ::-1]]), np.concatenate([targets, targets[rows]])

    return replace(task, num_samples=task.num_samples + NUM_VALIDATION, load=load)


def without(task: Task, last: int) -> Task:
    """The task without that many of its last samples."""

    def load() -> tuple[Any, Any]:
        features, targets = task.data("float64")
        return features[:-last], targets[:-last]

    return replace(task, num_samples=task.num_samples - last, load=load)


# --- batches and native steps ---


def placed(batch: Any, **fields: Any) -> Any:
    """The same batch with other labels of its place."""
    return batch._replace(place=batch.place._replace(**fields))


def joined(first: Any, second: Any) -> Any:
    """One batch of the rows of two, at the first one's place."""
    family = _family(first.features)
    name = {"numpy": "concatenate", "torch": "cat", "tensorflow": "concat"}[family]
    concatenate = partial(getattr(sys.modules[family], name), axis=0)
    return type(first)(first.place, *(concatenate(pair) for pair in zip(first[1:], second[1:], strict=True)))


class Step:
    """A training step whose calls go through ``call(honest step, index, batch)``; all else is the honest one's."""

    def __init__(self, honest: Any, call: Callable[[Any, int, Any], Any]) -> None:
        self.honest, self.call, self.calls = honest, call, itertools.count()

    def __call__(self, batch: Any) -> Any:
        return self.call(self.honest, next(self.calls), batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.honest, name)


def train(step: Any, batch: Any, *, updates: int, clear_gradients: bool = False) -> Seen:
    """One native training step with that many updates on its gradient; returns what the step returns."""
    step.window.close(batch.place, len(batch.ids))  # that the run ends is no part of the bug
    family = _family(step)
    if family == "tensorflow":
        assert not clear_gradients, "Keras refuses to apply no gradients"
        variables = step.model.module.trainable_variables
        loss, gradients, *_ = step.gradients(batch.features, batch.targets)
        for _ in range(updates):
            step.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return Seen(batch.ids, step.optimizer.iterations.value + 0, loss, step.optimizer.learning_rate + 0)
    if family == "numpy":
        loss, gradients = step.gradients(batch)
        for _ in range(updates):
            step.optimizer.apply(step.model.parameters, {} if clear_gradients else gradients)
    else:
        step.optimizer.zero_grad()
        loss = step.loss(step.model.module(batch.features), batch.targets)
        loss.backward()
        if clear_gradients:
            step.optimizer.zero_grad()
        for _ in range(updates):
            step.optimizer.step()
    return Seen(batch.ids, step.updates, loss, step.learning_rate, step.accuracy)


def set_rate(step: Any, rate: float) -> None:
    """Gives the native optimizer that learning rate."""
    if _family(step) == "torch":
        for group in step.optimizer.param_groups:
            group["lr"] = rate
    else:
        step.optimizer.learning_rate = rate


def _family(native: Any) -> str:
    """``numpy``, ``torch`` or ``tensorflow``, by what a step, or a batch's values, come from."""
    return type(native).__module__.partition(".")[0].removeprefix("xframe_")
