"""Every feature done wrong is caught by the contract suite, by the test that is meant to, and honest ones are not."""

from pathlib import Path

import feature_cheats as cheats
import pytest
from cheats import ADAPTERS, make

from xframe.testing import AdapterContract

ALL = ("numpy", "torch", "tensorflow")
CASES = [  # the cheat, the test that catches it, its arguments, what it says, where
    (cheats.SchedulesLateByOne, "test_schedule", ("exponential",), "lr: step 2", ALL),
    (cheats.SchedulesLateByOne, "test_schedule_clock", ("steps",), "step 1: learning rate", ALL),
    (cheats.TicksBySteps, "test_schedule_clock", ("updates",), "step 1: learning rate", ALL),
    (cheats.TicksByUpdates, "test_schedule_clock", ("steps",), "step 1: learning rate", ALL),
    (cheats.TicksByUpdates, "test_schedule_clock", ("epochs",), "step 2: learning rate", ALL),
    (cheats.TicksByEpochs, "test_schedule_clock", ("updates",), "step 2: learning rate", ALL),
    (cheats.ValidationShiftsTheOrder, "test_validation", ("steps",), "boundaries: step 1", ALL),
    (cheats.ValidatesOnlyAtTheEnd, "test_validation", ("epochs",), "validated after step 32, the plan says", ALL),
    (cheats.ValidatesTooSoon, "test_validation", ("steps",), "validated after step 2, the plan says", ALL),
    (cheats.ValidatesTooSoon, "test_validation", ("updates",), "validated after step 3, the plan says", ALL),
    (cheats.AveragesByBatch, "test_validation", ("epochs",), "validation loss", ALL),
    (cheats.CountsPatienceInEpochs, "test_early_stopping", (False,), "where its validations stop it early", ALL),
    (cheats.StopsOneValidationSooner, "test_early_stopping", (False,), "steps: ", ALL),
    (cheats.KeepsTheLastWeights, "test_early_stopping", (True,), "weights: ", ALL),
    (cheats.ClipsEachTensor, "test_clipping", ("clip_global_norm",), "loss: step", ALL),
    (cheats.ClipsTheSum, "test_clipping", ("clip_global_norm",), "loss: step", ALL),
    (cheats.MeasuresBeforeTheLastBatch, "test_accuracy", (), "loss: step 3: accuracy", ALL),
    (cheats.CountsSkippedUpdates, "test_skipped_updates", (), "skipped is counted as applied", ALL[1:]),
]
RUNS = [(framework, case) for case in CASES for framework in case[-1]]


def suite(framework, cheat=None):
    adapter = ADAPTERS[framework]() if cheat is None else make(framework, cheat)
    return type("Bound", (AdapterContract,), {"adapter": adapter, "twin": Path(), "loop": adapter.loops[0]})()


@pytest.mark.parametrize(
    ("framework", "case"), RUNS, ids=[f"{f}-{case[0].__name__}-{'-'.join(map(str, case[2]))}" for f, case in RUNS]
)
def test_it_is_caught(framework, case, tmp_path):
    cheat, test, arguments, told, _ = case
    with pytest.raises(AssertionError, match=told):
        getattr(suite(framework, cheat), test)(*arguments, tmp_path)


class Honest:
    """No bug, in the same wrapping."""


@pytest.mark.parametrize("framework", ALL)
def test_an_honest_adapter_is_not(framework, tmp_path):
    for i, (test, arguments) in enumerate(sorted({case[1:3] for case in CASES}, key=str)):
        folder = tmp_path / str(i)
        folder.mkdir()
        getattr(suite(framework, Honest), test)(*arguments, folder)
