"""One step of two sides from one state: rounding passes, all else fails where it is, each odd case has its outcome."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numerics_training import Training

from xframe.numerics.judging import judge, judge_step
from xframe.state.record import Record
from xframe.state.state import State

BLANK = Record(0)


def data(rows=32, seed=1):
    draws = np.random.default_rng(seed)
    return draws.standard_normal((rows, 12)), draws.integers(0, 10, rows)


def steps(reference, candidate, count=3, rows=32, apart=False):
    """That many steps of the reference, and the candidate's from its states; the last with stages apart if asked."""
    x, y = data(rows)
    state, pairs = reference.start(), []
    for i in range(count):
        one = reference.step(i, state, x, y)
        pairs.append((one, candidate.step(i, state, x, y)))
        state = one.after
    if not apart:
        return pairs
    before = pairs[-1][0].before
    own = reference.step(count - 1, before, x, y, BLANK)
    return pairs, (own, candidate.step(count - 1, before, x, y, own))


def only(reference, candidate, precision="float64", before=None):
    """A step of one tensor."""

    def state(values):
        return None if values is None else State({"w": values}, precision=precision)

    return Record(0, state(before), {}, state(reference)), Record(0, state(before), {}, state(candidate))


def distance(*args, **kwargs):
    ((found,)) = judge_step(*only(*args, **kwargs))
    return found


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("rows", [1, 6, 32])
def test_sums_in_another_order_are_equivalent(precision, rows):
    pairs, staged = steps(Training(precision), Training(precision, backwards=True), rows=rows, apart=True)
    judged = judge(pairs, staged)
    assert (judged.verdict, judged.first) == ("equivalent", None), judged.first
    assert judged.nearest.share < 0.5
    assert judged.steps == (0, 1, 2)


def test_the_same_bits_are_identical():
    assert judge(steps(Training(), Training())).verdict == "identical"


