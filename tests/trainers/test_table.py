"""The table of what trainers really do: a trainer's own counts are set against what was observed."""

import runpy
from pathlib import Path

import pytest

import xframe

TABLE = runpy.run_path(str(Path(__file__).parents[2] / "experiments" / "11_trainers" / "asking.py"), run_name="table")


def test_a_count_that_is_not_what_was_observed_says_so():
    seen = {TABLE["UPDATES"]: 8, TABLE["STEPS"]: 33, TABLE["PASSES"]: 3}
    assert TABLE["own"]({"global_step": 8, "state.epoch": 2.3636}, seen) == "global_step 8, state.epoch 2.3636"
    assert TABLE["own"]({"state.iteration": 34}, seen) == "**state.iteration 34, 33 steps**"
    assert TABLE["own"]({"state.epoch": 4}, {**seen, TABLE["PASSES"]: None}) == "state.epoch 4"


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_that_ran_is_set_against_its_preset(tmp_path):
    TABLE["run"]("pytorch", tmp_path)
    traces = sorted(tmp_path.glob("*.trace"))
    assert len(traces) == 6
    assert {TABLE["judged"](xframe.Trace.open(path)).partition(";")[0] for path in traces} == {"the same"}


def test_a_trainer_that_differs_from_its_preset_is_named(tmp_path):
    plan = xframe.TrainingPlan(batch_size=2, epochs=1, order="sequential")
    with xframe.record(tmp_path / "a.trace", plan=plan, num_samples=4) as recorder:
        recorder.step(ids=[0, 1], updates=1)
        recorder.step(ids=[3, 2], updates=2)
    assert TABLE["judged"](xframe.Trace.open(tmp_path / "a.trace")) == "**differs: boundaries at step 1**"
