"""What a layer was computed as is named: each known change first and proven, a clean one as stated."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from proof.layers import case
from torch import nn
from torch.nn import functional
from xframe_numpy.layers import LOWER

from xframe.numerics.naming.forward import _made, computed, named_forward
from xframe.numerics.naming.layer_changes import ways
from xframe.state.record import Record
from xframe.state.state import State
from xframe.tasks import layers
from xframe.tasks.layers import place

RNG = np.random.default_rng(3)
IMAGES, SERIES, ROWS = RNG.normal(size=(4, 6, 6, 3)), RNG.normal(size=(5, 7, 4)), RNG.normal(size=(9, 6))


def tensor(array, *axes):
    return torch.tensor(np.ascontiguousarray(array.transpose(axes) if axes else array))


def drawn(placed):
    """Weights of a layer; a variance above 0."""
    weights = {name: RNG.normal(size=shape) for name, shape in placed.weights.items()}
    return {name: np.abs(one) + 0.5 if name == "variance" else one for name, one in weights.items()} | (
        {"step": np.asarray(3)} if "step" in weights else {}
    )


def sides(layer, inputs, outputs, precision="float64", weights=None):
    """The records of a reference that computes the layer and of a candidate that gives those outputs."""
    (placed,) = place([layer], inputs.shape[1:])
    own = drawn(placed) if weights is None else weights
    state = State(parameters={f"{placed.name}/{name}": one for name, one in own.items()}, precision=precision)
    made = outputs(own) if callable(outputs) else outputs
    stages = {"batch": {"features": inputs}}
    clean = computed(placed.layer, own, inputs)
    records = [Record(0, state, {**stages, "forward": {f"{placed.name}/outputs": one}}) for one in (clean, made)]
    return (*records, [placed])


def recurrent(kind, weights, inputs, order, units, **settings):
    """torch's own recurrent layer on weights whose gates are in that order."""
    own = kind(inputs.shape[-1], units, **{"batch_first": True, **settings}).double()
    places = np.concatenate([np.arange(units) + place * units for place in order])
    with torch.no_grad():
        own.weight_ih_l0.copy_(tensor(weights["kernel"][:, places].T))
        own.weight_hh_l0.copy_(tensor(weights["recurrent"][:, places].T))
        own.bias_ih_l0.copy_(tensor(weights["bias"][places]))
        own.bias_hh_l0.copy_(tensor(weights.get("recurrent_bias", 0 * weights["bias"])[places]))
        return own(tensor(inputs))[0].numpy()


def conv(weights, x, kernel=None, **settings):
    kernel = weights["kernel"] if kernel is None else kernel
    y = functional.conv2d(tensor(x, 0, 3, 1, 2), tensor(kernel, 3, 2, 0, 1), tensor(weights["bias"]), **settings)
    return y.numpy().transpose(0, 2, 3, 1)


def norm(x, weights, epsilon=1e-5, axes=(0,), ddof=0):
    root = np.sqrt(x.var(axis=axes, keepdims=True, ddof=ddof) + epsilon)
    return (x - x.mean(axis=axes, keepdims=True)) / root * weights["scale"] + weights["bias"]


def pooled(x, **settings):
    return functional.avg_pool2d(tensor(x, 0, 3, 1, 2), 3, 2, **settings).numpy().transpose(0, 2, 3, 1)


