"""Rates, losses, data and weights: what structure does not show."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xframe.tasks.optimizers import SGD
from xframe.testing.faults.bases import Batches, Faulty, Stepped, set_rate
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import FOURS

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("half-the-rate", "lr", 0, "learning-rate")
class TrainsAtHalfTheRate(Faulty):
    """Half the learning rate."""

    factor = 0.5

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        rule = task.optimizer
        slower = SGD(rule.rate(0) * self.factor, rule.momentum, rule.weight_decay)
        return super().train_step(plan, replace(task, optimizer=slower), runtime)


@fault("rate-zero", "lr", 0, "learning-rate")
class TrainsAtRateZero(TrainsAtHalfTheRate):
    """Learning rate 0: every update is applied, and none changes a weight."""

    factor = 0.0


@fault("decays-each-pass", "lr", 29, "learning-rate")
class DecaysEachPass(Stepped):
    """A schedule that is not in the plan divides the rate by ten after each pass."""

    rate: float

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        self.rate = task.optimizer.rate(0)
        return super().train_step(plan, task, runtime)

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        set_rate(step, self.rate / 10**batch.place.epoch)
        return step(batch)


@fault("warms-up", "lr", 0, "learning-rate")
class WarmsUp(DecaysEachPass):
    """A warm-up of ten updates that is not in the plan, the first at a tenth of the rate."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        set_rate(step, self.rate * min(1.0, (index + 1) / 10))
        return step(batch)


# A wrong target is other data as much as it makes another gradient: the loss of step 3 shows it at once.
@fault("mispairs-targets", "loss", 3, "other-gradient", "different-data")
def mispairs_targets(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """Ids and features are right, but in step 3 each sample is taught a different sample's target."""
    for i, batch in enumerate(batches):
        backwards = list(reversed(range(len(batch.ids))))
        yield batch._replace(targets=batch.take(backwards).targets) if i == 3 else batch


@fault("logs-the-loss-over-k", "loss", 0, "loss-scale", plan=FOURS, thread="Lightning-AI/pytorch-lightning#2569")
def logs_the_loss_over_k(plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
    """The loss that the loop keeps is divided by k; the gradient is not."""
    seen = step(batch)
    return seen._replace(loss=seen.loss * (1 / plan.gradient_accumulation_steps))


@fault("sums-the-replicas-loss", "loss", 0, "loss-scale")
def sums_the_replicas_loss(plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
    """The loss that the loop keeps is the sum over two replicas, not their mean."""
    seen = step(batch)
    return seen._replace(loss=seen.loss * 2.0)


@fault("returns-an-earlier-checkpoint", "weights", None, "weights-elsewhere")
class ReturnsAnEarlierCheckpoint(Stepped):
    """The final weights handed back are those after step 6, a restored "best" checkpoint."""

    best: Any

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        seen = step(batch)
        if index == 6:
            self.best = step.model.weights()
        return seen

    def run(self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Any) -> Any:
        super().run(plan, task, runtime, recorder)
        return self.best


@fault("returns-another-layout", "weights", None, "weights-elsewhere")
class ReturnsAnotherLayout(Faulty):
    """The weights handed back are (outputs, inputs), torch's layout, where the canonical one is (inputs, outputs)."""

    def run(self, plan: TrainingPlan, task: Task, runtime: Runtime, recorder: Any) -> Any:
        return {name: values.T for name, values in super().run(plan, task, runtime, recorder).items()}


@fault("other-starting-weights", "loss", 0, "starting-weights")
def other_start(task: Task) -> Task:
    """The task with its initial weights halved and in reverse order."""

    def initial_weights() -> dict[str, Any]:
        return {name: values[::-1] / 2 for name, values in task.initial_weights().items()}

    return replace(task, initial_weights=initial_weights)


@fault("unscaled-features", "boundaries", 0, "different-data")
def other_scaling(task: Task) -> Task:
    """The task with features that nobody scaled down."""

    def load() -> tuple[Any, Any]:
        features, targets = task.data("float64")
        return features * 16, targets

    return replace(task, load=load)


@fault("other-row-order", "boundaries", 0, "different-data")
def other_sorting(task: Task) -> Task:
    """The task with its rows read in a different order, as of a folder listed by a different file system."""

    def load() -> tuple[Any, Any]:
        features, targets = task.data("float64")
        return features[::-1], targets[::-1]

    return replace(task, load=load)
