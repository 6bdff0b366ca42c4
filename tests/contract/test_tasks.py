"""The built-in tasks: torch and TensorFlow compute the same, draw nothing, and learn what the tasks' texts state."""

import dataclasses
import importlib
import random
from pathlib import Path

import numpy as np
import pytest
from proof.quality import FRAMEWORKS, STATED, quality

import xframe
from xframe.running import registry
from xframe.tasks import layers
from xframe.tasks.lookup import BUILT_IN, find_task
from xframe.testing import observe
from xframe.testing.contract import bare_weights

NATIVE = Path(__file__).parents[1] / "native"
NEW = ["digits-cnn", "rows-lstm", "tiny-transformer", "diabetes-regression"]
LOOPS = {"torch": "eager", "tensorflow": "function"}
CPU = xframe.Runtime(device="cpu")
PLAN = xframe.TrainingPlan(batch_size=32, steps=20)
ENDS_SHORT = xframe.TrainingPlan(batch_size=64, epochs=1)  # 1,437 samples: the last batch has 29


@pytest.fixture(scope="module", autouse=True)
def _imported():
    for name in FRAMEWORKS:
        registry.load(name).probe()


def both(task, plan, folder, precision):
    runs = [
        observe(registry.load(name), plan, task, folder / f"{name}.trace", precision=precision) for name in FRAMEWORKS
    ]
    assert len(runs[0].column("loss")) == len(runs[1].column("loss")) > 0
    return runs


def distances(runs):
    """By how much losses differ, and weights, as a part of the weight's greatest."""
    losses, (first, second) = [run.column("loss") for run in runs], [run.weights() for run in runs]
    assert first.keys() == second.keys()
    weights = [np.abs(first[name] - second[name]).max() / np.abs(first[name]).max() for name in first]
    return np.abs(losses[0] - losses[1]).max(), max(weights)


@pytest.mark.parametrize("name", NEW)
def test_frameworks_agree_in_float64(name, tmp_path):
    task = find_task(name)
    runs = both(task, PLAN, tmp_path, "float64")
    loss, weights = distances(runs)
    assert loss < 1e-12  # measured: 4e-15
    assert weights < 1e-12  # measured: 6e-15
    initial, final = task.weights(), runs[0].weights()
    assert all(not np.array_equal(initial[weight], final[weight]) for weight in initial), "a weight was never trained"


@pytest.mark.parametrize("name", NEW)
def test_frameworks_agree_in_float32(name, tmp_path):
    runs = both(find_task(name), xframe.TrainingPlan(batch_size=32, epochs=1), tmp_path, "float32")
    comparison = xframe.compare(*runs)
    assert comparison, str(comparison)
    loss, weights = distances(runs)
    assert loss < 2e-5  # measured: 2e-6
    assert weights < 5e-5  # measured: 3e-6


SMALL = {
    "wide kernel": ((6, 5, 2), (layers.Conv2D(3, 5, "tanh"), layers.Flatten(), layers.Dense(3))),
    "valid": (
        (6, 5, 2),
        (layers.Conv2D(3, 3, padding="valid"), layers.MaxPool2D(2), layers.Flatten(), layers.Dense(3)),
    ),
    "norms of features": (
        (7,),
        (layers.Dense(5, use_bias=False), layers.BatchNorm(0.5, 1e-3), layers.LayerNorm(1e-3), layers.Dense(3)),
    ),
    "momentum 0": ((7,), (layers.BatchNorm(0.0), layers.Activation("tanh"), layers.Dense(3))),
    "heads that no power of 4 divides": ((4, 6), (layers.TransformerBlock(2, 5), layers.Flatten(), layers.Dense(3))),
}


def small(shape, model, **changes):
    from xframe.tasks.initial import initial_weights

    random_numbers = np.random.RandomState(0)
    features, targets = random_numbers.uniform(-1, 1, (11, *shape)), random_numbers.randint(3, size=11)
    values = {
        "name": "small",
        "num_samples": 11,
        "load": lambda: (features, targets),
        "initial_weights": lambda: initial_weights(model, shape),
        "loss": "softmax_cross_entropy",
        "optimizer": xframe.SGD(0.1, momentum=0.9),
        "layers": model,
        "input_shape": shape,
    }
    return xframe.Task(**values | changes)


@pytest.mark.parametrize(("shape", "model"), SMALL.values(), ids=SMALL)
def test_other_settings_agree_too(shape, model, tmp_path):
    loss, weights = distances(
        both(small(shape, model), xframe.TrainingPlan(batch_size=4, epochs=2), tmp_path, "float64")
    )
    assert loss < 1e-12
    assert weights < 1e-12


def test_the_running_variance_is_that_of_the_batches(tmp_path):
    """Worked out here: divided by N, in torch too."""
    task = small((7,), (layers.BatchNorm(0.75), layers.Dense(3)))
    plan = xframe.TrainingPlan(batch_size=4, epochs=1, order="sequential")
    mean, variance = np.zeros(7), np.ones(7)
    for start in (0, 4, 8):
        batch = task.load()[0][start : start + 4]
        mean, variance = 0.75 * mean + 0.25 * batch.mean(axis=0), 0.75 * variance + 0.25 * batch.var(axis=0)
    for run in both(task, plan, tmp_path, "float64"):
        weights = run.weights()
        assert np.allclose(weights["batchnorm_0/mean"], mean, rtol=1e-13, atol=1e-15)
        assert np.allclose(weights["batchnorm_0/variance"], variance, rtol=1e-13, atol=0)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", NEW)
