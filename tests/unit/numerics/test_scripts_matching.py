"""Of two captured steps it is known whether they began from the same weights and batch, in whichever layout."""

from dataclasses import replace

import numpy as np
import pytest
from unit.numerics.captured_by_hand import Script, captured

from xframe.numerics.scripts.matching import aligned, fitted, matched, update
from xframe.numerics.scripts.observing import causes, masks, random, term_causes
from xframe.numerics.scripts.pairing import canonical, names
from xframe.state.record import Record
from xframe.tasks.optimizers import SGD

TORCH, KERAS = Script("torch", SGD(0.1)), Script("keras", SGD(0.1))


def match(left, right, at=0):
    ours, theirs = captured(left, at + 1)[at], captured(right, at + 1)[at]
    in_common = names(ours, theirs)
    return matched(canonical(ours, in_common[0]), canonical(theirs, in_common[1]))


def test_the_same_start_and_batch_are_seen_in_any_layout():
    seen = match(TORCH, KERAS)
    assert (seen.weights, seen.apart, seen.features, seen.targets, seen.same_batch) == ("equal", 0.0, True, True, True)
    assert update(seen.reference) == 0


def test_other_weights_and_nearly_equal_ones_are_told_apart():
    assert match(TORCH, replace(KERAS, seed=1)).weights == "other"
    near = match(TORCH, replace(KERAS, rule=SGD(0.1001)), at=1)
    assert near.weights == "near"
    assert 0 < near.apart < 1e-3


def test_another_batch_is_seen():
    assert not match(TORCH, replace(KERAS, data=8)).same_batch
    scaled = match(TORCH, replace(KERAS, scale=2.0))
    assert (scaled.same_batch, scaled.same_ids) == (False, True)


def test_channels_and_columns_are_turned_only_where_the_numbers_agree():
    first = np.arange(2 * 3 * 4 * 4, dtype="float32").reshape(2, 3, 4, 4)
    assert np.array_equal(aligned(np.moveaxis(first, 1, -1), first), np.moveaxis(first, 1, -1))
    assert aligned(first, first + 1) is None
    assert aligned(first, first * np.float32(1 + 2**-23)) is not None
    assert aligned(np.arange(3), np.arange(3).reshape(3, 1)).shape == (3,)
    assert fitted(np.moveaxis(first, 1, -1), first + 1).shape == (2, 4, 4, 3)
    assert fitted(np.ones((64, 1)), np.ones(64)).shape == (64, 1)


def test_evaluation_mode_is_named():
    seen = match(TORCH, KERAS)
    still = replace(seen.candidate, facts={**seen.candidate.facts, "training": False})
    (cause,) = causes(seen.reference, still, ("torch", "keras"))
    assert (cause.name, cause.certainty) == ("evaluation-mode", "proven")
    assert cause.sentence.startswith("keras trains in evaluation mode at step 0")
    assert list(causes(seen.reference, seen.candidate, ("torch", "keras"))) == []


def dropping(rate, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(64, 50)).astype("float32")
    kept = rng.random(inputs.shape) >= rate
    forward = {"0/outputs": inputs, "1/outputs": np.where(kept, inputs / (1 - rate), 0).astype("float32")}
    layers = [{"name": "0", "class": "ReLU"}, {"name": "1", "class": "Dropout", "rate": rate}]
    return Record(0, stages={"forward": forward}, facts={"layers": layers, "training": True})


@pytest.mark.parametrize(("ours", "theirs"), [(0.2, 0.8), (0.5, 0.3)])
def test_the_share_that_a_layer_dropped_is_measured(ours, theirs):
    (mask,) = masks(dropping(ours))
    assert mask.rate == pytest.approx(ours, abs=1e-6)
    (cause,) = causes(dropping(ours), dropping(theirs, 1), ("torch", "keras"))
    assert (cause.name, cause.certainty, cause.tensor) == ("dropout-rate", "proven", "1")
    assert ("a probability of keeping" in cause.sentence) == (ours + theirs == 1)
    assert list(causes(dropping(ours), dropping(ours, 1), ("torch", "keras"))) == []
    assert random(dropping(ours))
    assert not random(replace(dropping(ours), facts={**dropping(ours).facts, "training": False}))


def test_a_sum_for_a_mean_in_one_term_is_named_and_equal_terms_are_not():
    def step(loss):
        return Record(0, stages={"forward": {"outputs": np.ones((64, 3))}, "loss": {"loss": np.float32(loss)}})

    sides = step(2.3 + 0.64), step(2.3 + 0.01)
    (cause,) = term_causes(sides, (0.64, 0.01), ("keras", "torch"))
    assert (cause.name, cause.certainty) == ("sum-for-mean-in-term", "proven")
    assert "64 times as much" in cause.sentence
    assert list(term_causes(sides, (0.64, 0.64), ("keras", "torch"))) == []
    assert [one.name for one in term_causes(sides, (0.64, 0.0), ("keras", "torch"))] == ["added-term"]
    assert [one.name for one in term_causes(sides, (0.64, 0.31), ("keras", "torch"))] == ["added-term"]
