"""Which steps make an update: skipped and doubled ones, and accumulation windows that begin or end elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xframe.plan.fields import ACCUMULATION
from xframe.running.steering import Place, Window
from xframe.testing.faults.bases import Batches, StepsBy, placed, train
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import (
    CUT_BY_EPOCHS,
    CUT_BY_PASSES,
    FOURS,
    FOURS_29_STEPS,
    FOURS_CARRIED,
    FOURS_DROPPED,
    FOURS_FLUSHED_AT_END,
    FOURS_LEAKED,
    FOURS_SHORTENED,
)

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.tasks.task import Task


@fault("skips-an-update", "updates", 3, "update-skipped", thread="huggingface/transformers#2995")
def skips_an_update(plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
    """Step 3 computes its gradient and does not apply it."""
    return train(step, batch, updates=index != 3)


@fault("skips-the-first-update", "updates", 0, "update-skipped")
def skips_the_first_update(plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
    """The first step's update is skipped, as by a loss scale that begins too high."""
    return train(step, batch, updates=index != 0)


@fault("applies-an-update-twice", "updates", 3, "update-doubled")
def applies_an_update_twice(plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
    """Step 3 applies the same gradient twice."""
    return train(step, batch, updates=1 + (index == 3))


# Keras refuses to apply no gradients.
@fault("clears-the-gradients", "updates", 3, "update-skipped", frameworks=("numpy", "torch"))
def clears_the_gradients(plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
    """In step 3 ``zero_grad`` comes before ``step``: the optimizer is called and changes nothing."""
    return train(step, batch, updates=1, clear_gradients=index == 3)


@fault(
    "updates-each-step",
    "updates",
    0,
    "updates-counted-as-steps",
    plan=FOURS,
    thread="Lightning-AI/pytorch-lightning#21808",
)
class UpdatesEachStep(StepsBy, gradient_accumulation_steps=1, **dict.fromkeys(ACCUMULATION)):
    """Accumulation is switched off, every step updates."""


@fault("halves-the-window", "updates", 1, "accumulation-steps", plan=FOURS)
class HalvesTheWindow(StepsBy, gradient_accumulation_steps=lambda plan: plan.gradient_accumulation_steps // 2):
    """Windows of half the steps: the factor was divided among two replicas."""


@fault("lengthens-the-window", "updates", 3, "accumulation-steps", plan=FOURS)
class LengthensTheWindow(StepsBy, gradient_accumulation_steps=lambda plan: plan.gradient_accumulation_steps + 1):
    """Windows of one step more: the count begins at 0 and is compared with ``>``."""


@fault("updates-too-early", "updates", 0, "update-offset", plan=FOURS_CARRIED, thread="huggingface/transformers#12675")
class UpdatesTooEarly(Window):
    """``i % k == 0`` where ``(i + 1) % k == 0`` is meant: the first step updates at once."""

    def __init__(self, plan: TrainingPlan) -> None:
        super().__init__(plan)
        self.count = plan.gradient_accumulation_steps - 1


@fault("misses-an-update", "updates", 7, "update-skipped", plan=FOURS, thread="huggingface/transformers#2995")
class MissesAnUpdate(Window):
    """The second window ends without its update, and its gradients are zeroed."""

    def close(self, place: Place, rows: int) -> int | None:
        divisor = super().close(place, rows)
        return None if self.updates == 2 else divisor


@fault(
    "flushes-where-dropped", "updates", 28, "leftover-flushed", plan=FOURS_DROPPED, thread="huggingface/accelerate#1847"
)
@fault("flushes-where-carried", "updates", 28, "leftover-flushed", plan=FOURS_CARRIED)
class FlushesTheLeftover(StepsBy, accumulation_remainder="flush"):
    """What is left at an epoch's end updates, where the plan drops it or carries it on."""


# Dropped or leaked, the same steps have updates, and the rows do not show which gradients enter the next one. Where
# the updates are alike, the next gradient differs, which "other-gradient" says; with the plan's policy known, the
# narrower name is right too.
@fault(
    "drops-where-flushed",
    "updates",
    28,
    "leftover-dropped",
    "leftover-leaked",
    plan=FOURS,
    thread="Lightning-AI/pytorch-lightning#1549",
)
@fault("drops-where-leaked", "loss", 33, "other-gradient", "leftover-dropped", plan=FOURS_LEAKED)
class DropsTheLeftover(StepsBy, accumulation_remainder="drop"):
    """What is left at an epoch's end is zeroed, where the plan updates or keeps it."""


@fault(
    "leaks-where-flushed",
    "updates",
    28,
    "leftover-leaked",
    "leftover-dropped",
    plan=FOURS,
    thread="microsoft/Swin-Transformer#185",
)
@fault("leaks-where-dropped", "loss", 33, "other-gradient", "leftover-leaked", plan=FOURS_DROPPED)
class LeaksTheLeftover(StepsBy, accumulation_remainder="leak"):
    """``(i + 1) % k`` starts again in each epoch, and nothing zeroes what is left."""


@fault(
    "carries-where-flushed",
    "updates",
    28,
    "leftover-carried",
    plan=FOURS,
    thread="Lightning-AI/pytorch-lightning#19684",
)
@fault("carries-where-dropped", "updates", 31, "leftover-carried", plan=FOURS_DROPPED)
class CarriesTheLeftover(StepsBy, accumulation_remainder="carry"):
    """The window goes on over the epoch's end that is to cut it."""


@fault("cuts-at-passes", "updates", 17, "window-cut-elsewhere", plan=CUT_BY_EPOCHS)
class CutsAtPasses(StepsBy, accumulation_boundary="pass"):
    """The end of a pass cuts the window, where the plan has it cut by the end of an epoch."""


@fault("cuts-at-epochs", "updates", 17, "window-cut-elsewhere", plan=CUT_BY_PASSES)
class CutsAtEpochs(StepsBy, accumulation_boundary="epoch"):
    """The end of an epoch cuts the window, where the plan has it cut by the end of a pass."""


@fault("flushes-at-the-end", "updates", 57, "window-at-training-end", plan=FOURS_CARRIED)
class FlushesAtTheEnd(StepsBy, accumulation_at_end="flush"):
    """A window still open when training stops updates, the plan drops it."""


@fault(
    "drops-at-the-end", "updates", 57, "window-at-training-end", plan=FOURS_FLUSHED_AT_END, thread="timoschick/pet#36"
)
class DropsAtTheEnd(StepsBy, accumulation_at_end="drop"):
    """A window still open when training stops is lost, the plan flushes it."""


# The only leftover is on the step that ends pass, epoch and training: it was dropped at all three ends.
@fault("looks-at-limits-first", "updates", 28, "window-at-training-end", "leftover-dropped", plan=FOURS_29_STEPS)
class LooksAtLimitsFirst(Window):
    """The limit of steps ends the run before the end of the epoch on the same step can cut the window."""

    def close(self, place: Place, rows: int) -> int | None:
        stops = self.steps + 1 == self.plan.steps
        return super().close(place._replace(ends_pass=False, ends_epoch=False) if stops else place, rows)


@fault("never-ends-a-short-epoch", "updates", 28, "leftover-carried", plan=FOURS_SHORTENED)
def never_ends_a_short_epoch(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The window is not cut where the data end the epoch before its time."""
    return (placed(batch, exhausts=False) for batch in batches)
