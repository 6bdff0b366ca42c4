"""Neutral layers: what they take and give, their weights' names and shapes, and what tasks make of them."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

import xframe
from xframe.tasks import layers
from xframe.tasks.builtin.digits_cnn import digits
from xframe.tasks.builtin.tiny_transformer import CEILING, FLOOR
from xframe.tasks.initial import initial_weights, split, standardised
from xframe.tasks.layers import (
    ELU,
    GRU,
    LSTM,
    Activation,
    AveragePool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool2D,
    GroupNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool2D,
    Position,
    PReLU,
    RMSNorm,
    SimpleRNN,
    TransformerBlock,
    Upsample2D,
    place,
)
from xframe.tasks.lookup import BUILT_IN, find_task

BLOCK = {
    **dict.fromkeys(("norm_1_scale", "norm_1_bias", "norm_2_scale", "norm_2_bias", "down_bias"), (6,)),
    **dict.fromkeys(("query", "key", "value", "output"), (6, 6)),
    "up": (6, 9),
    "up_bias": (9,),
    "down": (9, 6),
}
SHAPES = [
    (Dense(3), (5,), (3,), {"kernel": (5, 3), "bias": (3,)}),
    (Dense(3, use_bias=False), (4, 5), (4, 3), {"kernel": (5, 3)}),
    (Activation("tanh"), (4, 5), (4, 5), {}),
    (Flatten(), (2, 3, 4), (24,), {}),
    (Conv2D(7, 3), (6, 5, 2), (6, 5, 7), {"kernel": (3, 3, 2, 7), "bias": (7,)}),
    (Conv2D(7, 4, padding="valid", use_bias=False), (6, 5, 2), (3, 2, 7), {"kernel": (4, 4, 2, 7)}),
    (MaxPool2D(2), (7, 4, 3), (3, 2, 3), {}),
    (AveragePool2D(2), (7, 4, 3), (3, 2, 3), {}),
    (BatchNorm(), (7, 4, 3), (7, 4, 3), dict.fromkeys(("scale", "bias", "mean", "variance"), (3,))),
    (LayerNorm(), (7, 4), (7, 4), {"scale": (4,), "bias": (4,)}),
    (Embedding(10, 4), (6,), (6, 4), {"table": (10, 4)}),
    (Position(), (6, 4), (6, 4), {"table": (6, 4)}),
    (LSTM(3), (6, 4), (3,), {"kernel": (4, 12), "recurrent": (3, 12), "bias": (12,)}),
    (TransformerBlock(2, 9), (4, 6), (4, 6), BLOCK),
    (LSTM(3, return_sequences=True), (6, 4), (6, 3), {"kernel": (4, 12), "recurrent": (3, 12), "bias": (12,)}),
    (GRU(3), (6, 4), (3,), {"kernel": (4, 9), "recurrent": (3, 9), "bias": (9,), "recurrent_bias": (9,)}),
    (GRU(3, True, reset_after=False), (6, 4), (6, 3), {"kernel": (4, 9), "recurrent": (3, 9), "bias": (9,)}),
    (SimpleRNN(3), (6, 4), (3,), {"kernel": (4, 3), "recurrent": (3, 3), "bias": (3,)}),
    (Conv2D(6, 4, strides=3, groups=2), (8, 5, 2), (3, 2, 6), {"kernel": (4, 4, 1, 6), "bias": (6,)}),
    (Conv2D(6, 3, padding=2, dilation=2), (8, 5, 2), (8, 5, 6), {"kernel": (3, 3, 2, 6), "bias": (6,)}),
    (Conv1D(6, 3, padding="causal", dilation=4), (2, 5), (2, 6), {"kernel": (3, 5, 6), "bias": (6,)}),
    (DepthwiseConv2D(3, 2, padding="valid"), (8, 5, 4), (6, 3, 8), {"kernel": (3, 3, 4, 2), "bias": (8,)}),
    (ConvTranspose2D(7, 2, strides=3), (2, 4, 5), (6, 12, 7), {"kernel": (2, 2, 5, 7), "bias": (7,)}),
    (
        ConvTranspose2D(7, 3, padding=1, strides=2, output_padding=1, use_bias=False),
        (2, 4, 5),
        (4, 8, 7),
        {"kernel": (3, 3, 5, 7)},
    ),
    (Upsample2D(3), (2, 4, 5), (6, 12, 5), {}),
    (MaxPool2D(3, 2, 1), (7, 4, 3), (4, 2, 3), {}),
    (AveragePool2D(2, 3, "same", count_padding=True), (7, 4, 3), (3, 2, 3), {}),
    (GlobalAveragePool2D(), (7, 4, 3), (3,), {}),
    (LeakyReLU(0.3), (4, 5), (4, 5), {}),
    (ELU(), (4, 5), (4, 5), {}),
    (PReLU(), (4, 5), (4, 5), {"slope": (1,)}),
    (PReLU("channels"), (4, 5), (4, 5), {"slope": (5,)}),
    (PReLU("elements"), (4, 5), (4, 5), {"slope": (4, 5)}),
    (Dropout(0.5, name="any"), (4, 5), (4, 5), {"step": ()}),
    (GroupNorm(2), (3, 5, 4), (3, 5, 4), {"scale": (4,), "bias": (4,)}),
    (RMSNorm(), (3, 4), (3, 4), {"scale": (4,)}),
]


@pytest.mark.parametrize(
    ("layer", "inputs", "outputs", "weights"), SHAPES, ids=lambda value: getattr(value, "kind", "")
)
def test_shapes(layer, inputs, outputs, weights):
    assert layer.outputs(inputs) == outputs
    assert layer.weights(inputs) == weights
    placed = place((layer,), inputs)
    assert placed == [(layer, f"{layer.kind}_0", inputs, weights)]


def test_every_layer_is_in_the_list():
    public = {kind for name, kind in vars(layers).items() if isinstance(kind, type) and not name.startswith("_")}
    defined = {kind.__name__ for kind in public if issubclass(kind, Layer)}
    assert {type(layer).__name__ for layer, *_ in SHAPES} | {"Layer"} == set(layers.__all__) == defined
    assert {kind.__name__ for kind in layers.KINDS} | {"Layer"} == defined


def test_names_count_each_kind():
    model = (Conv2D(2, 3), BatchNorm(), Conv2D(3, 3), Flatten(), Dense(4), BatchNorm(), Dense(1))
    names = [name for _, name, _, _ in place(model, (4, 4, 1))]
    assert names == ["conv2d_0", "batchnorm_0", "conv2d_1", "flatten_0", "dense_0", "batchnorm_1", "dense_1"]
    assert [inputs for _, _, inputs, _ in place(model, (4, 4, 1))][3:] == [(4, 4, 3), (48,), (4,), (4,)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2D(0, 3), "a layer's filters: got 0, expected an integer from 1 up"),
        (lambda: Conv2D(1, 3.0), "a layer's kernel_size: got 3.0"),
        (lambda: Conv2D(1, 2, padding=-1), "a layer's padding: got -1, expected an integer from 0 up"),
        (lambda: Conv2D(1, 2, padding=True), "unknown padding: got 'True'"),
        (lambda: Conv2D(1, 2, padding="causal"), "unknown padding: got 'causal', expected one of same, valid"),
        (lambda: Conv1D(1, 2, padding="causl"), "unknown padding: got 'causl', expected one of causal, same, valid"),
        (lambda: Conv2D(1, 2, strides=0), "a layer's strides: got 0"),
        (lambda: MaxPool2D(2, 1.5), "a layer's strides: got 1.5"),
        (lambda: AveragePool2D(3, padding=2), "a layer's padding: got 2, expected at most 1, half its size"),
        (lambda: AveragePool2D(3, count_padding=1), "a layer's count_padding: got 1, expected true or false"),
        (
            lambda: ConvTranspose2D(1, 3, padding=1, strides=2, output_padding=2),
            "a layer's output_padding: got 2, expected 0 to 1, below the strides",
        ),
        (
            lambda: ConvTranspose2D(1, 3, strides=2, output_padding=1),
            "a layer's output_padding: got 1, expected 0, with",
        ),
        (lambda: Upsample2D(2, "bicubic"), "unknown method: got 'bicubic', expected one of bilinear, nearest"),
        (lambda: PReLU("shared"), "unknown slopes: got 'shared', expected one of channels, elements, one"),
        (lambda: LeakyReLU(math.inf), "a layer's slope: got inf, expected a finite number"),
        (lambda: Dropout(1.0), "a layer's rate: got 1.0, expected a number from 0 up to below 1"),
        (lambda: Dropout(0.5, seed=-1), "a layer's seed: got -1, expected an integer from 0 up"),
        (lambda: SimpleRNN(2, activation="gelu"), "unknown activation: got 'gelu', expected one of relu, tanh"),
        (lambda: Conv2D(1, 3, padding="full"), "unknown padding: got 'full', expected one of same, valid"),
        (lambda: Conv2D(1, 3, "swish"), "unknown activation: got 'swish'"),
        (lambda: Activation("softmax"), "unknown activation: got 'softmax'"),
        (lambda: MaxPool2D(True), "a layer's size: got True"),
        (lambda: BatchNorm(momentum=1.0), "a layer's momentum: got 1.0, expected a number from 0 up to below 1"),
        (lambda: BatchNorm(epsilon=0.0), "a layer's epsilon: got 0.0"),
        (lambda: LayerNorm(-1.0), "a layer's epsilon: got -1.0"),
        (lambda: LayerNorm(math.nan), "a layer's epsilon: got nan"),
        (lambda: Embedding(0, 2), "a layer's vocabulary: got 0"),
        (lambda: Embedding(2, 0), "a layer's units: got 0"),
        (lambda: LSTM(-1), "a layer's units: got -1"),
        (lambda: TransformerBlock(0, 1), "a layer's heads: got 0"),
        (lambda: TransformerBlock(1, 0), "a layer's hidden: got 0"),
    ],
)
def test_a_layer_is_checked_when_it_is_made(make, message):
    with pytest.raises(xframe.UsageError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        ((Conv2D(1, 3),), (8, 8), "takes samples of a different shape: got (8, 8), expected 3 dimensions"),
        ((Flatten(), MaxPool2D(2)), (8, 8, 1), "MaxPool2D(size=2) takes samples of a different shape: got (64,)"),
        ((BatchNorm(),), (8, 8), "expected 1 or 3 dimensions"),
        ((Dense(1),), (), "got (), expected 1 or 2 or 3 dimensions"),
        ((LSTM(1),), (8,), "expected 2 dimensions"),
        ((MaxPool2D(9),), (8, 8, 1), "MaxPool2D(size=9) leaves nothing: got samples of (8, 8, 1)"),
        ((Conv2D(1, 4, padding="valid"),), (3, 9, 1), "leaves nothing"),
        ((Dense(4), Embedding(3, 2)), (8,), "takes integers: got what Dense("),
        ((TransformerBlock(4, 8),), (3, 6), "splits units: got 6, expected a multiple of 4"),
        ((GroupNorm(4),), (3, 6), "splits channels: got 6, expected a multiple of 4"),
        ((Conv2D(4, 3, groups=2),), (6, 6, 3), "splits channels: got 3, expected a multiple of 2"),
        ((Conv2D(3, 3, groups=2),), (6, 6, 4), "splits filters: got 3, expected a multiple of 2"),
        ((Conv2D(3, 3, padding="valid", dilation=3),), (6, 6, 4), "leaves nothing"),
        ((ConvTranspose2D(1, 3, padding=2),), (1, 3, 1), "leaves nothing"),
    ],
)
def test_layers_that_do_not_fit(model, inputs, message):
    with pytest.raises(xframe.UsageError, match=re.escape(message)):
        place(model, inputs)
    with pytest.raises(xframe.UsageError, match=re.escape(message)):
        replace(find_task("digits-cnn"), layers=model, input_shape=inputs)


# In a task


def test_buffers_that_a_task_leaves_out_begin_as_the_layer_has_them():
    layers = (Dense(4), BatchNorm(), Dropout(0.5), Dense(1))
    given = initial_weights(layers, (3,))
    left_out = {name: given[name] for name in given if not name.endswith(("/mean", "/variance", "/step"))}
    task = replace(find_task("digits-mlp"), metrics=(), loss="negative_sum", load=lambda: (np.zeros((1797, 3)),) * 2)
    whole, filled = (replace(task, layers=layers, initial_weights=lambda of=of: of) for of in (given, left_out))
    assert whole.fingerprints() == filled.fingerprints()
    assert len(left_out) == 6


def test_a_task_checks_its_weights_by_its_layers():
    task = find_task("digits-cnn")
    weights = task.weights()
    assert list(weights)[:3] == ["conv2d_0/kernel", "batchnorm_0/scale", "batchnorm_0/bias"]
    without = {name: values for name, values in weights.items() if name != "batchnorm_0/scale"}
    with pytest.raises(xframe.UsageError, match=r"do not fit the layers.*expected .*batchnorm_0/scale \(16,\)"):
        replace(task, initial_weights=lambda: without).weights()
    turned = weights | {"conv2d_1/kernel": weights["conv2d_1/kernel"].transpose(3, 2, 0, 1)}
    with pytest.raises(xframe.UsageError, match=r"conv2d_1/kernel \(32, 16, 3, 3\), .*expected .* \(3, 3, 16, 32\)"):
        replace(task, initial_weights=lambda: turned).weights()


def test_the_input_shape_is_told_unless_a_dense_kernel_tells_it():
    with pytest.raises(xframe.UsageError, match=r"input_shape: expected the shape of one sample, .* Conv2D"):
        replace(find_task("digits-cnn"), input_shape=None)
    without = replace(find_task("diabetes-regression"), input_shape=None)
    assert without.weights().keys() == find_task("diabetes-regression").weights().keys()


def test_features_of_another_shape_are_refused():
    task, flat = find_task("digits-cnn"), digits(False, (64,))
    with pytest.raises(xframe.UsageError, match=re.escape("got (64,), expected input_shape = (8, 8, 1)")):
        replace(task, load=lambda: flat).data("float32")
    with pytest.raises(xframe.UsageError, match=re.escape("expected input_shape = (8, 8, 1)")):
        replace(task, validation=lambda: digits(True, (64,))).validation_data("float32")


@pytest.mark.parametrize("change", [lambda x: x + 1, lambda x: x - 1, lambda x: x * 1.0], ids=["8", "-1", "floats"])
def test_tokens_that_are_not_in_the_table_are_refused(change):
    task = find_task("tiny-transformer")
    assert task.data("float64")[0].dtype == np.int64
    features, targets = task.load()
    with pytest.raises(xframe.UsageError, match=r"first layer cannot look .* up: got .* expected integers from 0 to 7"):
        replace(task, load=lambda: (change(features), targets)).data("float32")


@pytest.mark.parametrize("wrong", [10, -1])
def test_targets_that_no_output_is_for_are_refused(wrong):
    task = find_task("digits-mlp")
    features, targets = task.load()
    targets = np.concatenate([targets[:-1], [wrong]])
    for way in (lambda one: one.data("float32"), xframe.Task.fingerprints):
        with pytest.raises(xframe.UsageError, match=rf"targets are classes.* got {wrong}, expected 0\.\.9"):
            way(replace(task, load=lambda: (features, targets)))


# What the built-in tasks share


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_task_is_whole(name):
    task = find_task(name)
    features, _ = task.data("float32")
    first, again = task.weights(), task.weights()
    assert all(np.array_equal(first[weight], again[weight]) for weight in first)
    assert task.fingerprints() == task.fingerprints()
    if task.validation is not None:
        assert task.validation_data("float32")[0].shape[1:] == features.shape[1:]
        assert ("accuracy" in task.metrics) == (task.loss == "softmax_cross_entropy")


def test_initial_weights():
    model = (Embedding(5, 4), Position(), TransformerBlock(2, 3), LSTM(2), Dense(1))
    weights = initial_weights(model, (6,))
    assert {name: values.shape for name, values in weights.items()} == {
        f"{name}/{weight}": shape for _, name, _, own in place(model, (6,)) for weight, shape in own.items()
    }
    assert weights["lstm_0/bias"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert weights["transformerblock_0/norm_1_scale"].tolist() == [1] * 4
    assert not weights["transformerblock_0/up_bias"].any()
    assert 0.05 < np.abs(weights["position_0/table"]).max() <= 0.1
    limit = math.sqrt(6 / (2 + 1))
    assert limit / 4 < np.abs(weights["dense_0/kernel"]).max() <= limit
    assert not np.array_equal(initial_weights(model, (6,), seed=1)["dense_0/kernel"], weights["dense_0/kernel"])
    kernel = initial_weights((Conv2D(4, 3),), (8, 8, 2))["conv2d_0/kernel"]
    assert np.abs(kernel).max() <= math.sqrt(6 / (9 * (2 + 4)))


def test_initial_weights_of_layers_that_have_others():
    weights = initial_weights((PReLU("elements"), Dropout(0.5)), (2, 3))
    assert weights["prelu_0/slope"].tolist() == [[0.25] * 3] * 2
    assert weights["dropout_0/step"].dtype == np.int64
    assert weights["dropout_0/step"] == 0


def test_split_and_standardised():
    rows = np.arange(12)
    assert split(rows, True).tolist() == [0, 5, 10]
    assert split(rows, False).tolist() == [1, 2, 3, 4, 6, 7, 8, 9, 11]
    assert standardised(np.array([[1.0], [3.0]])).tolist() == [[-1], [1]]


def test_the_sizes_that_are_stated():
    sizes = {name: (find_task(name).num_samples, find_task(name).num_validation) for name in BUILT_IN}
    assert sizes == {
        "digits-mlp": (1797, 360),
        "digits-cnn": (1437, 360),
        "rows-lstm": (1437, 360),
        "tiny-transformer": (1024, 256),
        "diabetes-regression": (353, 89),
        "ledger": (103, 0),
    }


def test_digits_moved_by_half_a_pixel():
    task = find_task("digits-mlp")
    image, moved = (values[0].reshape(8, 8) * 32 for values in (task.load()[0], task.validation()[0]))
    assert np.array_equal(moved, np.round(moved))  # exact in every precision
    assert np.array_equal(moved[:, 1:] * 2, image[:, 1:] + image[:, :-1])
    assert np.array_equal(moved[:, 0] * 2, image[:, 0])
    assert np.array_equal(task.validation()[1], task.load()[1][::5])


def test_the_floor_of_the_text():
    """The rule found in the text is the one stated; who knows it has the floor's loss and the ceiling's accuracy."""
    features, targets = find_task("tiny-transformer").load()
    rows = np.concatenate([features, targets[:, -1:]], axis=1)
    assert np.array_equal(rows[:, 1:], targets)
    pairs, following = rows[:, :-2] * 8 + rows[:, 1:-1], rows[:, 2:]
    counts = np.array([np.bincount(following[pairs == pair], minlength=8) for pair in range(64)])
    assert counts.max(axis=1).sum() / counts.sum() == pytest.approx(0.9 + 0.1 / 8, abs=0.01)
    chances = np.full((64, 8), 0.1 / 8)
    chances[np.arange(64), counts.argmax(axis=1)] += 0.9
    losses = -np.log(chances[pairs, following])
    assert (math.log(8) + losses.sum(axis=1).mean()) / 16 == pytest.approx(FLOOR, abs=0.02)
    assert pytest.approx(0.8633, abs=1e-4) == CEILING
