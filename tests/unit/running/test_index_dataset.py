"""A dataset of indices: where it begins; and of batches, in TensorFlow's own operations, whose iterators are kept."""

from itertools import islice

import numpy as np
import pytest
import tensorflow as tf

import xframe
from xframe.running import registry

N = 53


@pytest.fixture(autouse=True, scope="module")
def threads():
    """TensorFlow takes its threads before its first operation, and other tests of this process want one."""
    registry.load("tensorflow").configure(xframe.Runtime(device="cpu", threads=1))


def plan_of(**fields):
    return xframe.TrainingPlan(**{"batch_size": 8, "epochs": 3, "seed": 4, **fields})


def drawn(iterator, count):
    return [batch.tolist() for batch in islice(iterator, count)]


def dataset(plan, n=N, start=(0, 0)):
    return xframe.index_dataset(plan, n, start, batches=True)


def planned(plan, n, count):
    return [step.sample_ids.tolist() for step in islice(plan.each_step(n), count)]


@pytest.mark.sweep(fewest=2)
@pytest.mark.parametrize(
    ("num_samples", "fields"),
    [
        (1, {}),
        (2, {"seed": 2**63 - 1}),
        (3, {"batch_size": 1}),
        (16, {}),
        (17, {"seed": 0}),
        (N, {"remainder": "drop"}),
        (N, {"remainder": "pad"}),
        (3, {"remainder": "pad"}),
        (N, {"remainder": "carry"}),
        (N, {"reshuffle": False}),
        (N, {"order": "sequential"}),
        (1000, {"batch_size": 64}),
        (65_537, {"batch_size": 30_000}),
        (140_000, {"batch_size": 70_000}),
    ],
)
def test_its_batches_are_the_plans_to_the_bit(num_samples, fields):
    plan = plan_of(epochs=40, **fields)
    count = 7 if num_samples > 1000 else 40
    assert drawn(dataset(plan, num_samples).as_numpy_iterator(), count) == planned(plan, num_samples, count)


@pytest.mark.parametrize("remainder", ["keep", "carry"])
def test_batches_begin_where_they_are_told_to(remainder):
    plan, order = plan_of(remainder=remainder), plan_of().sample_order(N)
    ids = np.concatenate([order.ids(p) for p in range(1000, 1004)]).tolist()
    got = drawn(dataset(plan, start=(1000, 40)).as_numpy_iterator(), 20)
    assert [i for batch in got for i in batch][:100] == ids[40:140]
    assert dataset(plan).cardinality() == tf.data.UNKNOWN_CARDINALITY


def test_batches_of_any_size_of_data_at_once():
    n, begin = 2**62 + 12_345, 2**61
    (got,) = drawn(dataset(plan_of(batch_size=50), n, start=(9, begin)).as_numpy_iterator(), 1)
    assert got == plan_of().sample_order(n).ids(9, begin + np.arange(50)).tolist()


def pipeline(plan, start=(0, 0)):
    return dataset(plan, start=start).map(lambda ids: (ids, 2 * ids)).prefetch(2)


@pytest.mark.sweep(fewest=1)
@pytest.mark.parametrize("remainder", ["keep", "drop", "pad", "carry"])
def test_a_checkpoint_of_an_iterator_goes_on_with_the_next_batch(remainder, tmp_path):
    plan = plan_of(remainder=remainder, epochs=9)
    iterator, restored = iter(pipeline(plan)), iter(pipeline(plan))
    whole = planned(plan, N, 40)
    for step in range(10):
        if step in (3, 7, 9):  # within a pass, behind its last and short batch, in the next
            path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "it"))
            tf.train.Checkpoint(iterator=restored).read(path)
            assert [ids.numpy().tolist() for ids, _ in islice(restored, 9)] == whole[step : step + 9]
        next(iterator)


def test_an_iterator_of_single_ids_is_refused_by_checkpoints_and_unbatched_batches_are_kept(tmp_path):
    plan = plan_of()
    with pytest.raises(tf.errors.FailedPreconditionError, match="stateful"):
        tf.train.Checkpoint(iterator=iter(xframe.index_dataset(plan, N))).write(str(tmp_path / "single"))
    iterator, restored = (iter(dataset(plan).unbatch()) for _ in range(2))
    assert len([*islice(iterator, 55)]) == 55
    path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "it"))
    tf.train.Checkpoint(iterator=restored).read(path)
    expected = [i for p in (0, 1, 2) for i in plan.sample_order(N).ids(p).tolist()][55:]
    assert [int(i) for i in islice(restored, len(expected))] == expected


def test_single_ids_begin_where_they_are_told_to():
    plan = plan_of()
    rows = xframe.index_dataset(plan, N, start=(1, 50))
    expected = [i for p in (1, 2) for i in plan.sample_order(N).ids(p).tolist()][50:]
    assert [int(i) for i in rows.repeat(2)] == expected
    assert rows.cardinality() == tf.data.UNKNOWN_CARDINALITY
    assert xframe.index_dataset(plan, N, start=(1, N)).cardinality() == N
    with pytest.raises(xframe.UsageError, match=r"an order's start: got \(0, 54\), expected"):
        xframe.index_dataset(plan, N, start=(0, 54))


def test_a_plan_without_a_batch_is_refused():
    with pytest.raises(xframe.PlanError):
        dataset(plan_of(remainder="drop"), 7)
