"""Losses: their fields, names and plain data; NumPy's formulas and gradients; what torch computes for the same name."""

import math
import warnings

import numpy as np
import pytest
from sweeps.losses import drawn
from xframe_numpy.losses import lowered

import xframe
from xframe.tasks import losses
from xframe.tasks.losses import LOSSES, CrossEntropy, counted, from_dict, named, names


@pytest.mark.parametrize("name", names())
def test_a_loss_is_plain_data(name):
    loss = named(name)
    assert from_dict(loss.to_dict()) == loss
    assert eval(repr(loss), dict(LOSSES)) == loss
    assert from_dict({"name": name, "reduction": "sum"}) == named(name, {"reduction": "sum"})


def test_tuples_are_lists_in_data():
    loss = CrossEntropy(class_weights=(1.0, 2.0), ignored=-1)
    assert loss.to_dict()["class_weights"] == [1.0, 2.0]
    assert from_dict(loss.to_dict()) == loss


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mse", {}, "unknown loss: got 'mse'"),
        ("torch.MSELos", {}, "Did you mean 'torch.MSELoss'"),
        ("huber", {"delta": 0.0}, "Huber's delta: got 0.0, expected a number above 0"),
        ("huber", {"delat": 1.0}, "unknown setting of loss 'huber'"),
        ("huber", {"reduction": "none"}, "unknown Huber reduction"),
        ("huber", {"reduction": 1}, "unknown Huber reduction"),
        ("softmax_cross_entropy", {"label_smoothing": 1.5}, "expected a number from 0 to 1"),
        ("softmax_cross_entropy", {"class_weights": [1, -1]}, "a tuple of numbers from 0 up"),
        ("softmax_cross_entropy", {"ignored": 1.0}, "an integer or None"),
        ("softmax_cross_entropy", {"ignored": 1, "targets": "distribution"}, "only with targets 'classes'"),
        ("softmax_cross_entropy", {"clip": math.nan}, "above 0 and below 0.5"),
        ("binary_cross_entropy", {"outputs": "probabilities", "pos_weight": 2.0}, "1 without logits"),
        ("kl_divergence", {"outputs": "probabilities", "targets": "log_probabilities"}, "as its outputs are"),
        ("poisson", {"full": 1}, "True or False"),
    ],
)
def test_a_loss_is_checked_when_it_is_made(name, settings, message):
    with pytest.raises(xframe.UsageError, match=message):
        named(name, settings)


def test_data_that_is_no_loss():
    with pytest.raises(xframe.UsageError, match="unknown loss"):
        from_dict({"loss": "SGD"})


# The formulas

PLAIN = {  # at x and y, of each element; here all outputs are ordinary numbers
    "SquaredError": lambda loss, x, y: (x - y) ** 2,
    "AbsoluteError": lambda loss, x, y: abs(x - y),
    "Huber": lambda loss, x, y: (
        (x - y) ** 2 / 2 if abs(x - y) <= loss.delta else loss.delta * abs(x - y) - loss.delta**2 / 2
    ),
    "SmoothL1": lambda loss, x, y: (
        (x - y) ** 2 / (2 * loss.beta) if abs(x - y) < loss.beta else abs(x - y) - loss.beta / 2
    ),
    "LogCosh": lambda loss, x, y: math.log(math.cosh(x - y)),
    "Hinge": lambda loss, x, y: max(1 - y * x, 0) ** (2 if loss.squared else 1),
    "NegativeSum": lambda loss, x, y: -x,
}


@pytest.mark.parametrize("name", PLAIN)
def test_the_formula_of_elements(name):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 4, 3)) * 2
    loss = LOSSES[name](reduction="sum")
    wanted = sum(PLAIN[name](loss, float(a), float(b)) for a, b in zip(x.flat, y.flat, strict=True))
    assert lowered(loss, weighted=True)(x, y, None)[0] == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize("name", LOSSES)
def test_a_gradient_is_the_slope(name):
    """By central differences, where the loss has no corner near and no number is extreme."""
    rng, seen = np.random.default_rng(3), 0
    for case in drawn(name, 40, rng):
        x = np.clip(np.abs(case.outputs), 0.01, 0.9) if (case.outputs >= 0).all() else np.clip(case.outputs, -3, 3)
        x = np.where(np.abs(x) < 0.01, 0.01, x)
        if getattr(case.loss, "guard", None) == "floor" and ((x <= 0) | (x >= 1)).any():
            continue
        function = lowered(case.loss, weighted=True)
        value, gradient = function(x, case.targets, case.weights)
        if not math.isfinite(value):
            continue
        step = 1e-6
        for place in np.ndindex(x.shape):
            moved = [x.copy(), x.copy()]
            moved[0][place] += step
            moved[1][place] -= step
            up, down = (function(one, case.targets, case.weights)[0] for one in moved)
            both = [(up - value) / step, (value - down) / step]
            if abs(both[0] - both[1]) < 1e-3 * abs(both[0]) + 1e-7:  # no corner between
                assert gradient[place] == pytest.approx(np.mean(both), rel=1e-4, abs=1e-5), case
                seen += 1
    assert seen > 50


def test_reductions_of_weights():
    x, y = np.array([[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]]), np.array([0, 0, 1])
    items = -np.log(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))[np.arange(3), y]
    by_class, sample = np.array([1.0, 3.0]), np.array([2.0, 0.0, 1.0])
    total = (items * by_class[y] * sample).sum()
    for reduction, divisor in {"sum": 1, "mean": 3, "weighted_mean": (by_class[y] * sample).sum()}.items():
        loss = CrossEntropy(class_weights=(1.0, 3.0), reduction=reduction)
        assert lowered(loss, weighted=True)(x, y, sample)[0] == pytest.approx(total / divisor, rel=1e-14)


