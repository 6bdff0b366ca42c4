"""Gradients, rates, losses, data and weights: structure cannot show them, the next loss or the last weights do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xframe.running.steering import Place, Window
from xframe.testing.faults.bases import Batches, Faulty, Stepped, StepsBy, changed, set_rate
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import FOURS, FOURS_LEAKED, THREES, THREES_BY_SAMPLES

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("never-zeroes", "loss", 8, "other-gradient", plan=FOURS, thread="pytorch/pytorch#47175")
class NeverZeroes(Window):
    """An update's gradients stay and enter the next one too."""

    def close(self, place: Place, rows: int) -> int | None:
        divisor = super().close(place, rows)
        self.fresh = False
        return divisor


@fault("zeroes-each-step", "loss", 4, "other-gradient", plan=FOURS, thread="huggingface/accelerate#1299")
class ZeroesEachStep(Window):
    """Only a window's last gradient enters its update."""

    def close(self, place: Place, rows: int) -> int | None:
        divisor = super().close(place, rows)
        self.fresh = True
        return divisor


@fault("leaks-uncounted", "loss", 33, "other-gradient", plan=FOURS_LEAKED)
class LeaksUncounted(Window):
    """Leaked gradients enter the next update and are not counted among those that are there."""

    def _cut(self) -> int | None:
        divisor = super()._cut()
        self.present = 0
        return divisor


@fault("leaves-padding-out-of-the-mean", "loss", 29, "other-gradient", plan=changed(THREES_BY_SAMPLES, remainder="pad"))
class LeavesPaddingOutOfTheMean(Window):
    """The padding's gradients are summed with the rest, and the sum is divided by the number of real samples."""

    def close(self, place: Place, rows: int) -> int | None:
        return super().close(place, rows - place.padding)


@fault("divides-by-the-window", "loss", 29, "other-gradient", plan=FOURS, thread="Lightning-AI/pytorch-lightning#19987")
class DividesByTheWindow(StepsBy, loss_normalization="window"):
    """A window cut short is divided by k, not by the steps in it."""


@fault("divides-by-the-steps", "loss", 29, "other-gradient", plan=THREES_BY_SAMPLES, thread="keras-team/keras#20241")
class DividesByTheSteps(StepsBy, loss_normalization="actual"):
    """Divided by the steps present, where the plan has k; or rows, so that a short batch weighs more."""


@fault("divides-by-the-rows", "loss", 29, "other-gradient", plan=THREES)
class DividesByTheRows(StepsBy, loss_normalization="samples"):
    """A short batch weighs less in its window, where the plan lets all steps weigh the same."""


@fault("sums-the-window", "loss", 4, "other-gradient", plan=FOURS, thread="huggingface/transformers#37766")
class SumsTheWindow(StepsBy, loss_normalization="sum"):
    """A window's gradients are summed and not divided."""


@fault("half-the-rate", "lr", 0, "learning-rate")
class TrainsAtHalfTheRate(Faulty):
    """Half the learning rate."""

    factor = 0.5

    def train_step(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Any:
        rule = task.optimizer
        slower = replace(rule, learning_rate=rule.rate(0) * self.factor)
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
