"""Layers in torch and TensorFlow are NumPy's formulas in float64: a small sample of ``tests/proof/layers.py``."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from proof.layers import DRAWN, RUN, case, distances, filled, in_numpy

import xframe
from xframe.running import registry
from xframe.state.file import read_state, write_state
from xframe.tasks import layers
from xframe.tasks.initial import initial_weights
from xframe.testing import observe


@pytest.fixture(scope="module", autouse=True)
def _imported():
    import keras

    registry.load("tensorflow").probe()
    before = keras.config.floatx(), keras.config.dtype_policy().name
    for name in RUN:
        registry.load(name).probe()
        registry.load(name).configure(xframe.Runtime(device="cpu", precision="float64", threads=1))
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kind", layers.KINDS, ids=lambda kind: kind.__name__)
def test_a_layer_is_the_formula_that_it_states(kind):
    one = case(kind, Random(f"sample {kind.__name__}"))
    for framework, run in RUN.items():
        for precision in ("float64", "float32"):
            found = distances(one, precision, run)
            assert found.share <= 1, f"{framework} in {precision}: {one.at.layer} of {one.at.inputs}: {found}"


def test_every_layer_with_settings_is_drawn():
    assert {kind for kind in layers.KINDS if kind not in DRAWN} == {
        layers.Flatten,
        layers.Position,
        layers.GlobalAveragePool2D,
    }


WRONG = {
    "the slope": ((5,), layers.LeakyReLU(0.3), layers.LeakyReLU(0.3 + 1e-10)),
    "epsilon": ((4, 5), layers.LayerNorm(1e-5), layers.LayerNorm(1.0001e-5)),
    "momentum": ((5,), layers.BatchNorm(0.9), layers.BatchNorm(0.1)),
    "which function": ((5,), layers.Activation("gelu"), layers.Activation("gelu_tanh")),
    "padding that gives the same shape": (
        (8, 2),
        layers.Conv1D(2, 3, strides=2),
        layers.Conv1D(2, 3, "linear", 1, True, 2),
    ),
    "what the mean counts": ((4, 4, 2), layers.AveragePool2D(2, padding=1), layers.AveragePool2D(2, None, 1, True)),
    "the mask": ((9,), layers.Dropout(0.5, seed=1), layers.Dropout(0.5, seed=2)),
}


@pytest.mark.parametrize(("inputs", "right", "wrong"), WRONG.values(), ids=WRONG)
def test_a_different_formula_is_found(inputs, right, wrong):
    """The bounds let no near relative of a layer pass, with the same weights."""
    one, other = (filled(layers.place((layer,), inputs)[0], seed=0) for layer in (right, wrong))
    assert distances(one, "float64", RUN["torch"]).share <= 1
    assert distances(one, "float64", lambda *_: in_numpy(other)).share > 1
    assert one.weights.keys() == other.weights.keys()


# Dropout


def dropped(rate=0.5):
    model = (layers.Dense(16, "tanh"), layers.Dropout(rate, seed=7), layers.Dense(8, "tanh"), layers.Dropout(rate))
    model = (*model, layers.Dense(3))
    draw = np.random.RandomState(0)
    features, targets = draw.uniform(-1, 1, (40, 5)), draw.randint(3, size=40)
    return xframe.Task(
        name="dropped",
        num_samples=40,
        load=lambda: (features, targets),
        initial_weights=lambda: initial_weights(model, (5,)),
        loss="softmax_cross_entropy",
        optimizer=xframe.SGD(0.1, momentum=0.9),
        layers=model,
        input_shape=(5,),
        validation=lambda: (features[:9], targets[:9]),
        num_validation=9,
    )


LOOPS = {"numpy": ["eager"], "torch": ["eager", "loader"], "tensorflow": ["block", "xla", "fit"]}


def test_dropout_is_the_same_in_every_loop(tmp_path):
    """Masks, where updates accumulate too, and none in validation; the steps are counted by the layer itself."""
    plan = xframe.TrainingPlan(batch_size=6, epochs=2, gradient_accumulation_steps=2, validation_every=1)
    plan = replace(plan, accumulation_remainder="carry", loss_normalization="window")
    task, runs = dropped(), {}
    for framework, loops in LOOPS.items():
        adapter = registry.load(framework)
        for loop in loops:
            refused = adapter.check(plan, task, xframe.Runtime(device="cpu", loop=loop, precision="float64"))
            assert not refused, f"{framework}:{loop} {refused}"
            trace = tmp_path / f"{framework}-{loop}.trace"
            runs[framework, loop] = observe(adapter, plan, task, trace, precision="float64", loop=loop)
    expected = runs["numpy", "eager"]
    for name, run in runs.items():
        weights = run.weights()
        assert weights["dropout_0/step"] == weights["dropout_1/step"] == len(run.column("loss")) == 14, name
        for weight, values in expected.weights().items():
            assert np.allclose(weights[weight], values, rtol=0, atol=1e-13), (name, weight)
        assert np.allclose(run.column("loss"), expected.column("loss"), rtol=0, atol=1e-13), name


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_a_state_has_the_step_that_masks_follow_from(framework, tmp_path):
    """A whole number of no dimensions, through a file and back; a step that is restored to it goes on from there."""
    adapter, plan = registry.load(framework), xframe.TrainingPlan(batch_size=6, steps=5)
    first, again = (adapter.train_step(plan, dropped(), xframe.Runtime(device="cpu")) for _ in range(2))
    held = first.state()
    assert held.buffers.keys() == {"dropout_0/step", "dropout_1/step"}
    later = replace(held, buffers={name: np.array(41) for name in held.buffers})
    write_state(tmp_path / "later", later)
    again.restore(read_state(tmp_path / "later"))
    assert {name: values.tolist() for name, values in again.state().buffers.items()} == dict.fromkeys(held.buffers, 41)


def test_a_mask_is_as_often_kept_as_stated_and_depends_on_all_that_it_names():
    rows, elements = np.arange(200)[:, None], layers.dropout.spread(np.arange(500))
    one = layers.Dropout(0.3, seed=5, name="a")
    kept = one.mask.kept(0, rows, elements)
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.21 / kept.size)
    others = [
        one.mask.kept(1, rows, elements),
        one.mask.kept(0, rows + 1, elements),
        one.mask.kept(0, rows, layers.dropout.spread(np.arange(1, 501))),
        replace(one, seed=6).mask.kept(0, rows, elements),
        replace(one, seed=5 + 2**32).mask.kept(0, rows, elements),
        replace(one, name="b").mask.kept(0, rows, elements),
    ]
    for other in others:
        together = ((kept - 0.7) * (other - 0.7)).mean() / 0.21
        assert abs(together) < 5 / np.sqrt(kept.size)
    assert np.array_equal(others[1][:-1], kept[1:])
    assert np.array_equal(others[2][:, :-1], kept[:, 1:])


def test_mixing_is_a_permutation_that_is_stated():
    assert [layers.dropout.mix(x) for x in (0, 1, 2**32 - 1)] == MIXED
    numbers = layers.dropout.mix(np.arange(2**16, dtype=np.int64))
    assert len(set(numbers.tolist())) == 2**16
    assert numbers.max() < 2**32


MIXED = [0, 2261973619, 2578835075]