DROPOUT = layers.Dropout(0.3, seed=1)
MASK = RNG.random(ROWS.shape) < 0.7
CONV = layers.Conv2D(4, 3, padding="same", strides=2)
PLANTED = {  # the change's word: the layer, its inputs, and what was computed of its weights
    "padding-side": (CONV, IMAGES, lambda w: conv(w, IMAGES, stride=2, padding=1)),
    "padding-side at the start": (
        CONV,
        IMAGES,
        lambda w: conv(w, np.pad(IMAGES, ((0, 0), (1, 0), (1, 0), (0, 0))), stride=2),
    ),
    "kernel-transposed": (CONV, IMAGES, lambda w: conv(w, _padded(), w["kernel"].swapaxes(0, 1), stride=2)),
    "kernel-flipped": (CONV, IMAGES, lambda w: conv(w, _padded(), w["kernel"][::-1, ::-1], stride=2)),
    "kernel-transposed dense": (layers.Dense(6), ROWS, lambda w: ROWS @ w["kernel"].T + w["bias"]),
    "bias-counted-twice": (layers.Dense(4), ROWS, lambda w: ROWS @ w["kernel"] + 2 * w["bias"]),
    "activation": (layers.Dense(4, "relu"), 9 * ROWS, lambda w: np.clip(9 * ROWS @ w["kernel"] + w["bias"], 0, 6)),
    "activation-absent": (layers.Dense(4, "tanh"), ROWS, lambda w: ROWS @ w["kernel"] + w["bias"]),
    "gelu-form": (
        layers.Activation("gelu"),
        ROWS,
        lambda w: functional.gelu(tensor(ROWS), approximate="tanh").numpy(),
    ),
    "leaky-slope": (layers.LeakyReLU(0.3), ROWS, lambda w: functional.leaky_relu(tensor(ROWS), 0.17).numpy()),
    "elu-alpha": (layers.ELU(), ROWS, lambda w: functional.elu(tensor(ROWS), 0.6).numpy()),
    "gates-swapped": (
        layers.LSTM(3, return_sequences=True),
        SERIES,
        lambda w: recurrent(nn.LSTM, w, SERIES, (0, 2, 1, 3), 3),
    ),
    "gates-swapped of a GRU": (layers.GRU(3), SERIES, lambda w: recurrent(nn.GRU, w, SERIES, (1, 0, 2), 3)[:, -1]),
    "bias-counted-twice of an LSTM": (
        layers.LSTM(3),
        SERIES,
        lambda w: recurrent(nn.LSTM, {**w, "recurrent_bias": w["bias"]}, SERIES, (0, 1, 2, 3), 3)[:, -1],
    ),
    "reset-after": (
        layers.GRU(3, reset_after=False),
        SERIES,
        lambda w: recurrent(nn.GRU, w, SERIES, (0, 1, 2), 3)[:, -1],
    ),
    "batch-and-sequence-swapped": (
        layers.LSTM(3),
        SERIES,
        lambda w: recurrent(nn.LSTM, w, SERIES, (0, 1, 2, 3), 3, batch_first=False)[:, -1],
    ),
    "flatten-channels-first": (layers.Flatten(), IMAGES, lambda w: IMAGES.transpose(0, 3, 1, 2).reshape(4, -1)),
    "norm-epsilon": (layers.BatchNorm(), ROWS, lambda w: norm(ROWS, w, 1e-3)),
    "norm-epsilon fitted": (layers.LayerNorm(), ROWS, lambda w: norm(ROWS, w, 0.00234, axes=(1,))),
    "variance-unbiased": (layers.BatchNorm(), ROWS, lambda w: norm(ROWS, w, ddof=1)),
    "evaluation-mode": (
        layers.BatchNorm(),
        ROWS,
        lambda w: (ROWS - w["mean"]) / np.sqrt(w["variance"] + 1e-5) * w["scale"] + w["bias"],
    ),
    "dropout-absent": (DROPOUT, ROWS, lambda w: ROWS),
    "dropout-mask": (DROPOUT, ROWS, lambda w: ROWS * MASK / 0.7),
    "dropout-unscaled": (DROPOUT, ROWS, lambda w: ROWS * MASK),
    "dropout-rate": (DROPOUT, ROWS, lambda w: ROWS * MASK / 0.3),
    "pooling-counts-padding": (layers.AveragePool2D(3, 2, 1), IMAGES, lambda w: pooled(IMAGES, padding=1)),
    "inputs-scaled": (layers.Dense(4, "relu"), ROWS, lambda w: np.maximum(ROWS / 255 @ w["kernel"] + w["bias"], 0)),
}


def _padded():
    return np.pad(IMAGES, ((0, 0), (0, 1), (0, 1), (0, 0)))


@pytest.mark.parametrize("what", PLANTED)
def test_each_change_is_named_first_and_proven(what):
    layer, inputs, outputs = PLANTED[what]
    dids = named_forward(*sides(layer, inputs, outputs))
    proven = {one.settings["changes"] for one in dids if one.proven}
    assert proven == {(what.partition(" ")[0],)}, [(one.text, one.distance) for one in dids]
    assert dids[0].settings["layer"] == f"{layer.kind}_0"


CLEAN = [(layer, inputs) for layer, inputs, _ in PLANTED.values()] + [
    (layers.TransformerBlock(2, 8), SERIES),
    (layers.Conv1D(3, 3, padding="causal"), SERIES),
    (layers.ConvTranspose2D(3, 3, strides=2), IMAGES),
    (layers.GroupNorm(3), IMAGES),
    (layers.RMSNorm(), ROWS),
    (layers.Embedding(9, 4), RNG.integers(0, 9, (5, 6))),
    (layers.PReLU(), ROWS),
    (layers.Upsample2D(2), IMAGES),
]


