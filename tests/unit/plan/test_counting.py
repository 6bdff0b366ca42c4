"""The plan's arithmetic: textbook cases, the simulator that walks every batch, and numbers that nothing can walk."""

import itertools
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import part
from sweeps import replicas
from sweeps.counting import check_case, check_scaled, run
from sweeps.simulator import EDGES, VALUES, Refused, random_case, simulate

import xframe
from xframe.plan import cadence, counting, training_plan
from xframe.plan.counting import Counts
from xframe.plan.fields import ACCUMULATION, LARGEST
from xframe.plan.training_plan import TrainingPlan

MOST_SAMPLES = 2**63


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
    assert plan_of(64, epochs=3, remainder="pad").counts(1797) == Counts(87, 87, 3, 29, 5391, 0, 3 * 59, 64)
    assert plan_of(64, epochs=3, remainder="carry").counts(1797) == Counts(85, 85, 3, None, 5391, 0, 0, 15)
    assert plan_of(64, steps=100).counts(1797) == Counts(100, 100, 4, 29, 3 * 1797 + 13 * 64, 0, 0, 64)
    assert plan_of(64, steps=100, remainder="drop").counts(1797) == Counts(100, 100, 4, 28, 6400, 15, 0, 64)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # the fields of epochs, (steps per epoch, steps, epochs, samples seen)
        ({}, (29, 87, 3, 5391)),
        ({"steps_per_epoch": 10}, (10, 30, 3, 1920)),
        ({"steps_per_epoch": 10, "epoch_iterator": "continue"}, (10, 30, 3, 1797 + 64)),
        ({"steps_per_epoch": 30}, (30, 90, 3, 3 * (1797 + 64))),
        ({"steps_per_epoch": 30, "on_exhaustion": "short_epoch"}, (29, 87, 3, 5391)),
        ({"steps_per_epoch": 30, "on_exhaustion": "stop"}, (29, 29, 1, 1797)),
        ({"steps_per_epoch": 12, "epoch_iterator": "continue", "on_exhaustion": "stop"}, (None, 29, 3, 1797)),
        ({"steps_per_epoch": 12, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"}, (None, 29, 3, 1797)),
        ({"steps_per_epoch": 40, "remainder": "carry"}, (40, 120, 3, 120 * 64)),
    ],
    ids=str,
)
def test_digits_in_epochs_of_so_many_steps(fields, expected):
    counts = plan_of(64, epochs=3, **fields).counts(1797)
    assert (counts.steps_per_epoch, counts.num_steps, counts.num_epochs, counts.samples_seen) == expected


