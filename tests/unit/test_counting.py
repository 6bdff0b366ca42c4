"""The plan's arithmetic: textbook cases, and an independent simulation that walks every batch."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import xframe
from xframe import counting
from xframe.counting import Counts
from xframe.plan import LARGEST, TrainingPlan


def plan_of(batch_size, **fields):
    return TrainingPlan(batch_size=batch_size, **fields)


@pytest.mark.parametrize(
    ("samples", "fields", "expected"),
    [
        # samples, plan, (steps per epoch, steps, epochs)
        (60_000, {"batch_size": 1000, "epochs": 10}, (60, 600, 10)),
        (1_000, {"batch_size": 100, "epochs": 1}, (10, 10, 1)),
        (10_000, {"batch_size": 100, "epochs": 10}, (100, 1000, 10)),
        (10_000, {"batch_size": 10, "steps": 1000}, (1000, 1000, 1)),
        (10_000, {"batch_size": 100, "steps": 1000}, (100, 1000, 10)),
        (10_000, {"batch_size": 100, "updates": 1000}, (100, 1000, 10)),
        (10_000, {"batch_size": 100, "steps": 1001}, (100, 1001, 11)),
        (10_000, {"batch_size": 100, "steps": 99}, (None, 99, 1)),
        (7, {"batch_size": 64, "epochs": 2}, (1, 2, 2)),
        (1, {"batch_size": 1, "epochs": 1}, (1, 1, 1)),
    ],
)
@pytest.mark.parametrize("remainder", ["keep", "drop", "error"])
def test_textbook(samples, fields, expected, remainder):
    fits = remainder == "keep" or samples % fields["batch_size"] == 0
    plan = TrainingPlan(**fields, remainder=remainder)
    if not fits:
        with pytest.raises(xframe.PlanError):
            plan.counts(samples)
        return
    counts = plan.counts(samples)
    assert (counts.steps_per_epoch, counts.num_steps, counts.num_epochs) == expected
    assert counts.num_updates == counts.num_steps
    assert counts.samples_dropped == counts.samples_padded == 0


def test_digits():
    assert plan_of(64, epochs=3).counts(1797).to_dict() == {
        "num_steps": 87,
        "num_updates": 87,
        "num_epochs": 3,
        "steps_per_epoch": 29,
        "samples_seen": 5391,
        "samples_dropped": 0,
        "samples_padded": 0,
        "last_batch_size": 5,
    }
    assert plan_of(64, epochs=3, remainder="drop").counts(1797) == Counts(84, 84, 3, 28, 5376, 15, 0, 64)
    assert plan_of(64, steps=100).counts(1797) == Counts(100, 100, 4, 29, 3 * 1797 + 13 * 64, 0, 0, 64)
    assert plan_of(64, steps=100, remainder="drop").counts(1797) == Counts(100, 100, 4, 28, 6400, 15, 0, 64)


def test_third_batch_of_ten():
    step = plan_of(10, epochs=1, order="sequential").step(2, 100)
    assert step.sample_ids.tolist() == list(range(20, 30))  # samples 21 to 30
    assert (step.index, step.epoch, step.step_in_epoch, step.padding, step.update) == (2, 0, 2, 0, 3)
    assert step.sample_ids.dtype == np.int64


@pytest.mark.parametrize("limits", list(itertools.product([None, 1, 2], [None, 3, 5, 9], [None, 4, 6])))
def test_the_first_limit_stops(limits):
    epochs, steps, updates = limits
    some = [limit for limit in (epochs and 3 * epochs, steps, updates) if limit]
    if not some:
        with pytest.raises(xframe.PlanError, match="no limit"):
            plan_of(4, epochs=epochs, steps=steps, updates=updates)
        return
    plan = plan_of(4, epochs=epochs, steps=steps, updates=updates)
    assert plan.counts(10).num_steps == min(some)


# Refusals


def test_smaller_than_one_batch():
    with pytest.raises(
        xframe.PlanError, match=r"smaller than one batch: got 9, expected at least 10 samples. Use"
    ) as caught:
        plan_of(10, epochs=1, remainder="drop").counts(9)
    assert caught.value.exit_code == 2
    assert plan_of(10, epochs=1, remainder="drop").counts(10).num_steps == 1


def test_remainder_refused():
    plan = plan_of(64, steps=1, remainder="error")
    with pytest.raises(xframe.PlanError, match=r"refuses 1,797 samples in batches of 64: got 5, expected 0.*Choose"):
        plan.counts(1797)
    assert plan.counts(1792).num_steps == 1


@pytest.mark.parametrize("samples", [0, -1, 1.0, "10", None, True, LARGEST + 1], ids=repr)
def test_number_of_samples(samples):
    plan = plan_of(1, epochs=1)
    for ask in (plan.counts, lambda n: plan.step(0, n), lambda n: list(plan.steps(n))):
        with pytest.raises(xframe.PlanError, match=r"number of samples.*expected an integer from 1") as caught:
            ask(samples)
        assert caught.value.exit_code == 2


def test_numpy_integers_are_integers():
    plan = plan_of(4, epochs=2)
    assert plan.counts(np.int64(10)) == plan.counts(10)
    assert plan.step(np.int64(1), np.int64(10)).sample_ids.tolist() == plan.step(1, 10).sample_ids.tolist()


@pytest.mark.parametrize("index", [-1, 6, 10**30, 1.0, True, "0", None], ids=repr)
def test_no_such_step(index):
    with pytest.raises(xframe.UsageError, match=r"no such step.*expected a 0-based index from 0 to 5") as caught:
        plan_of(4, epochs=2).step(index, 10)
    assert caught.value.exit_code == 2


# Every batch walked


def simulate(plan, n):
    """Epochs walked batch by batch, as a person would; shares nothing with the closed form but the order."""
    walked, left_over = [], []
    for epoch in itertools.count():
        samples = plan.sample_order(n).ids(epoch).tolist()
        batches = [samples[i : i + plan.batch_size] for i in range(0, n, plan.batch_size)]
        short = []
        if len(batches[-1]) < plan.batch_size and plan.remainder != "keep":
            short = batches.pop()
        for i, batch in enumerate(batches):
            walked.append((epoch, i, batch))
            if len(walked) in (plan.limits.steps, plan.limits.updates):
                return walked, left_over + (short if i == len(batches) - 1 else [])
        left_over += short
        if epoch + 1 == plan.limits.epochs:
            return walked, left_over
    raise AssertionError


def simulated_counts(walked, dropped, plan, n):
    per_epoch = [len([1 for row in walked if row[0] == epoch]) for epoch in range(walked[-1][0] + 1)]
    seen_last = sum(len(batch) for epoch, _, batch in walked if epoch == walked[-1][0])
    last_is_whole = seen_last == n or (plan.remainder == "drop" and n - seen_last < plan.batch_size)
    complete = per_epoch if last_is_whole else per_epoch[:-1]
    return Counts(
        num_steps=len(walked),
        num_updates=len(walked),
        num_epochs=len(per_epoch),
        steps_per_epoch=complete[0] if complete else None,
        samples_seen=sum(len(batch) for _, _, batch in walked),
        samples_dropped=len(dropped),
        samples_padded=0,
        last_batch_size=len(walked[-1][2]),
    )


LIMITS = st.fixed_dictionaries(
    {"steps": st.integers(1, 90)}, optional={"epochs": st.integers(1, 5), "updates": st.integers(1, 90)}
) | st.fixed_dictionaries({"epochs": st.integers(1, 5)}, optional={"updates": st.integers(1, 90)})


@given(
    samples=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    limits=LIMITS,
    remainder=st.sampled_from(["keep", "drop", "error"]),
    order=st.sampled_from(["sequential", "shuffle"]),
    reshuffle=st.booleans(),
)
@example(samples=10, batch_size=4, limits={"steps": 5}, remainder="keep", order="shuffle", reshuffle=True)
@example(samples=10, batch_size=4, limits={"steps": 4}, remainder="drop", order="shuffle", reshuffle=False)
@example(samples=60, batch_size=60, limits={"epochs": 2}, remainder="error", order="sequential", reshuffle=True)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_against_a_simulation(samples, batch_size, limits, remainder, order, reshuffle):
    assume(remainder == "keep" or batch_size <= samples)
    assume(remainder != "error" or samples % batch_size == 0)
    plan = TrainingPlan(
        batch_size=batch_size, remainder=remainder, order=order, reshuffle=reshuffle, seed=samples, **limits
    )
    walked, dropped = simulate(plan, samples)
    assert plan.counts(samples) == simulated_counts(walked, dropped, plan, samples)

    planned = list(plan.steps(samples))
    assert [(step.epoch, step.step_in_epoch, step.sample_ids.tolist()) for step in planned] == walked
    assert [step.index for step in planned] == list(range(len(walked)))
    assert [step.update for step in planned] == list(range(1, len(walked) + 1))
    assert {step.padding for step in planned} == {0}
    for k in {0, len(walked) // 2, len(walked) - 1}:
        one = plan.step(k, samples)
        assert (one.epoch, one.step_in_epoch, one.sample_ids.tolist()) == walked[k]
        assert (one.index, one.update) == (k, k + 1)
    with pytest.raises(xframe.UsageError):
        plan.step(len(walked), samples)

    middle = len(walked) // 2
    part = counting.rows(plan, samples, middle, len(walked))
    assert part.batch_size.tolist() == [len(batch) for _, _, batch in walked[middle:]]
    assert counting.sample_ids(plan, samples, part).tolist() == [i for _, _, batch in walked[middle:] for i in batch]


@given(st.integers(2, 30), st.integers(1, 30), st.integers(0, 5))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_each_pass_has_every_sample_once(samples, batch_size, seed):
    for reshuffle in (True, False):
        plan = plan_of(batch_size, epochs=3, seed=seed, reshuffle=reshuffle)
        passes = [
            np.concatenate([step.sample_ids for step in steps]).tolist()
            for _, steps in itertools.groupby(plan.steps(samples), key=lambda step: step.epoch)
        ]
        assert [sorted(ids) for ids in passes] == [list(range(samples))] * 3
        if not reshuffle:
            assert passes[0] == passes[1] == passes[2]


def test_many_blocks_of_steps():
    plan = plan_of(3000, epochs=2, seed=1)  # steps() works in blocks of about 65,536 samples
    steps = list(plan.steps(200_000))
    assert len(steps) == 134
    assert [len(step.sample_ids) for step in steps] == ([3000] * 66 + [2000]) * 2
    order = plan.sample_order(200_000)
    assert np.array_equal(
        np.concatenate([step.sample_ids for step in steps]), np.concatenate([order.ids(0), order.ids(1)])
    )


# Huge numbers


def test_huge_counts():
    plan = plan_of(1000, epochs=10)
    counts = plan.counts(10**15)
    assert (counts.num_steps, counts.steps_per_epoch, counts.samples_seen) == (10**13, 10**12, 10**16)
    step = plan.step(10**13 - 1, 10**15)
    assert (step.epoch, step.step_in_epoch, step.update, step.sample_ids.shape) == (9, 10**12 - 1, 10**13, (1000,))
    assert len(set(step.sample_ids.tolist())) == 1000
    assert next(plan.steps(10**15)).sample_ids.tolist() == plan.step(0, 10**15).sample_ids.tolist()


@pytest.mark.parametrize("remainder", ["keep", "drop"])
def test_the_largest_numbers(remainder):
    plan = plan_of(1000, epochs=1, remainder=remainder, order="sequential")
    full, rest = divmod(LARGEST, 1000)
    kept = remainder == "keep"
    counts = plan.counts(LARGEST)
    assert counts.num_steps == full + kept
    assert counts.samples_dropped == (0 if kept else rest)
    assert counts.last_batch_size == (rest if kept else 1000)
    last = plan.step(counts.num_steps - 1, LARGEST).sample_ids
    assert last[-1] == (LARGEST - 1 if kept else full * 1000 - 1)
    assert plan_of(LARGEST, epochs=2).counts(1) == Counts(2, 2, 2, 1, 2, 0, 0, 1)


@pytest.mark.parametrize("index", [LARGEST - 1, LARGEST, LARGEST + 1, 2**64, 2**80])
def test_steps_beyond_int64(index):
    """Counts beyond int64 are exact; a step beyond it is exact too, or refused."""
    plan = plan_of(1, epochs=LARGEST, order="sequential")
    assert plan.counts(LARGEST).num_steps == LARGEST**2
    try:
        step = plan.step(index, LARGEST)
    except xframe.UsageError:
        assert index >= LARGEST
        return
    assert (step.epoch, step.step_in_epoch) == divmod(index, LARGEST)
    assert step.sample_ids.tolist() == [index % LARGEST]
    assert step.update == index + 1


# On paper


@pytest.mark.parametrize(
    ("samples", "fields", "expected"),
    [
        (
            1797,
            {"batch_size": 64, "epochs": 3},
            "1,797 samples / batches of 64 = 28 full + 1 short of 5 (keep) -> 29 steps an epoch\n"
            "epochs  3 x 29 steps = 87 steps\n"
            "total   87 steps, 87 updates, 3 epochs\n"
            "samples 5,391 seen, last batch 5",
        ),
        (
            1797,
            {"batch_size": 64, "epochs": 3, "steps": 57, "updates": 100, "remainder": "drop"},
            "1,797 samples / batches of 64 = 28 full, 5 samples dropped -> 28 steps an epoch\n"
            "epochs  3 x 28 steps = 84 steps  (not reached)\n"
            "steps   57 steps / 28 an epoch = 2 epochs + 1 of 28 steps\n"
            "updates 100 updates / 28 an epoch = 3 epochs + 16 of 28 steps  (not reached)\n"
            "total   57 steps, 57 updates, 3 epochs (the last one unfinished)\n"
            "samples 3,648 seen, 10 dropped (5 in each full pass), last batch 64",
        ),
        (
            60_000,
            {"batch_size": 60_000, "steps": 1, "remainder": "error"},
            "60,000 samples / batches of 60,000 = 1 full, none left -> 1 step an epoch\n"
            "steps   1 step / 1 an epoch = 1 epoch exactly\n"
            "total   1 step, 1 update, 1 epoch\n"
            "samples 60,000 seen, last batch 60,000",
        ),
    ],
)
def test_arithmetic(samples, fields, expected):
    assert "\n".join(counting.arithmetic(TrainingPlan(**fields), samples)) == expected


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.integers(1, 10**4), st.sampled_from(["keep", "drop"]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_arithmetic_says_the_counts(samples, batch_size, steps, remainder):
    assume(remainder == "keep" or batch_size <= samples)
    plan = plan_of(batch_size, steps=steps, remainder=remainder)
    counts, text = plan.counts(samples), "\n".join(counting.arithmetic(plan, samples))
    numbers = {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", text)}
    assert {samples, batch_size, steps, samples // batch_size, counts.num_epochs} <= numbers
    assert {counts.samples_seen, counts.last_batch_size} <= numbers
    assert not counts.samples_dropped or counts.samples_dropped in numbers
