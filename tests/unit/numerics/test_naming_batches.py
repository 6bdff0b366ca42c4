"""Batches and running statistics: what was done to them is named, first and proven, and of clean ones nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xframe.numerics.naming.batches import named_batch
from xframe.numerics.naming.buffers import named_buffers
from xframe.numerics.naming.causes import explain
from xframe.state.record import Record
from xframe.state.state import State
from xframe.tasks import layers
from xframe.tasks.layers import place
from xframe.tasks.lookup import find_task

RNG = np.random.default_rng(11)
IMAGES = RNG.random((5, 4, 4, 3))
CLASSES = np.array([0, 2, 1, 2, 0])
ROWS = RNG.normal(1.5, 2, (8, 3))
BEFORE = {"mean": RNG.normal(size=3), "variance": RNG.random(3) + 0.5}

FEATURES = {
    "features-scaled": IMAGES / 255,
    "features-scaled and shifted": 2 * IMAGES - 1,
    "features-shifted": IMAGES - 0.5,
    "features-normalised": (IMAGES - np.array([0.5, 0.4, 0.3])) / np.array([0.2, 0.3, 0.1]),
    "features-transposed": IMAGES.swapaxes(1, 2),
    "features-transposed, channels first": IMAGES.transpose(0, 3, 1, 2),
    "features-transposed, reshaped": IMAGES.transpose(0, 3, 1, 2).reshape(IMAGES.shape),
    "features-flipped": IMAGES[..., ::-1],
    "features-of-other-rows": IMAGES[[1, 2, 3, 4, 0]],
    "features-rounded": IMAGES.astype(np.float16),
    "features-shifted-along": np.roll(IMAGES, 1, axis=1),
}
TARGETS = {
    "targets-of-other-rows": CLASSES[[1, 2, 0, 3, 4]],
    "targets-one-hot": np.eye(3)[CLASSES],
    "targets-shifted": CLASSES + 1,
    "targets-scaled": 1 - CLASSES,
    "targets-renumbered": (CLASSES + 1) % 3,
}


def batch(name, values):
    return Record(0, State({}, precision="float64"), {"batch": {name: values}})


@pytest.mark.parametrize("what", [*FEATURES, *TARGETS])
def test_what_was_done_to_a_batch_is_named(what):
    name = what.partition("-")[0]
    own, wrong = (IMAGES, FEATURES) if name == "features" else (CLASSES, TARGETS)
    (first, *others) = named_batch(batch(name, own), batch(name, wrong[what]), name)
    assert first.proven
    assert first.settings["changes"] == (what.partition(",")[0].partition(" ")[0],)
    assert {one.settings["changes"] for one in others if one.proven} <= {first.settings["changes"]}


def test_a_clean_batch_is_as_it_is_and_noise_is_not_explained():
    (first, *_) = named_batch(batch("features", IMAGES), batch("features", IMAGES))
    assert first.proven
    assert first.settings["changes"] == ()
    noise = named_batch(batch("features", IMAGES), batch("features", RNG.random(IMAGES.shape)))
    assert not any(one.proven for one in noise)
    assert named_batch(batch("features", IMAGES), Record(0)) == []


def moved(keep, *, unbiased=False, times=1, rows=ROWS):
    left = dict(BEFORE)
    for _ in range(times):
        seen = {"mean": rows.mean(0), "variance": rows.var(0, ddof=unbiased)}
        left = {name: keep * left[name] + (1 - keep) * seen[name] for name in left}
    return left


def by_torch():
    """torch's own BatchNorm with its momentum, 0.1 of what is new, and its variance."""
    norm = torch.nn.BatchNorm1d(3, momentum=0.1).double()
    with torch.no_grad():
        norm.running_mean.copy_(torch.tensor(BEFORE["mean"]))
        norm.running_var.copy_(torch.tensor(BEFORE["variance"]))
        norm(torch.tensor(ROWS))
    return {"mean": norm.running_mean.numpy(), "variance": norm.running_var.numpy()}


BUFFERS = {
    (): moved(0.9),
    ("running-momentum-inverted",): moved(0.1),
    ("running-variance-unbiased",): by_torch(),
    ("running-momentum-inverted", "running-variance-unbiased"): moved(0.1, unbiased=True),
    ("buffers-not-updated",): BEFORE,
    ("buffers-updated-twice",): moved(0.9, times=2),
    ("running-momentum",): moved(0.9001),
    ("running-momentum", "running-variance-unbiased"): moved(0.99, unbiased=True),
}


def state(left):
    return State({}, buffers={f"batchnorm_0/{name}": values for name, values in left.items()}, precision="float64")