@pytest.mark.parametrize(
    ("remainder", "at_end", "updates"),
    [
        # 29 steps a pass are 7 windows of 4, and one step
        ("flush", "drop", 3 * 8),
        ("drop", "drop", 3 * 7),
        ("leak", "flush", 3 * 7),
        ("carry", "drop", 87 // 4),
        ("carry", "flush", 87 // 4 + 1),
    ],
)
def test_digits_in_windows_of_four_steps(remainder, at_end, updates):
    fields = {"gradient_accumulation_steps": 4, "accumulation_remainder": remainder, "accumulation_at_end": at_end}
    assert plan_of(64, epochs=3, **fields).counts(1797).num_updates == updates
    applied = [step.update for step in plan_of(64, epochs=3, **fields).each_step(1797)]
    assert applied[:8] == [0, 0, 0, 1, 1, 1, 1, 2]
    assert applied[28] == 7 + (remainder == "flush")
    assert applied[-1] == updates
    limited = plan_of(64, updates=updates, **fields).counts(1797)
    assert limited.num_updates == updates


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


def test_numpy_integers_are_integers():
    plan = plan_of(4, epochs=2)
    assert plan.counts(np.int64(10)) == plan.counts(10)
    assert plan.step(np.int64(1), np.int64(10)).sample_ids.tolist() == plan.step(1, 10).sample_ids.tolist()


# Every batch walked


@pytest.mark.parametrize(
    ("fields", "num_samples"),
    EDGES,
    ids=["-".join([str(n), *(f"{name}={value}" for name, value in fields.items())]) for fields, n in EDGES],
)
def test_edge(fields, num_samples):
    assert check_case(fields, num_samples) is None


@pytest.mark.thorough
@pytest.mark.parametrize("cases", [3000])
def test_random_plans(cases, record_property):
    result = run(cases, seed=1)
    record_property("sample", f"closed forms: {cases:,} random plans against the simulator, seed 1")
    assert result.mismatches == []
    assert result.cases == cases
    assert 0 < result.refused < cases / 10


@pytest.mark.sweep
def test_random_plans_with_replicas(record_property):
    cases = part(1000)
    result = replicas.run(cases, seed=1)
    record_property("sample", f"replicas: {cases:,} random plans against the simulator, seed 1")
    assert result.mismatches == []
    assert result.cases == cases


def test_a_difference_of_replicas_is_told(monkeypatch):
    """The comparison with the simulator can fail: in a pass's rows, in a replica's rows, and in its padding."""
    assert replicas.run(30, seed=1).mismatches == []
    wrong = {
        (cadence, "rows_of_pass"): lambda _, n: n,
        (replicas, "share"): lambda _, rows, replica: slice(replica, rows),
        (replicas, "shared_rows"): lambda _, rows, replica: rows,
        (replicas, "shared_padding"): lambda _, rows, padding, replica: padding,
    }
    for (module, name), instead in wrong.items():
        with monkeypatch.context() as patch:
            patch.setattr(module, name, instead)
            assert replicas.run(30, seed=1).mismatches, name


@pytest.mark.parametrize(
    ("samples", "fields", "expected"),
    [
        # 103 samples, 10 a replica: steps, seen, dropped, padded, rows of the last step
        (103, {"replicas": 2, "batch_size": 20}, (6, 103, 0, 0, 3)),
        (103, {"replicas": 2, "batch_size": 20, "replica_remainder": "pad"}, (6, 103, 0, 1, 4)),
        (103, {"replicas": 2, "batch_size": 20, "replica_remainder": "drop"}, (6, 102, 1, 0, 2)),
        (103, {"replicas": 4, "batch_size": 40, "replica_remainder": "pad"}, (3, 103, 0, 1, 24)),
        (103, {"replicas": 4, "batch_size": 40, "remainder": "pad"}, (3, 103, 0, 17, 40)),
        (103, {"replicas": 4, "batch_size": 40, "remainder": "drop"}, (2, 80, 23, 0, 40)),
        # the row that fills a pass up completes the batch that would be dropped without it
        (19, {"replicas": 2, "batch_size": 20, "replica_remainder": "pad", "remainder": "drop"}, (1, 19, 0, 1, 20)),
        # the samples that replicas left out are the first that fill a batch up
        (23, {"replicas": 4, "batch_size": 8, "replica_remainder": "drop", "remainder": "pad"}, (3, 23, 0, 1, 8)),
        (19, {"replicas": 4, "batch_size": 8, "replica_remainder": "drop", "remainder": "pad"}, (2, 16, 3, 0, 8)),
        (10, {"replicas": 4, "batch_size": 4, "remainder": "carry"}, (3, 10, 0, 0, 2)),
    ],
    ids=str,
)
def test_a_pass_of_replicas(samples, fields, expected):
    counts = TrainingPlan(epochs=1, **fields).counts(samples)
    rows = counts.samples_seen, counts.samples_dropped, counts.samples_padded, counts.last_batch_size
    assert (counts.num_steps, *rows) == expected
    assert check_case({"epochs": 1, **fields}, samples) is None


def test_fewer_samples_than_replicas():
    plan = TrainingPlan(batch_size=4, epochs=1, replicas=4, replica_remainder="drop")
    with pytest.raises(xframe.PlanError, match="fewer samples than replicas"):
        plan.counts(3)


@pytest.mark.parametrize("replicas", [2, 3, LARGEST - 1, LARGEST])
@pytest.mark.parametrize("remainder", ["uneven", "pad", "drop"])
def test_replicas_without_number(replicas, remainder):
    plan = TrainingPlan(batch_size=replicas, epochs=2, replicas=replicas, replica_remainder=remainder)
    counts = plan.counts(MOST_SAMPLES)
    rest = MOST_SAMPLES % replicas
    assert counts.samples_dropped == 2 * rest * (remainder == "drop")
    assert counts.samples_padded == 2 * (-rest % replicas) * (remainder == "pad")
    assert counts.samples_seen == 2 * (MOST_SAMPLES - rest * (remainder == "drop"))
    first = plan.step(0, 5) if replicas < 5 else None
    assert first is None or len(first.sample_ids) == replicas


def test_a_difference_is_told(monkeypatch):
    """The comparison with the simulator can fail: in the counts, and in a column of the steps."""
    fields = {"batch_size": 4, "epochs": 2, "gradient_accumulation_steps": 2}
    assert check_case(fields, 10) is None
    with monkeypatch.context() as patch:
        patch.setattr(counting.Cadence, "ended_passes", lambda _: 0)
        assert check_case(fields, 10).startswith("counts {")
    with monkeypatch.context() as patch:
        patch.setattr(counting.Cadence, "updates", lambda _, steps: steps // 2)
        assert check_case(fields, 10) is not None
    with monkeypatch.context() as patch:
        patch.setattr(training_plan, "with_defaults", dict)
        assert check_case({**fields, "steps_per_epoch": 2}, 10) is not None


@pytest.mark.parametrize("cases", [500])
def test_steps_of_more_rows(cases):
    """Where rows are counted in units of 10**15 or so, the steps are the same: in int64's arithmetic and beyond it."""
    rng = random.Random("scaled")
    checked = 0
    for _ in range(cases):
        fields, n = random_case(rng)
        try:
            total = len(simulate(fields, n, lambda _, n=n: range(n)).steps)
        except Refused:
            continue
        rows = max(fields["batch_size"] * total, n + fields["batch_size"])
        edge = LARGEST // (4 * rows)  # about here the arithmetic changes
        most = LARGEST // max(n, fields["batch_size"])
        for factor in {2**20, edge // 2, edge, edge + 1, 2 * edge, most}:
            assert check_scaled(fields, n, factor) is None, (fields, n, factor)
        checked += 1
    assert checked > 0.9 * cases


@given(st.integers(2, 30), st.integers(1, 30), st.integers(0, 5))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_each_pass_has_every_sample_once(samples, batch_size, seed):
    for reshuffle in (True, False):
        plan = plan_of(batch_size, epochs=3, seed=seed, reshuffle=reshuffle)
        passes = [
            np.concatenate([step.sample_ids for step in steps]).tolist()
            for _, steps in itertools.groupby(plan.each_step(samples), key=lambda step: step.epoch)
        ]
        assert [sorted(ids) for ids in passes] == [list(range(samples))] * 3
        if not reshuffle:
            assert passes[0] == passes[1] == passes[2]


@pytest.mark.parametrize("remainder", ["keep", "pad", "carry"])
def test_many_blocks_of_steps(remainder):
    plan = plan_of(3000, epochs=2, seed=1, remainder=remainder)  # steps() works in blocks of about 65,536 samples
    steps = list(plan.each_step(200_000))
    sizes = {"keep": ([3000] * 66 + [2000]) * 2, "pad": [3000] * 134, "carry": [3000] * 133 + [1000]}
    assert [len(step.sample_ids) for step in steps] == sizes[remainder]
    order = plan.sample_order(200_000)
    walked = np.concatenate([step.sample_ids[: len(step.sample_ids) - step.padding] for step in steps])
    assert np.array_equal(walked, np.concatenate([order.ids(0), order.ids(1)]))
    assert np.array_equal(steps[66].sample_ids[2000:], order.ids(0)[:1000]) is (remainder == "pad")


def test_batches_beyond_a_block():
    plan = plan_of(70_000, epochs=1)
    steps = list(plan.each_step(200_000))
    assert [step.sample_ids.size for step in steps] == [70_000, 70_000, 60_000]
    assert np.array_equal(np.concatenate([step.sample_ids for step in steps]), plan.sample_order(200_000).ids(0))


# Huge numbers


def test_huge_counts():
    plan = plan_of(1000, epochs=10)
    counts = plan.counts(10**15)
    assert (counts.num_steps, counts.steps_per_epoch, counts.samples_seen) == (10**13, 10**12, 10**16)
    step = plan.step(10**13 - 1, 10**15)
    assert (step.epoch, step.step_in_epoch, step.update, step.sample_ids.shape) == (9, 10**12 - 1, 10**13, (1000,))
    assert len(set(step.sample_ids.tolist())) == 1000
    assert next(plan.each_step(10**15)).sample_ids.tolist() == plan.step(0, 10**15).sample_ids.tolist()


@pytest.mark.parametrize("samples", [LARGEST, MOST_SAMPLES])
@pytest.mark.parametrize("remainder", ["keep", "drop", "pad", "carry"])
def test_the_most_samples(samples, remainder):
    plan = plan_of(1000, epochs=1, remainder=remainder, order="sequential")
    full, rest = divmod(samples, 1000)
    counts = plan.counts(samples)
    assert counts.num_steps == full + (remainder != "drop")
    assert counts.samples_seen == samples - (rest if remainder == "drop" else 0)
    assert counts.samples_dropped == (rest if remainder == "drop" else 0)
    assert counts.samples_padded == (1000 - rest if remainder == "pad" else 0)
    assert counts.last_batch_size == (rest if remainder in ("keep", "carry") else 1000)
    last = plan.step(counts.num_steps - 1, samples)
    own = last.sample_ids[: 1000 - last.padding]
    assert own[-1] == (full * 1000 - 1 if remainder == "drop" else samples - 1)
    assert last.sample_ids[len(own) :].tolist() == list(range(last.padding))


def test_the_largest_batches():
    assert plan_of(LARGEST, epochs=2).counts(1) == Counts(2, 2, 2, 1, 2, 0, 0, 1)
    assert plan_of(LARGEST, epochs=2, remainder="pad").counts(1) == Counts(2, 2, 2, 1, 2, 0, 2 * LARGEST - 2, LARGEST)
    assert plan_of(LARGEST, epochs=2, remainder="carry").counts(1) == Counts(1, 1, 1, None, 2, 0, 0, 2)
    assert plan_of(LARGEST, epochs=LARGEST).counts(MOST_SAMPLES).num_steps == 2 * LARGEST
    assert plan_of(LARGEST, epochs=2, remainder="drop").counts(MOST_SAMPLES).samples_dropped == 2
    with pytest.raises(xframe.UsageError, match="cannot be written out: got 9223372036854775807, expected at most"):
        plan_of(LARGEST, epochs=2, remainder="pad").step(0, 1)


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


def every_kind(epochs, steps_per_epoch, windows, **fields):
    """A plan of each combination of words."""
    for remainder, iterator, exhaustion in itertools.product(
        VALUES["remainder"], (None, *VALUES["epoch_iterator"]), VALUES["on_exhaustion"]
    ):
        plan = {"remainder": remainder, "epochs": epochs, **fields}
        if iterator is not None:
            plan |= {"steps_per_epoch": steps_per_epoch, "epoch_iterator": iterator}
            plan |= {"on_exhaustion": exhaustion} if remainder != "carry" else {}
        elif exhaustion != "repeat":
            continue
        yield TrainingPlan.from_mapping(plan)
        for words in itertools.product(*(VALUES[name] for name in list(ACCUMULATION)[:3])):
            policies = dict(zip(ACCUMULATION, words, strict=False))
            yield TrainingPlan.from_mapping({**plan, "gradient_accumulation_steps": windows, **policies})


def peak_memory(function):
    """The most bytes that it had at one time, and what it returned."""
    tracemalloc.start()
    try:
        result = function()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("steps_per_epoch", "windows"), [(10**9 + 7, 7), (3, 10**9 + 7), (10**13, 4)])
def test_memory_does_not_grow_with_the_data(steps_per_epoch, windows):
    """A walk through these runs would take years, and an array of their data set 8 PB."""
    plans = list(every_kind(10, steps_per_epoch, windows, batch_size=1000))
    assert len(plans) > 300
    for plan in plans:
        plan.counts(10**6 if plan.remainder != "error" else 1000)
        peak, counts = peak_memory(lambda plan=plan: plan.counts(10**15))
        assert peak < 2e6, plan
        assert counts.num_steps > 0
        index = counts.num_steps - 1
        peak, step = peak_memory(lambda plan=plan, index=index: plan.step(index, 10**15))
        assert peak < 2e6, plan
        assert step.sample_ids.size == counts.last_batch_size
        assert step.update == counts.num_updates
        assert step.epoch + 1 == counts.num_epochs


EXTREMES = [1, 2, 3, 2**62 + 1, LARGEST - 1, LARGEST]
REFUSED = ("the step's sample ids cannot be written out", "steps beyond what can be numbered")


@pytest.mark.parametrize("num_samples", [1, 2, LARGEST, MOST_SAMPLES])
@pytest.mark.parametrize("batch_size", [1, 2, LARGEST - 1, LARGEST])
def test_extremes_are_counted_or_refused(num_samples, batch_size):
    """Exact integers, or an error of xframe's own: nothing overflows."""
    rng = random.Random(f"{num_samples} {batch_size}")
    counted, refused = 0, []
    for plan in every_kind(LARGEST, rng.choice(EXTREMES), rng.choice(EXTREMES[1:]), batch_size=batch_size):
        limits = {limit: rng.choice([None, *EXTREMES]) for limit in ("epochs", "steps", "updates")}
        limits["epochs" if rng.random() < 0.5 else "steps"] = LARGEST
        try:
            plan = TrainingPlan.from_mapping({**plan.to_dict(), **limits})
            counts = plan.counts(num_samples)
        except xframe.XframeError:
            continue
        counted += 1
        assert counts.num_epochs >= 1
        assert 0 <= counts.num_updates <= counts.num_steps
        assert counts.samples_seen + counts.samples_padded <= counts.num_steps * batch_size
        assert 1 <= counts.last_batch_size <= batch_size
        for index in (0, min(counts.num_steps, LARGEST) - 1):
            try:
                step = plan.step(index, num_samples)
            except xframe.UsageError as error:
                refused.append(error.what)
                continue
            assert step.index == index
            assert 0 <= step.sample_ids.min() <= step.sample_ids.max() < num_samples
            assert step.update <= counts.num_updates
    assert counted > 100
    assert set(refused) <= set(REFUSED)
