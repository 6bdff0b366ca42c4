"""Two runs that hold out other rows train on different splits; that is no training on validated samples."""

from dataclasses import replace

import numpy as np
import pytest

from tests.diagnosed import diagnose
from xframe.diagnosis.naming import by_content
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

N, BATCH, PASSES = 100, 8, 3
SPLIT = np.random.default_rng(5).permutation(N)


def _rows(samples: np.ndarray, seed: int | None) -> Rows:
    rng = np.random.default_rng(seed)
    passes = [samples if seed is None else rng.permutation(samples) for _ in range(PASSES)]
    sizes = [len(one) for ids in passes for one in np.split(ids, range(BATCH, len(ids), BATCH))]
    return Rows.of_arrays(batch_size=np.array(sizes), ids=np.concatenate(passes), updates=np.arange(len(sizes)) + 1)


@pytest.mark.parametrize("ordered", [True, False])
def test_other_rows_held_out_are_another_split(ordered: bool) -> None:
    own, other = np.arange(80), SPLIT[:80]
    alone = len(np.setdiff1d(own, other))
    found = diagnose(_rows(own, None), _rows(other, 1), num_samples=None, plan=None, ordered=ordered)
    assert found[0].name == "different-split"
    assert f"{alone} of its 80 samples" in found[0].sentence
    assert "validation_data=(X_val, y_val)" in found[0].fix["keras"]
    assert "validation-in-training" not in [one.name for one in found]


def test_validated_samples_that_are_trained_on_beside_the_rest_are_no_split() -> None:
    found = diagnose(_rows(np.arange(84), None), _rows(np.arange(80), 1), num_samples=80, plan=None, ordered=False)
    names = [one.name for one in found]
    assert "different-split" not in names


def test_one_pass_shows_no_split() -> None:
    """A pass that was cut has other samples of the same data."""
    whole = np.random.default_rng(1).permutation(N), np.random.default_rng(2).permutation(N)
    cut = [_rows(one, None).head(9) for one in whole]
    assert "different-split" not in [one.name for one in diagnose(*cut, num_samples=None, plan=None)]


def test_numbers_of_contents_are_no_rows() -> None:
    """A content that is in no run's data by an index is not numbered in a sentence."""
    for sentence, without in {
        "B is without sample 1,719 of step 3": "B is without another sample of step 3",
        "B has sample 12 in step 3 in place of 7, and so twice": "B has another sample in step 3 in place of 7, and so "
        "twice",
        "B trains on 2 samples that A never has (1,719, 1,720), first in step 38": "B trains on 2 samples that A never "
        "has, first in step 38",
        "B has samples 3 and 15 in each other's place": "B has samples in each other's place",
        "B has samples 3 and 5 in each other's place": "B has samples 3 and 5 in each other's place",
        "B trains on 5 of 58 samples 12 times each in a pass": "B trains on 5 of 58 samples 12 times each in a pass",
    }.items():
        assert by_content(sentence, 10) == without


def test_epochs_that_begin_again_by_plan_leave_rows_out_of_no_split() -> None:
    """One order in each pass, of which a plan takes the first half alone."""
    plan = TrainingPlan(batch_size=BATCH, epochs=PASSES, steps_per_epoch=8, seed=1, order="shuffle", reshuffle=False)
    other = Rows.of_plan(replace(plan, seed=2), N)
    found = diagnose(other, Rows.of_plan(plan, N), num_samples=N, plan=plan)
    assert "different-split" not in [one.name for one in found]
