"""Replicas of TensorFlow's: workers of MultiWorkerMirroredStrategy in the loop function, and Keras' own under Mirrored.

More plans, in replicas of either framework: ``python -m sweeps replicated``.
"""

from dataclasses import replace

import numpy as np
import pytest

import xframe
from xframe.plan.replicas import share
from xframe.plan.training_plan import TrainingPlan
from xframe.running.registry import load
from xframe.running.runtime import Runtime
from xframe.tasks import layers, losses
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import SGD
from xframe.testing import observe
from xframe.trace.trace import Trace

DIGITS = find_task("digits-mlp")
LOOPS = "tensorflow", "tensorflow:fit"
MEANS = TrainingPlan(batch_size=300, epochs=2, replicas=2, replica_gradients="replicas", validation_every=1)
SUMS = TrainingPlan(batch_size=20, epochs=1, replicas=4)  # the last step has 3 rows, and replica 3 none of them


@pytest.fixture(scope="module")
def means(tmp_path_factory):
    """Both loops on digits, and their comparison."""
    return made(MEANS, "digits-mlp", tmp_path_factory.mktemp("means") / "run")


@pytest.fixture(scope="module")
def sums(tmp_path_factory):
    """Both loops on the ledger, and their comparison."""
    return made(SUMS, "ledger", tmp_path_factory.mktemp("sums") / "run")


def made(plan, task, out):
    comparison = xframe.verify(plan, task=task, adapters=LOOPS, device="cpu", out=out)
    return comparison, [Trace.open(out / f"{loop.replace(':', '-')}.trace") for loop in LOOPS]


@pytest.mark.costly
@pytest.mark.thorough
def test_both_loops_train_the_plan_and_end_alike(means):
    comparison, traces = means
    assert comparison, str(comparison)
    for trace in traces:
        assert len(trace.replicas) == 2
        assert trace.num_rows == 12
        first, second = (rank.column("weights_mark") for rank in trace.replicas)
        assert np.array_equal(first, second)
        assert len(set(first)) == 12, "each update moves the weights"


@pytest.mark.costly
@pytest.mark.thorough
def test_means_of_means_are_one_processs_run_until_a_step_is_uneven(means, tmp_path):
    _, (trace, _) = means
    plan = TrainingPlan(batch_size=300, epochs=2, validation_every=1)
    one = observe(load("tensorflow"), plan, DIGITS, tmp_path / "one.trace", loop="function")
    assert one.certificate == trace.certificate
    apart = np.abs(one.column("loss") - trace.column("loss"))
    assert apart[:6].max() < 1e-6 < apart[6], "the step before has 297 rows, 149 and 148"


@pytest.mark.costly
@pytest.mark.thorough
def test_the_ledgers_weights_spell_the_replicas_samples(sums):
    comparison, traces = sums
    assert comparison, str(comparison)
    task, order = find_task("ledger"), SUMS.sample_order(103).ids(0)
    for trace in traces:
        assert trace.replicas[3].column("batch_size")[-1] == 0
        assert not np.isnan(trace.column("loss")).any()
        assert task.audit(trace, trace.weights()) == []
        for index, rank in enumerate(trace.replicas):
            expected = [order[i : i + 20][share(SUMS, min(20, 103 - i), index)] for i in range(0, 103, 20)]
            assert all(map(np.array_equal, rank.batches(), expected))
    cheat = traces[0].weights()
    cheat["dense_0/kernel"][0] += 1
    assert task.audit(traces[0], cheat), "a weight that no sample of the trace made"


EVEN = replace(MEANS, validation_every=None, validation_unit=None, validation_batch_size=None)
CLIPPED = replace(DIGITS, optimizer=SGD(learning_rate=0.1, clip_global_norm=1.0))
NORMED = replace(DIGITS, layers=(layers.Dense(8), layers.BatchNorm(), layers.Dense(10)))
IGNORING = replace(DIGITS, loss=losses.CrossEntropy(ignored=3), metrics=())


@pytest.mark.parametrize(
    ("loop", "plan", "task", "says"),
    [
        ("block", EVEN, DIGITS, "runs no replicas"),
        ("xla", EVEN, DIGITS, "runs no replicas"),
        (None, EVEN, NORMED, "BatchNorm"),
        (None, replace(EVEN, replica_gradients="rows"), IGNORING, "do not count alike"),
        ("fit", replace(EVEN, replica_split="interleaved"), DIGITS, "slices"),
        ("fit", replace(EVEN, replica_gradients="rows"), DIGITS, "mean of the replicas' own means"),
        ("fit", EVEN, CLIPPED, "clips each one's"),
        ("fit", TrainingPlan(**{**vars(EVEN), "gradient_accumulation_steps": 2}), DIGITS, "accumulate"),
        ("fit", replace(EVEN, batch_size=301), DIGITS, "one size"),
    ],
)
def test_what_replicas_cannot_do_is_refused_by_name(loop, plan, task, says):
    assert any(says in reason for reason in load("tensorflow").check(plan, task, Runtime("cpu", loop=loop)))


def test_what_they_can_do_is_not_refused():
    clipped = replace(EVEN, replica_split="dealt", replica_gradients="rows")
    assert load("tensorflow").check(clipped, CLIPPED, Runtime("cpu")) == []
    assert load("tensorflow").check(EVEN, DIGITS, Runtime("cpu", loop="fit")) == []
