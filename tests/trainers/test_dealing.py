"""What engines deal to replicas, against the plans of their presets. ``make proof`` asks more often."""

import pytest
from dealing import ENGINES, agree, compare, lengths_agree
from sampling import part

import xframe

CONFIGURATIONS, SEED = part(40), 0


@pytest.mark.sweep
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_deals_as_its_preset_says(engine, record_property):
    found = agree(engine, CONFIGURATIONS, SEED)
    record_property("sample", f"{found.text}, seed {SEED}")
    assert found.compared == CONFIGURATIONS
    assert found.mismatches == []


# The check can fail: a plan that is wrong in one respect is found out.

WRONG = {
    "other rows": {"replica_split": "slices"},
    "not filled up": {"replica_remainder": "uneven"},
    "left out": {"replica_remainder": "drop"},
    "dropped": {"remainder": "drop"},
    "one pass more": {"epochs": 3},
    "a replica less": {"replicas": 3},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_plan_is_found_out(name):
    arguments = {"batch_size": 6, "epochs": 2, "world_size": 2, "drop_last": False, "sampler_drop_last": False}
    (dealt,) = ENGINES["DistributedSampler"][2]([(21, arguments)])
    plan = xframe.TrainingPlan.like("pytorch", num_samples=21, order="sequential", **arguments)
    assert compare(plan, 21, dealt) is None
    wrong = xframe.TrainingPlan.from_mapping({**plan.to_dict(), **WRONG[name]})
    assert compare(wrong, 21, dealt) is not None


def test_what_could_be_said_is_not_to_be_refused():
    assert lengths_agree([[[0], [2]], [[1]]]) is None
    assert lengths_agree([[[0], [2]], [[1], [3]]]) is not None
