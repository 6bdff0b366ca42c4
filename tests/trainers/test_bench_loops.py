"""The loops that ``xframe bench`` measures do what they say: a step for each batch, and an update for each step."""

import warnings

import keras
import pytest
import tensorflow as tf
from torch.optim.optimizer import register_optimizer_step_post_hook

from xframe.bench.worker import Workload, loops_of
from xframe.running import registry
from xframe.tasks.lookup import find_task

TASK = find_task("xframe.tasks.builtin.bench_mlp:task")


class EnoughError(Exception):
    """Ends a loop that never ends, from inside its trainer."""


class TwoEpochs:
    """A gate that ends the loop at its second meeting; ``seen`` are the steps reported and the updates made by then."""

    def __init__(self, updates):
        self.updates, self.steps, self.seen = updates, 0, []

    def meet(self, steps):
        self.steps += steps
        self.seen.append((self.steps, self.updates()))
        if len(self.seen) == 2:
            raise EnoughError


def train(adapter, name, folder, updates):
    """What a gate sees of two epochs of that loop."""
    (loop,) = (loop for loop in loops_of(registry.load(adapter), TASK) if loop.name == name)
    gate = TwoEpochs(updates)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(EnoughError):
            loop.train(Workload(TASK, 32, folder), gate)
    return gate.seen


def names(adapter):
    found = [loop.name for loop in loops_of(registry.load(adapter), TASK)]
    assert found
    return found


@pytest.mark.parametrize("name", names("torch"))
def test_torch(name, tmp_path):
    made = []
    hook = register_optimizer_step_post_hook(lambda *_: made.append(1))
    try:
        assert train("torch", name, tmp_path, lambda: len(made)) == [(200, 200), (400, 400)]
    finally:
        hook.remove()


@pytest.mark.parametrize("name", names("tensorflow"))
def test_tensorflow(name, tmp_path, monkeypatch):
    optimizers = []

    class SGD(keras.optimizers.SGD):
        def __init__(self, *given, **more):
            super().__init__(*given, **more)
            optimizers.append(self)

    monkeypatch.setattr(keras.optimizers, "SGD", SGD)
    for owner, setter in (  # TensorFlow takes them once in a process
        (tf.config.threading, "set_intra_op_parallelism_threads"),
        (tf.config.threading, "set_inter_op_parallelism_threads"),
        (tf.config, "set_visible_devices"),
    ):
        monkeypatch.setattr(owner, setter, lambda *_: None)
    seen = train("tensorflow", name, tmp_path, lambda: int(optimizers[0].iterations.numpy()))
    assert len(optimizers) == 1
    assert seen == [(200, 200), (400, 400)]