@pytest.mark.sweep
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("at", range(len(CLEAN)))
def test_a_clean_layer_is_not_named(at, precision):
    """NumPy's own in that precision is within rounding of what float64 makes of the same numbers."""
    layer, inputs = CLEAN[at]
    inputs = inputs if inputs.dtype.kind == "i" else inputs.astype(precision)
    (placed,) = place([layer], inputs.shape[1:])
    weights = {name: one if one.dtype.kind == "i" else one.astype(precision) for name, one in drawn(placed).items()}
    own = LOWER[type(layer)](placed.layer, weights, inputs, True).outputs
    assert named_forward(*sides(layer, inputs, own, precision, weights)) == []


def test_the_first_layer_that_differs_is_named():
    placed = place([layers.Dense(5, "relu"), layers.Dense(5, "gelu"), layers.Dense(2)], (6,))
    weights = {one.name: drawn(one) for one in placed}
    state = State(
        parameters={f"{layer}/{name}": values for layer, own in weights.items() for name, values in own.items()},
        precision="float64",
    )
    x, forward = ROWS, {}
    for one in placed:
        forward[f"{one.name}/outputs"] = x = computed(one.layer, weights[one.name], x)
    wrong = computed(replace(placed[1].layer, activation="gelu_tanh"), weights["dense_1"], forward["dense_0/outputs"])
    reference = Record(0, state, {"batch": {"features": ROWS}, "forward": forward})
    candidate = replace(reference, stages={"forward": {**forward, "dense_1/outputs": wrong, "dense_2/outputs": x + 1}})
    (did,) = [one for one in named_forward(reference, candidate, placed) if one.proven]
    assert (did.settings["layer"], did.settings["changes"]) == ("dense_1", ("gelu-form",))
    assert did.spec.activation == "gelu_tanh"
    assert named_forward(reference, reference, placed) == []
    assert named_forward(replace(reference, stages={}), candidate, placed) == []


@pytest.mark.sweep
@pytest.mark.parametrize("kind", layers.KINDS, ids=lambda kind: kind.__name__)
def test_nothing_wrong_is_proven(kind):
    """Drawn changes of drawn layers: what is proven alone is the one that was made."""
    random = Random(kind.__name__)
    for _ in range(3):
        at, weights, x, _ = case(kind, random)
        own = {name.rpartition("/")[2]: values for name, values in weights.items()}
        clean = computed(at.layer, own, x)
        state = State(weights, precision="float64")
        reference = Record(0, state, {"batch": {"features": x}, "forward": {f"{at.name}/outputs": clean}})
        known = list(ways(at, own, x, clean))
        for way in random.sample(known, min(3, len(known))):
            made = _made(way, at.layer, own, x)
            if made is not None and made.shape == clean.shape:
                candidate = replace(reference, stages={"forward": {f"{at.name}/outputs": made}})
                proven = {one.settings["changes"] for one in named_forward(reference, candidate, [at]) if one.proven}
                assert not proven or (way.change,) in proven, way


def test_what_nothing_explains_is_not_proven():
    layer = layers.Dense(4, "relu")
    dids = named_forward(*sides(layer, ROWS, lambda w: RNG.normal(size=(9, 4))))
    assert dids
    assert not any(one.proven for one in dids)


def test_attention_without_its_mask_is_named():
    """Of a block, whose last place sees all places anyway, with the last one first."""
    block, turned = layers.TransformerBlock(2, 8), SERIES[:, ::-1]

    def unmasked(weights):
        forwards, backwards = (computed(block, weights, one) for one in (SERIES, turned))
        assert not np.allclose(forwards[:, -1], backwards[:, 0])
        each = [computed(block, weights, np.roll(SERIES, -at - 1, axis=1))[:, -1] for at in range(SERIES.shape[1])]
        return np.stack(each, axis=1)

    dids = [one for one in named_forward(*sides(block, SERIES, unmasked)) if one.proven]
    assert [one.settings["changes"] for one in dids] == [("attention-mask",)]


@pytest.mark.parametrize(
    ("word", "made"),
    [
        ("layer-absent", lambda x: x),
        ("outputs-scaled", lambda x: 1.001 * np.tanh(x)),
        ("lower-precision", lambda x: np.tanh(x.astype("f4")).astype(float)),
        ("layer-twice", lambda x: np.tanh(np.tanh(x))),
    ],
)
def test_what_any_layer_may_do_is_named(word, made):
    dids = named_forward(*sides(layers.Activation("tanh"), ROWS, made(ROWS)))
    assert dids[0].proven
    assert (word,) in {one.settings["changes"] for one in dids if one.proven} or word == "layer-absent"
    assert word == "layer-absent" or len(dids) == 1
