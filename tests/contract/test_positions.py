"""A pipeline begins at any position by its framework's own means; a run goes on from one as if it had not stopped."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.drive import Drive
from xframe.running.runtime import Runtime
from xframe.running.steering import Position
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import SGD

RUNTIME = Runtime(device="cpu", precision="float64", threads=1)
PLANS = {
    "keep": TrainingPlan(batch_size=500, epochs=2),
    "drop": TrainingPlan(batch_size=700, epochs=2, remainder="drop"),
    "pad": TrainingPlan(batch_size=1000, epochs=2, remainder="pad"),
    "pad round again": TrainingPlan(batch_size=4000, epochs=2, remainder="pad"),
    "carry": TrainingPlan(batch_size=600, epochs=2, remainder="carry"),
    "restart": TrainingPlan(batch_size=600, epochs=2, steps_per_epoch=4),
    "carry over epochs": TrainingPlan(
        batch_size=600, epochs=2, steps_per_epoch=4, remainder="carry", epoch_iterator="continue"
    ),
}


@pytest.fixture(params=["numpy", "torch", "tensorflow"])
def adapter(request):
    return registry.load(request.param)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_pipeline_begins_anywhere(adapter, plan):
    def batches(start=None):
        pipeline = adapter.pipeline(plan, find_task("digits-mlp"), RUNTIME)
        if start is not None:
            pipeline.start = start
        return [(b.place, np.asarray(b.ids).tolist(), np.asarray(b.targets).tolist()) for b in pipeline]

    whole = batches()
    assert len(whole) > 1
    for k, (place, *_) in enumerate(whole[:-1]):
        assert batches(place.state()) == whole[k + 1 :]


class Stored:
    """A source of samples that are read when they are asked for."""

    def __init__(self, features, targets):
        self.features, self.targets = features, targets

    def __len__(self):
        return len(self.features)

    def take(self, ids):
        return self.features[ids], self.targets[ids]

    def fingerprint(self):
        return "0"


def test_a_batch_begins_in_memory_where_it_would_if_it_had_been_gathered_alone():
    """Else the last bits of MKL's products depend on what was gathered with it: something else where a run goes on."""
    task, plan = find_task("diabetes-regression"), TrainingPlan(batch_size=3, epochs=2, remainder="carry")
    runtime = Runtime(device="cpu", precision="float32", threads=1)
    for kept in (task, replace(task, load=lambda: Stored(*task.load()))):
        batches = islice(registry.load("torch").pipeline(plan, kept, runtime), 200)
        assert {batch.features.data_ptr() % 64 for batch in batches} == {0}


class Recorder:
    """Keeps the rows."""

    def __init__(self):
        self.rows = []

    def step(self, *, ids, epoch, step_in_epoch, **_):
        self.rows.append((ids.tolist(), epoch, step_in_epoch))

    def validation(self, **_):
        pass


def stopped_after(k, drive):
    """The position and the weights of that run after k steps."""
    over = drive.course.over
    drive.course.over = lambda place, window: over(place, window) or window.steps == k
    return drive().copy(), drive.state()


def test_a_run_goes_on():
    """Without momentum a run's state is its weights and its position, where no window is open."""
    adapter, task = registry.load("numpy"), find_task("digits-mlp")
    task = replace(task, optimizer=SGD(0.1))
    plan = TrainingPlan(batch_size=200, epochs=3, gradient_accumulation_steps=2, validation_every=1)
    whole = Drive(adapter, plan, task, RUNTIME, recorded := Recorder())
    weights = whole()
    assert len(recorded.rows) == 27
    assert whole.state().over
    for k in (2, 9, 18, 20):
        kept, position = stopped_after(k, Drive(adapter, plan, task, RUNTIME, Recorder()))
        resumed = Drive(adapter, plan, task, RUNTIME, rest := Recorder())
        resumed.restore(Position.from_dict(position.to_dict()))
        for name, values in resumed.train_step.model.parameters.items():
            values[...] = kept[name]
        final = resumed()
        assert rest.rows == recorded.rows[k:]
        assert all(np.array_equal(final[name], values) for name, values in weights.items())
        assert resumed.state() == whole.state()
    over = Drive(adapter, plan, task, RUNTIME, nothing := Recorder())
    over.restore(whole.state())
    over()
    assert nothing.rows == []