SMALL = {
    "rate": ({"rate": 1.0001}, "update", "dense_0/kernel"),
    "momentum": ({"momentum": 1.0001}, "update", "slots/velocity/dense_0/kernel"),
    "gradient": ({"gradient": 1.0001}, "gradient", "dense_1/kernel"),
    "one tensor": ({"slope": 1.0001}, "gradient", "dense_0/bias"),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_ten_thousandth_too_much_is_different_and_its_stage_and_tensor_are_named(name):
    wrong, stage, tensor = SMALL[name]
    pairs, staged = steps(Training(), Training(wrong=wrong, backwards=True), apart=True)
    judged = judge(pairs, staged)
    assert judged.verdict == "different"
    assert (judged.first.stage, judged.first.tensor) == (stage, tensor)
    assert judged.first.share > 1e3
    whole = judge(pairs)
    assert (whole.verdict, whole.first.stage) == ("different", "step")


def test_a_rate_that_is_a_little_too_large_shows_in_float32_where_updates_are_large_enough():
    pairs = steps(Training("float32"), Training("float32", wrong={"rate": 1.001}))
    assert judge(pairs).verdict == "different"


def test_a_value_at_its_bound_passes_and_the_one_printed_as_just_failing_fails():
    w = np.array([1.0, -3.0, 0.5])
    for sign in (1, -1):
        at = distance(w, w + np.array([0, sign * 1e-15, 0]), before=w + 0.25)
        passing = distance(w, w + np.array([0, sign * at.bound * 0.999, 0]), before=w + 0.25)
        assert passing.ok
        other = w.copy()
        other[1] = passing.just_failing
        failing = distance(w, other, before=w + 0.25)
        assert not failing.ok
        assert failing.index == (1,)
        assert failing.difference == pytest.approx(passing.bound)


@pytest.mark.parametrize("scale", [1e-290, 1e-30, 1.0, 1e30, 1e300])
def test_scales_do_not_matter(scale):
    w, u = np.array([1.0, -2.0, 3.0]) * scale, np.array([0.1, 0.2, -0.1]) * scale
    assert distance(w + u, w + u * (1 + 1e-15), before=w).ok
    wrong = distance(w + u, w + u * 1.0001, before=w)
    assert not wrong.ok
    assert 1e9 < wrong.ulps < 1e13


def test_which_samples_a_batch_has_does_not_raise_a_bound():
    """Ids are numbers, and no inputs."""
    bounds = []
    for ids in (np.arange(3), np.arange(3) + 10**9):
        record = Record(
            0, None, {"batch": {"ids": ids}, "loss": {"loss": np.float32(2.4)}}, State({"w": np.ones(3, "f4")})
        )
        bounds.append([one.bound for one in judge_step(record, record) if one.tensor == "loss"])
    assert bounds[0] == bounds[1]
    assert 0 < bounds[0][0] < 1e-3


def test_no_update_and_none_is_the_same_and_any_beside_none_is_not():
    w = np.array([0.0, 2.0])
    assert distance(w, w.copy(), before=w).ok
    moved = distance(w, np.array([1e-20, 2.0]), before=w)
    assert (moved.ok, moved.index, moved.difference) == (False, (0,), 1e-20)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_no_finite_number_is_the_same_only_on_both_sides(odd):
    w, n = np.array([1.0, 2.0]), np.array([1.0, odd])
    assert distance(n, n.copy(), before=w).ok
    for one, other in ((n, w), (w, n), (n, np.array([1.0, -odd if odd == odd else np.inf]))):
        wrong = distance(one, other, before=w)
        assert (wrong.ok, wrong.index, wrong.difference) == (False, (1,), np.inf)
    judged = judge([only(n, n.copy(), before=w)])
    assert any("not finite" in text for text in judged.notes)


def test_empty_tensors_are_equal():
    empty = np.zeros((0, 3))
    assert distance(empty, empty, before=empty).ok


def test_whole_numbers_are_equal_or_not():
    ids = np.array([3, 2**62], np.int64)
    for values, ok in ((ids, True), (ids + np.array([0, 1]), False)):
        pair = [Record(0, None, {"batch": {"ids": one}}) for one in (ids, values)]
        (found,) = judge_step(*pair)
        assert (found.stage, found.tensor, found.ok) == ("batch", "ids", ok)
    assert found.difference == 1


def test_other_shapes_are_different_and_other_widths_are_judged():
    w = np.ones((2, 3))
    wrong = distance(w, w.T, before=w)
    assert (wrong.ok, wrong.shape, wrong.difference) == (False, (2, 3), np.inf)
    assert not distance(w, np.ones(()), before=w).ok
    assert distance(w, w.astype(np.float32), before=w).ok
    assert not distance(w * 0.1, (w * 0.1).astype(np.float32), before=w).ok
    assert distance((w * 0.1).astype(np.float32), w * 0.1, "float32", before=w).ok


def test_a_parameter_that_one_side_lacks_leaves_it_open():
    (one, other), *_ = steps(Training(), Training(backwards=True), 1)
    fewer = {name: values for name, values in other.after.parameters.items() if name != "dense_0/bias"}
    judged = judge([(one, replace(other, after=replace(other.after, parameters=fewer)))])
    assert judged.verdict == "inconclusive"
    assert judged.notes == ("only one side has parameters/dense_0/bias",)


def test_slots_that_one_side_lacks_are_said():
    (one, other), *_ = steps(Training(), Training(backwards=True), 1)
    judged = judge([(one, replace(other, after=replace(other.after, slots={})))])
    assert judged.verdict == "equivalent"
    assert "slots/velocity" in judged.notes[0]


def test_nothing_judged_is_inconclusive():
    assert judge([]).verdict == "inconclusive"
    w = np.ones(3)
    assert judge([only(w, w + 1e-17 * 0, before=w)]).verdict == "identical"
    assert judge([only(w, w * (1 + 4e-16), before=w)]).verdict == "inconclusive"  # nothing moved


def test_noise_too_large_to_tell_is_inconclusive():
    w = np.ones(8, np.float32)
    after = w + np.float32(1e-6)
    pair = only(after, after + np.float32(1.2e-7), "float32", before=w)
    judged = judge([pair])
    assert judged.verdict == "inconclusive"
    assert "rounding is too large to tell" in judged.notes[0]
    noisy = [(replace(a, facts={"floor": {"step/dense_0/kernel": 1.0}}), b) for a, b in steps(Training(), Training())]
    assert judge(noisy).verdict == "identical"


def test_a_measured_floor_raises_the_bound_sixteenfold():
    w = np.array([1.0, 2.0])
    pair = only(w + 0.1, w + 0.1 + 1e-9, before=w)
    assert judge([pair]).verdict == "different"
    floored = replace(pair[0], facts={"floor": {"step/w": 1e-10}}), pair[1]
    assert judge([floored]).verdict == "equivalent"
    assert judge([floored]).worst[0].bound == pytest.approx(1.6e-9)
    for forged in ({"step/w": -1.0}, {"step/w": float("inf")}, {"step/w": "1"}, {"step/w": True}, [1], "x"):
        assert judge([(replace(pair[0], facts={"floor": forged}), pair[1])]).verdict == "different"


def test_the_first_that_fails_is_first_in_the_order_of_computation():
    _, (own, other) = steps(Training(), Training(backwards=True), apart=True)
    order = [(one.stage, one.tensor) for one in judge_step(own, other)]
    gradients = [name for stage, name in order if stage == "gradient"]
    assert gradients == ["dense_1/kernel", "dense_1/bias", "dense_0/kernel", "dense_0/bias"]
    updates = [name for stage, name in order if stage == "update"]
    assert updates[:2] == ["slots/velocity/dense_0/kernel", "dense_0/kernel"]
    ranks = {stage: i for i, (stage, _) in enumerate(order)}
    assert list(ranks) == ["batch", "forward", "loss", "gradient", "clipping", "update"]


def test_what_only_a_whole_step_exceeds_needs_a_floor_to_be_different():
    (one, other), *_ = steps(Training(), Training(wrong={"rate": 1.001}), 1)
    _, staged = steps(Training(), Training(backwards=True), 1, apart=True)
    assert judge([(one, other)], staged).verdict == "inconclusive"
    measured = replace(one, facts={"floor": {"step/dense_0/kernel": 1e-17}}), other
    assert judge([measured], staged).verdict == "different"


def test_float64_decides_where_only_a_whole_step_in_float32_exceeds():
    in_float32 = steps(Training("float32"), Training("float32", wrong={"rate": 1.01}), 1)
    clean = steps(Training(), Training(backwards=True), 1)
    _, staged = steps(Training("float32"), Training("float32", backwards=True), 1, apart=True)
    judged = judge([*clean, *in_float32], staged)
    assert judged.verdict == "equivalent"
    assert "float64" in judged.notes[0]


def test_bfloat16_counts_its_own_units():
    w = np.ones(2, np.float32)
    assert distance(w, w + np.float32(2.0**-7), "bfloat16", before=w).ulps == 1