@pytest.mark.parametrize(("empty", "value"), [("nan", math.nan), ("zero", 0.0)])
def test_all_ignored(empty, value):
    loss = CrossEntropy(ignored=1, empty=empty)
    seen, gradient = lowered(loss)(np.ones((2, 3)), np.array([1, 1]))
    assert np.array_equal(seen, value, equal_nan=True)
    assert not gradient.any()


def test_one_column_is_never_broadcast():
    x, y = np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 2.0, 3.0])
    for name in ("SquaredError", "AbsoluteError", "Huber", "LogCosh"):
        assert lowered(LOSSES[name]())(x, y)[0] == pytest.approx(lowered(LOSSES[name]())(x, y[:, None])[0])
    assert lowered("mean_absolute_error")(x, y)[0] == pytest.approx(1 / 3)


def test_batches_are_averaged_by_what_they_count():
    """In whatever batches, the mean is that of all samples at once."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((20, 3)), rng.integers(3, size=20)
    y[4:8] = 2
    for loss in (
        CrossEntropy(),
        CrossEntropy(ignored=2),
        CrossEntropy(class_weights=(1.0, 2.0, 0.0), reduction="weighted_mean"),
        CrossEntropy(class_weights=(1.0, 2.0, 0.5)),
        named("torch.CrossEntropyLoss", {"class_weights": (1.0, 2.0, 0.5), "ignored": 2}),
    ):
        function = lowered(loss)
        batches = [slice(start, start + 4) for start in range(0, 20, 4)]
        with np.errstate(invalid="ignore"):
            values = [function(x[batch], y[batch])[0] for batch in batches]
        kept, shares = counted(values, [loss.share(y[batch]) for batch in batches])
        assert np.average(kept, weights=shares) == pytest.approx(function(x, y)[0], rel=1e-14)
        assert loss.even == (loss.share(y[4:8]) == 4)


# Tasks


def small(loss, targets, **changes):
    values = {
        "name": "small",
        "num_samples": 3,
        "load": lambda: (np.arange(6).reshape(3, 2) / 2, np.array(targets)),
        "initial_weights": lambda: {"dense_0/kernel": np.zeros((2, 2)), "dense_0/bias": np.zeros(2)},
        "optimizer": xframe.SGD(0.1),
        "layers": (xframe.Dense(2),),
    }
    return xframe.Task(loss=loss, **values | changes)


def test_a_task_takes_a_loss_or_its_name():
    assert small("keras.Huber", [0.0, 1, 2]).loss == "keras.Huber"
    task = small(CrossEntropy(ignored=-1), [0, -1, 1])
    assert task.data("float32")[1].tolist() == [0, -1, 1]
    with pytest.raises(xframe.UsageError, match="got -2"):
        small(CrossEntropy(ignored=-1), [0, -2, 1]).data("float32")
    with pytest.raises(xframe.UsageError, match="3 class weights, expected one for each of the last layer's 2 outputs"):
        small(CrossEntropy(class_weights=(1.0, 2.0, 3.0)), [0, 1, 1]).data("float32")
    with pytest.raises(xframe.UsageError, match="accuracy"):
        small(CrossEntropy(ignored=-1), [0, 1, 1], metrics=("accuracy",))


def test_an_adapter_without_losses_of_its_own_has_the_words_alone():
    from xframe_numpy.adapter import NumpyAdapter

    from xframe.running.adapter import unsupported

    def reasons(loss):
        given = xframe.TrainingPlan(batch_size=1, steps=1), small(loss, [0, 1, 1]), xframe.Runtime(device="cpu")
        return unsupported(NumpyAdapter(), *given, devices=("cpu",), precisions=("float32",))

    assert not reasons("softmax_cross_entropy")
    assert "loss Huber(" in reasons(losses.Huber())[0]


# PyTorch's own of that name


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("torch.")])
def test_a_name_of_torchs_is_torchs_loss(name):
    import torch

    rng, loss = np.random.default_rng(7), named(name)
    logits, classes = rng.standard_normal((6, 4)), rng.integers(4, size=6)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = {
        "CrossEntropyLoss": (logits, np.where(classes == 2, -100, classes)),
        "NLLLoss": (np.log(probabilities), np.where(classes == 2, -100, classes)),
        "BCELoss": (np.where(probabilities < 0.1, 0, probabilities), rng.random((6, 4))),
        "BCEWithLogitsLoss": (logits * 100, rng.random((6, 4))),
        "KLDivLoss": (np.log(probabilities), rng.permutation(probabilities)),
        "PoissonNLLLoss": (logits, rng.poisson(2, (6, 4)).astype(float)),
    }
    x, y = given.get(name.removeprefix("torch."), (logits, rng.standard_normal((6, 4))))
    outputs = torch.tensor(x, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of KLDivLoss' own default
        value = getattr(torch.nn, name.removeprefix("torch."))()(outputs, torch.tensor(y))
    value.backward()
    seen, gradient = lowered(loss)(x, y)
    assert seen == pytest.approx(value.item(), rel=1e-14)
    np.testing.assert_allclose(gradient, outputs.grad.numpy(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("word", losses.WORDS)
def test_a_word_is_lowered_to_the_one_function_it_always_was(word):
    """Training by a word costs nothing for what other losses can do."""
    import xframe_numpy.losses
    import xframe_torch.losses

    for module in (xframe_numpy.losses, xframe_torch.losses):
        assert module.lowered(word) is module.lowered(named(word)) is module._PLAIN[word]