@pytest.mark.parametrize("changes", BUFFERS)
def test_what_was_done_to_running_statistics_is_named(changes):
    (placed,) = place([layers.BatchNorm(momentum=0.9)], (3,))
    record = Record(0, state(BEFORE), {}, state(BUFFERS[changes]))
    (first, *others) = named_buffers(record, placed, ROWS)
    assert first.proven
    assert first.settings["changes"] == changes
    assert all(len(one.settings["changes"]) > len(changes) for one in others if one.proven)
    if changes == ("running-momentum",):
        assert first.settings["momentum"] == pytest.approx(0.9001, rel=1e-9)


TASK = replace(
    find_task("digits-mlp"),
    layers=(layers.Dense(4), layers.BatchNorm(), layers.Dense(3)),
    input_shape=(3,),
    loss="softmax_cross_entropy",
)


def stepped(changed=None, **layer):
    """A step's record as far as the loss, by NumPy, of a task that may be changed."""
    from xframe_numpy.layers import LOWER
    from xframe_numpy.losses import lowered

    task = replace(TASK, layers=(layers.Dense(4), replace(layers.BatchNorm(), **layer), layers.Dense(3)))
    placed, rng = task.placed({}), np.random.default_rng(5)
    held = {f"{one.name}/{name}": rng.random(shape) + 0.5 for one in placed for name, shape in one.weights.items()}
    begun = State(
        parameters={name: one for name, one in held.items() if "batchnorm_0/mean" != name != "batchnorm_0/variance"},
        buffers={name: held[name] for name in ("batchnorm_0/mean", "batchnorm_0/variance")},
        precision="float64",
    )
    x, forward, buffers = ROWS, {}, {}
    for one in placed:
        own = {name: held[f"{one.name}/{name}"] for name in one.weights}
        passed = LOWER[type(one.layer)](one.layer, own, x, True)
        forward[f"{one.name}/outputs"] = x = passed.outputs
        buffers |= {f"{one.name}/{name}": values for name, values in passed.moved.items()}
    targets = np.arange(8) % 3
    loss, slope = lowered("softmax_cross_entropy")(x, targets)
    stages = {
        "batch": {"features": ROWS, "targets": targets, "ids": np.arange(8)},
        "forward": {**forward, "outputs": x},
        "loss": {"loss": np.asarray(loss), "slope": slope},
        "buffers": buffers,
    }
    return Record(0, begun, stages | ({} if changed is None else changed(stages)))


def test_causes_of_clean_sides_are_none():
    assert explain(stepped(), stepped(), task=TASK) == ()


def test_each_stage_that_differs_has_its_cause():
    names = ("numpy", "torch")
    (cause,) = explain(stepped(), stepped(momentum=0.1), task=TASK, names=names)
    assert (cause.name, cause.certainty, cause.stage) == ("running-momentum-inverted", "proven", "buffers")
    assert "torch computes it with one change" in cause.sentence
    summed = {"loss": lambda stages: {"loss": stages["loss"]["loss"] * 8, "slope": stages["loss"]["slope"] * 8}}
    (cause,) = explain(stepped(), stepped(lambda stages: {"loss": summed["loss"](stages)}), task=TASK, names=names)
    assert (cause.name, cause.certainty, cause.stage) == ("loss-reduction", "proven", "loss")
    assert "reduction" in cause.fix["torch"]
    scaled = stepped(lambda stages: {"batch": {**stages["batch"], "features": ROWS / 255}})
    assert [one.name for one in explain(stepped(), scaled, task=TASK)] == ["features-scaled"]
    other = stepped(lambda stages: {"batch": {**stages["batch"], "features": ROWS / 255, "ids": np.arange(1, 9)}})
    assert explain(stepped(), other, task=TASK) == ()


@pytest.mark.parametrize("sides", [0, 1])
def test_a_layer_that_differs_has_its_cause_whichever_side_it_is(sides):
    records = [stepped(), stepped(epsilon=1e-3)]
    reference, candidate = records[:: 1 if sides else -1]
    candidate = replace(candidate, stages={**candidate.stages, "buffers": reference.stages["buffers"]})
    causes = explain(reference, candidate, task=TASK, names=("one", "other"))
    (cause,) = [one for one in causes if one.stage == "forward"]
    assert (cause.name, cause.certainty, cause.tensor) == ("norm-epsilon", "proven", "batchnorm_0/outputs")
    assert ("other computes" if sides else "one computes") in cause.sentence
    assert "epsilon 0.001" in cause.sentence


@pytest.mark.parametrize(
    "shape", [(8,), (8, 1), (1, 6), (2, 6), (3, 2), (1, 1), (8, 1, 8, 8), (1, 1, 2, 2), (3, 2, 1)], ids=str
)
def test_of_unrelated_batches_nothing_is_proven(shape):
    ours, theirs = (Record(0, stages={"batch": {"features": RNG.random(shape)}}) for _ in range(2))
    assert [one.text for one in named_batch(ours, theirs) if one.proven] == []
