"""Losses of free runs: rounding that training multiplies is no difference, a difference that comes from nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numerics_training import Training

from xframe.numerics.curves import Allowance, curve, weights_allowed
from xframe.tasks.builtin.bundled import digits

N = 20  # steps at which the floor is measured


def one_ulp(state, seed):
    draws = np.random.default_rng(seed)

    def moved(w):
        up = np.where(draws.random(w.shape) < 0.5, np.inf, -np.inf).astype(w.dtype)
        return np.where(w == 0, w, np.nextafter(w, up))

    return replace(state, parameters={name: moved(w) for name, w in state.parameters.items()})


def judged(seed, batch, steps, precision, rate=0.1, momentum=0.9, wrong=None, since=0):
    """The curve of a run and of one whose sums go backwards; which is wrong from a step on if asked."""
    images, labels = digits()
    x, y, draws = images.reshape(len(images), -1) / 16, labels, np.random.default_rng(100 + seed)
    reference = Training(precision, rate, momentum)
    start = reference.start(64, 32, 10, seed)
    batches = [draws.permutation(len(x))[:batch] for _ in range(steps)]
    others = [replace(reference, backwards=True)] * steps
    if wrong is not None:
        others[since:] = [replace(reference, backwards=True, wrong=wrong)] * (steps - since)
    a, b = reference.run(x, y, start, batches), Training.run_by(others, x, y, start, batches)
    moved = [reference.run(x, y, one_ulp(start, k), batches[:N]) for k in (1, 2)]
    moved.append(reference.run(x, y, start, [draws.permutation(rows) for rows in batches[:N]]))
    return curve(a, b, moved, precision), a, b


def test_the_chaotic_setting_is_no_difference():
    found, a, b = judged(0, 32, 400, "float32", rate=0.3, momentum=0.95)
    assert np.max(np.abs(np.array(a) - b)) > 0.4
    assert found.verdict == "inconclusive"
    assert found.first is None
    assert N < found.unclear < 400


def test_batches_of_six_are_no_difference():
    for precision in ("float32", "float64"):
        found, *_ = judged(1, 6, 700, precision)
        assert found.verdict in ("equivalent", "inconclusive")


def test_the_digits_of_the_measurements_are_equivalent():
    found, *_ = judged(0, 64, 500, "float32")
    assert (found.verdict, found.first, found.unclear) == ("equivalent", None, None)
    assert abs(found.reference - found.candidate) <= found.bound


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(40))
def test_no_run_of_the_same_algorithm_is_different(seed):
    draws = np.random.default_rng(seed)
    batch, precision = int(draws.integers(1, 40)), ("float32", "float64")[seed % 2]
    rate, momentum = float(draws.choice([0.03, 0.1, 0.3])), float(draws.choice([0.0, 0.9, 0.95]))
    found, *_ = judged(seed, batch, 250, precision, rate, momentum)
    assert found.verdict != "different", found


@pytest.mark.parametrize("since", [0, 5, 120])
def test_what_changes_from_one_step_to_the_next_is_different(since):
    found, *_ = judged(0, 64, 200, "float64", wrong={"gradient": 1.5}, since=since)
    assert found.verdict == "different"
    assert since < found.first <= since + 3
    assert abs(found.reference - found.candidate) > found.bound


def test_equal_losses_are_identical_and_without_a_floor_nothing_is_judged():
    losses = [2.0, 1.0, 0.5]
    assert curve(losses, losses, [[2.0, 1.0]], "float32").verdict == "identical"
    assert curve(losses, losses, [], "float32") is None
    assert curve([], [], [[1.0]], "float32") is None
    assert curve([np.nan], [1.0], [[1.0]], "float32") is None


def test_one_run_that_becomes_infinite_is_different_and_both_are_not():
    losses = [2.0, 1.0, np.inf]
    assert curve(losses, losses, [losses], "float32").verdict == "identical"
    found = curve([2.0, 1.0, 0.5], losses, [[2.0, 1.0, 0.5]], "float32")
    assert (found.verdict, found.first) == ("different", 2)


def test_where_the_floor_is_large_nothing_is_told():
    a = [1.0] * 6
    found = curve(a, [1.0, 1.0, 1.0, 1.3, 9.0, 1.0], [[1.0, 1.0, 1.1, 1.2]], "float32")
    assert (found.verdict, found.unclear, found.first) == ("inconclusive", 2, None)
    assert curve(a, [1.0, 1.1, *a[2:]], [[1.0, 1.0, 1.1]], "float32").first == 1


def test_blocks_are_judged_as_the_whole():
    found, a, b = judged(2, 6, 300, "float32")
    whole, _ = Allowance(found).of(np.arange(300), np.array(a), np.array(b))
    by_blocks = Allowance(found)
    parts = [
        by_blocks.of(np.arange(i, i + 7), np.array(a[i : i + 7]), np.array(b[i : i + 7])) for i in range(0, 294, 7)
    ]
    assert np.allclose(np.concatenate([part for part, _ in parts]), whole[:294], rtol=1e-12)
    assert by_blocks.unclear == found.unclear


def test_validations_may_differ_by_little_where_losses_do():
    for settings, low, high in (((64, 200, "float32"), 0, 1e-4), ((32, 200, "float32", 0.3, 0.95), 1e-4, 4e-3)):
        found, a, b = judged(0, *settings)
        allowance = Allowance(found)
        allowance.of(np.arange(200), np.array(a), np.array(b))
        assert low < allowance.drift <= high


def test_final_weights_may_differ_as_far_as_losses_have():
    calm, *_ = judged(0, 64, 200, "float32")
    wild, *_ = judged(0, 32, 200, "float32", rate=0.3, momentum=0.95)
    assert weights_allowed(replace(calm, weights=2e-7), 200) < 1e-3
    assert weights_allowed(wild, 200) > 1e-3
