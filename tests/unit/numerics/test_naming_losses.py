"""What a loss was computed as is named: each known change first and proven, a clean one as stated."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional
from xframe_numpy.losses import lowered

from xframe.numerics.naming.losses import named_loss
from xframe.state.record import Record
from xframe.state.state import State
from xframe.tasks import losses

RNG = np.random.default_rng(7)
LOGITS = RNG.normal(size=(8, 5))
CLASSES = RNG.integers(0, 5, 8)
WEIGHED = losses.CrossEntropy(label_smoothing=0.1, class_weights=(1.0, 2.0, 0.5, 1.0, 3.0), reduction="weighted_mean")
SEQUENCES = RNG.normal(size=(4, 6, 5))
PADDED = np.where(np.arange(6) < np.array([6, 3, 1, 4])[:, None], RNG.integers(1, 5, (4, 6)), 0)
MASKED = losses.CrossEntropy(ignored=0)
COLUMN, FLAT = RNG.normal(size=(8, 1)), RNG.normal(size=8)


def recorded(loss, outputs, targets, slope=None, before=None):
    made = {"loss": np.asarray(loss)} | ({} if slope is None else {"slope": slope})
    stages = {"batch": {"targets": targets}, "forward": {"outputs": outputs}, "loss": made}
    return Record(0, before, stages)


def changes(dids):
    return [one.settings["changes"] for one in dids if one.proven]


def by_torch(function, outputs, targets):
    """The loss and its slope of a formula written in torch."""
    x = torch.tensor(outputs, requires_grad=True)
    loss = function(x, torch.tensor(targets))
    loss.backward()
    return float(loss.detach()), x.grad.numpy()


def token_means(x, y):
    each = functional.cross_entropy(x.transpose(1, 2), y, ignore_index=0, reduction="none")
    return (each.sum(1) / (y != 0).sum(1)).mean()


PLANTED = {  # the change's word: what is stated, outputs, targets, and torch's formula of what was done
    "loss-reduction": (WEIGHED, LOGITS, CLASSES, lambda x, y: _torch(x, y, "sum")),
    "loss-reduction by sample": (MASKED, SEQUENCES, PADDED, token_means),
    "class-weights-normalised": (WEIGHED, LOGITS, CLASSES, lambda x, y: _torch(x, y, "sum") / 8),
    "class-weights-absent": (
        WEIGHED,
        LOGITS,
        CLASSES,
        lambda x, y: functional.cross_entropy(x, y, label_smoothing=0.1),
    ),
    "label-smoothing": (WEIGHED, LOGITS, CLASSES, lambda x, y: _torch(x, y, "mean", 0.0)),
    "label-smoothing-over-others": (WEIGHED, LOGITS, CLASSES, lambda x, y: _torch(x, y, "mean", 0.125)),
    "outputs-taken-as-probabilities": (
        losses.CrossEntropy(),
        np.abs(LOGITS),
        CLASSES,
        lambda x, y: functional.nll_loss(torch.log(torch.clamp(x / x.sum(1, keepdim=True), 1e-7)), y),
    ),
    "outputs-taken-as-logits": (
        losses.CrossEntropy(outputs="probabilities"),
        np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True),
        CLASSES,
        functional.cross_entropy,
    ),
    "softmax-twice": (losses.CrossEntropy(), LOGITS, CLASSES, lambda x, y: functional.cross_entropy(x.softmax(1), y)),
    "ignored-labels-counted": (
        MASKED,
        SEQUENCES,
        PADDED,
        lambda x, y: functional.cross_entropy(x.transpose(1, 2), y, ignore_index=0, reduction="sum") / 24,
    ),
    "ignored-labels-counted as a class": (
        MASKED,
        SEQUENCES,
        PADDED,
        lambda x, y: functional.cross_entropy(x.transpose(1, 2), y),
    ),
    "targets-broadcast": (losses.SquaredError(), COLUMN, FLAT, lambda x, y: ((x - y) ** 2).mean()),
    "other-loss": (losses.SquaredError(), COLUMN, FLAT, lambda x, y: (x[:, 0] - y).abs().mean()),
    "loss-scaled": (losses.SquaredError(), COLUMN, FLAT, lambda x, y: ((x[:, 0] - y) ** 2).mean() / 2),
    "loss-root": (losses.SquaredError(), COLUMN, FLAT, lambda x, y: ((x[:, 0] - y) ** 2).mean() ** 0.5),
    "loss-delta": (losses.Huber(), COLUMN, FLAT, lambda x, y: functional.huber_loss(x[:, 0], y, delta=0.5)),
}


def _torch(x, y, reduction, smoothing=0.1):
    weights = torch.tensor(WEIGHED.class_weights, dtype=torch.float64)
    return functional.cross_entropy(x, y, weights, reduction=reduction, label_smoothing=smoothing)


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("slope", [False, True])
@pytest.mark.parametrize("what", PLANTED)
def test_each_change_is_named_first_and_proven(what, slope):
    stated, outputs, targets, function = PLANTED[what]
    loss, own = by_torch(function, outputs, targets)
    dids = named_loss(recorded(loss, outputs, targets, own if slope else None), stated)
    assert changes(dids)[0] == (what.partition(" ")[0],)
    assert dids[0].proven
    assert {one for one in changes(dids) if len(one) == 1} == {changes(dids)[0]}


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_a_clean_loss_is_as_stated(precision):
    for stated, outputs, targets in ((WEIGHED, LOGITS, CLASSES), (MASKED, SEQUENCES, PADDED)):
        loss, slope = lowered(stated)(outputs.astype(precision), targets)
        dids = named_loss(recorded(loss, outputs.astype(precision), targets, slope), stated)
        assert changes(dids)[0] == ()


def test_figures_are_fitted_where_the_slope_determines_them():
    loss, slope = lowered(replace(WEIGHED, label_smoothing=0.123))(LOGITS, CLASSES)
    (did,) = [one for one in named_loss(recorded(loss, LOGITS, CLASSES, slope), WEIGHED) if one.proven]
    assert did.spec.label_smoothing == pytest.approx(0.123)
    loss, slope = lowered(WEIGHED)(LOGITS, CLASSES)
    (did,) = [one for one in named_loss(recorded(loss / 3, LOGITS, CLASSES, slope / 3), WEIGHED) if one.proven]
    assert did.settings["factor"] == pytest.approx(1 / 3)
    assert "divided by 3 once more" in did.text
    assert not any(one.proven for one in named_loss(recorded(loss / 3, LOGITS, CLASSES), WEIGHED))  # one number


def test_a_penalty_that_is_reported_is_named():
    kernel = RNG.normal(size=(5, 3))
    before = State(parameters={"dense_0/kernel": kernel}, precision="float64")
    loss, slope = lowered("softmax_cross_entropy")(LOGITS, CLASSES)
    record = recorded(loss + 1e-3 * (kernel**2).sum(), LOGITS, CLASSES, slope, before)
    (did, *_) = named_loss(record, losses.CrossEntropy())
    assert did.proven
    assert did.settings["changes"] == ("added-penalty",)
    assert did.settings["penalty"] == pytest.approx(1e-3)


def test_two_changes_at_once_are_named_where_neither_alone_explains_it():
    loss, slope = lowered(replace(WEIGHED, label_smoothing=0.0, reduction="sum"))(LOGITS, CLASSES)
    dids = named_loss(recorded(loss, LOGITS, CLASSES, slope), WEIGHED)
    assert changes(dids)[0] == ("label-smoothing", "loss-reduction")


def test_what_was_not_recorded_is_not_named():
    assert named_loss(Record(0), losses.CrossEntropy()) == []
    assert named_loss(recorded(1.0, np.full((2, 3), np.nan), np.array([0, 1])), losses.CrossEntropy()) == []
    assert not any(one.proven for one in named_loss(recorded(np.nan, LOGITS, CLASSES), losses.CrossEntropy()))


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(12))
def test_nothing_wrong_is_proven(seed):
    """A drawn change among losses: what is proven first is it, or as good."""
    rng = np.random.default_rng(seed)
    rows, classes = int(rng.integers(2, 9)), int(rng.integers(2, 7))
    outputs, targets = rng.normal(size=(rows, classes)), rng.integers(0, classes, rows)
    stated = losses.CrossEntropy(label_smoothing=float(rng.choice([0.0, 0.1])))
    factor = float(rng.uniform(0.2, 3))
    loss, slope = lowered(stated)(outputs, targets)
    dids = named_loss(recorded(loss * factor, outputs, targets, slope * factor), stated)
    assert changes(dids) == [("loss-scaled",)]
    assert not any(one.proven for one in named_loss(recorded(loss * factor, outputs, targets), stated))


def test_rows_that_count_otherwise_are_named_where_the_slope_determines_them():
    weights = np.array([1, 1, 0, 1, 1, 0, 1, 1.0])
    for word, each in (("rows-left-out", weights * 8 / 6), ("rows-weighted", np.linspace(0.5, 1.5, 8))):
        loss, slope = lowered(losses.CrossEntropy(), weighted=True)(LOGITS, CLASSES, each)
        dids = named_loss(recorded(loss, LOGITS, CLASSES, slope), losses.CrossEntropy())
        assert changes(dids) == [(word,)]
        assert not any(one.proven for one in named_loss(recorded(loss, LOGITS, CLASSES), losses.CrossEntropy()))


def test_a_loss_in_float32_is_named_in_float64():
    loss, slope = lowered(WEIGHED)(LOGITS.astype("f4"), CLASSES)
    state = State({}, precision="float64")
    dids = named_loss(recorded(loss, LOGITS, CLASSES, slope.astype(float), state), WEIGHED)
    assert changes(dids) == [("lower-precision",)]
