"""Early stopping goes on from a state as if it had seen the validations before it."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xframe.plan.stopping import EarlyStopping, StoppingState
from xframe.plan.training_plan import TrainingPlan

FIELDS = {"batch_size": 4, "epochs": 9, "validation_every": 1, "early_stopping_patience": 2}


def stored(state):
    """The state as it comes back from a file."""
    return StoppingState(**json.loads(json.dumps(dataclasses.asdict(state))))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(), min_size=1, max_size=12),
    st.integers(0, 12),
    st.sampled_from(["min", "max"]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([None, 1 / 3]),
)
def test_it_is_restored_midway(values, at, mode, min_delta, baseline):
    changes = {
        "early_stopping_mode": mode,
        "early_stopping_min_delta": min_delta,
        "early_stopping_baseline": baseline,
    }
    plan = TrainingPlan.from_mapping(FIELDS | changes)
    whole, first, second = (EarlyStopping(plan) for _ in range(3))
    expected = [whole.see(value) for value in values]
    decisions = [first.see(value) for value in values[:at]]
    second.restore(stored(first.state()))
    decisions += [second.see(value) for value in values[at:]]
    assert repr(decisions) == repr(expected)  # NaN too
    assert second.state() == whole.state()
    assert second.state().best_validation == whole.state().best_validation


def test_what_it_remembers():
    stopping = EarlyStopping(TrainingPlan.from_mapping(FIELDS))
    assert stopping.state() == StoppingState()
    for value in (3.0, 1.0, 2.0):
        stopping.see(value)
    assert stopping.state() == StoppingState(best=1.0, best_validation=1, seen=3, waited=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        stopping.state().best = 0.0