def test_lowering_draws_no_random_numbers(name, framework):
    import tensorflow as tf
    import torch

    task, adapter = find_task(name), registry.load(framework)
    task.weights(), task.data("float32")
    tf.random.set_seed(1)
    first = tf.random.uniform([4]).numpy()
    tf.random.set_seed(1)
    before = random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002
    adapter.train_step(PLAN, task, CPU)
    assert (random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()) == before  # noqa: NPY002
    assert np.array_equal(tf.random.uniform([4]).numpy(), first)


@pytest.mark.parametrize("framework", ["numpy", *FRAMEWORKS])
def test_every_layer_is_lowered(framework):
    lowered = importlib.import_module(f"xframe_{framework}.layers")
    assert lowered.LOWER.keys() == set(layers.KINDS)


class Swish(layers.Layer):
    """A layer that the tasks have and no adapter lowers."""


@pytest.mark.parametrize("framework", ["numpy", *FRAMEWORKS])
def test_what_an_adapters_own_table_lacks_is_refused_by_name(framework):
    task = dataclasses.replace(find_task("digits-mlp"), layers=(layers.Dense(4), Swish()), input_shape=(64,))
    (reason,) = registry.load(framework).check(PLAN, task, CPU)
    assert reason.startswith("layer Swish is not one of its layers (Dense")


def test_an_adapter_takes_all_tasks_that_are_built_in():
    for framework in ("numpy", *FRAMEWORKS):
        assert all(registry.load(framework).check(PLAN, find_task(name), CPU) == [] for name in BUILT_IN)


def test_tensorflow_refuses_strides_with_dilation():
    """By name, as Keras has no such layer; the others do it."""
    model = (layers.Conv2D(2, 3, strides=2, dilation=2), layers.Flatten(), layers.Dense(3))
    task = small((8, 8, 1), model)
    assert registry.load("tensorflow").check(PLAN, task, CPU) == [
        "Keras has no Conv2D with strides and dilation both above 1"
    ]
    assert all(registry.load(framework).check(PLAN, task, CPU) == [] for framework in ("numpy", "torch"))


def test_what_crashes_on_the_cpu_is_refused():
    """oneDNN writes outside its memory there, in both frameworks."""
    model = (layers.ConvTranspose2D(2, 1, strides=2), layers.Flatten(), layers.Dense(3))
    for framework in FRAMEWORKS:
        (reason,) = registry.load(framework).check(PLAN, small((3, 3, 1), model), CPU)
        assert reason.startswith("ConvTranspose2D with kernel_size 1 and strides above 1 makes oneDNN write outside")


def test_torch_refuses_an_lstm_where_it_has_none():  # and the others of its family
    torch, task = registry.load("torch"), find_task("rows-lstm")
    for fields, refusal in (
        ({"loop": "compile"}, "torch.compile does not take an LSTM"),
        ({"precision": "mixed_float16"}, "torch has no LSTM in float16 on the CPU"),
    ):
        assert refusal in torch.check(PLAN, task, xframe.Runtime(device="cpu", **fields))
        assert refusal not in torch.check(PLAN, find_task("digits-cnn"), xframe.Runtime(device="cpu", **fields))


def test_a_builder_may_name_buffers(tmp_path):
    """torch replaces them when a module is cast; what is recorded is what was trained."""

    def build():
        import torch

        norm, linear = torch.nn.BatchNorm1d(7), torch.nn.Linear(7, 3)
        held = {"norm/mean": norm.running_mean, "norm/scale": norm.weight, "norm/bias": norm.bias}
        held |= {"linear/kernel": xframe.Parameter(linear.weight, (1, 0)), "linear/bias": linear.bias}
        return xframe.NativeModel(torch.nn.Sequential(norm, linear), held)

    shapes = {"norm/mean": 7, "norm/scale": 7, "norm/bias": 7, "linear/kernel": (7, 3), "linear/bias": 3}
    weights = {name: np.full(shape, 0.1) for name, shape in shapes.items()}
    task = small((7,), (), builders={"torch": build}, initial_weights=lambda: weights, input_shape=None)
    plan = xframe.TrainingPlan(batch_size=11, steps=1)
    final = observe(registry.load("torch"), plan, task, tmp_path / "a.trace", precision="float64").weights()
    assert np.allclose(final["norm/mean"], 0.9 * 0.1 + 0.1 * task.load()[0].mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_recorded_cnn_ends_where_the_bare_one_does(framework, tmp_path):
    task, twin, loop = find_task("digits-cnn"), NATIVE / f"{framework}_cnn.py", LOOPS[framework]
    weights = observe(
        registry.load(framework), ENDS_SHORT, task, tmp_path / "a.trace", precision="float32", loop=loop
    ).weights()
    expected = bare_weights(twin, ENDS_SHORT, tmp_path, loop, "digits-cnn")
    assert weights.keys() - expected.keys() == {"batchnorm_0/mean", "batchnorm_0/variance"}
    for name, values in expected.items():
        assert np.array_equal(weights[name], values), f"{name} is not bit-equal to the bare run's"


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", STATED)
def test_a_task_learns(name, framework):
    value, _ = quality(name, framework, short=True)
    assert STATED[name].good(value, short=True), f"{STATED[name].measure} {value}"
