"""Steps from another framework's states, judged: the same rule is equivalent, a rate 1.0001 times too large is not."""

from dataclasses import replace

import pytest

from xframe.numerics.runs import first_failing, judged
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.resynchronising import resynchronise
from xframe.running.runtime import Runtime
from xframe.tasks import optimizers
from xframe.tasks.lookup import find_task
from xframe.testing.faults.bases import Faulty, make

PLAN = TrainingPlan(batch_size=30, steps=3)
WINDOWS = TrainingPlan(batch_size=30, steps=8, gradient_accumulation_steps=2)
TASK = replace(find_task("diabetes-regression"), optimizer=optimizers.named("adamw"))


class WrongRate(Faulty):
    """1.0001 times the learning rate."""

    def train_step(self, plan, task, runtime):
        rule = replace(task.optimizer, learning_rate=1.0001 * task.optimizer.rate(0))
        return super().train_step(plan, replace(task, optimizer=rule), runtime)


def numerics(reference, candidate, precision="float32", fault=None, task=TASK, plan=PLAN):
    one, other = registry.load(reference), registry.load(candidate)
    other = other if fault is None else make(other, fault)
    runtime = Runtime(device="cpu", threads=1, precision=precision)
    found = resynchronise(one, other, plan, task, runtime, first_failing=first_failing)
    assert found.reference.losses
    return judged(found, (found.reference.losses, found.candidate.losses), precision, task, reference)


@pytest.mark.parametrize(
    ("reference", "candidate", "plan"), [("numpy", "torch", WINDOWS), ("torch", "tensorflow", PLAN)]
)
def test_the_same_rule_is_equivalent_and_a_wrong_rate_is_not(reference, candidate, plan):
    """In one process, which goes from precision to precision and back."""
    same = numerics(reference, candidate, plan=plan)
    assert (same.verdict, same.first, same.notes) == ("equivalent", None, ())
    assert (same.precisions, same.steps) == (("float64", "float32"), tuple(range(plan.steps)))
    assert same.curve.verdict in ("identical", "equivalent")
    wrong = numerics(reference, candidate, fault=WrongRate, plan=plan)
    assert wrong.verdict == "different"
    assert (wrong.first.stage, wrong.first.precision, wrong.first.step) == (
        "update",
        "float64",
        plan.gradient_accumulation_steps - 1,
    )


def test_a_run_in_float16_is_judged_in_finer_precisions():
    same = numerics("torch", "torch", "mixed_float16")
    assert (same.verdict, same.precisions) == ("identical", ("float64", "float32"))


def own_model():
    """A module whose activation is no part of its layers, and whose outputs are a little too large."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(10, 16), torch.nn.Linear(16, 1)

        def forward(self, features):
            return 1.00001 * self.second(torch.tanh(self.first(features)))

    return Model()


def test_a_layer_is_not_taken_for_a_builders_module():
    """Which may have its activation elsewhere: what differs is the model's outputs."""
    wrong = numerics("numpy", "torch", task=replace(TASK, builders={"torch": own_model}))
    assert (wrong.first.stage, wrong.first.tensor, wrong.first.step) == ("forward", "outputs", 0)
    assert not [one for one in wrong.worst if one.stage == "clipping" and not one.ok]
