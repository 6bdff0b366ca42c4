"""Which steps make an update: skipped and doubled ones, and accumulation windows that begin or end elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from xframe.plan.fields import ACCUMULATION
from xframe.running.steering import Place, Window
from xframe.testing.faults.bases import Faulty, Steered, Stepped, StepsBy, changed, placed, train
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import (
    CUT_BY_EPOCHS,
    CUT_BY_PASSES,
    FOURS,
    FOURS_CARRIED,
    FOURS_DROPPED,
    FOURS_FLUSHED_AT_END,
    FOURS_LEAKED,
    SHORTENED,
)

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("skips-an-update", "updates", 3, "update-skipped", thread="huggingface/transformers#2995")
class SkipsAnUpdate(Stepped):
    """Step 3 computes its gradient and does not apply it."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return train(step, batch, updates=index != 3)


@fault("skips-the-first-update", "updates", 0, "update-skipped")
class SkipsTheFirstUpdate(Stepped):
    """The first step's update is skipped, as by a loss scale that begins too high."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return train(step, batch, updates=index != 0)


@fault("applies-an-update-twice", "updates", 3, "update-doubled")
class AppliesAnUpdateTwice(Stepped):
    """Step 3 applies the same gradient twice."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return train(step, batch, updates=1 + (index == 3))


# Keras refuses to apply no gradients.
@fault("clears-the-gradients", "updates", 3, "update-skipped", frameworks=("numpy", "torch"))
class ClearsTheGradients(Stepped):
    """In step 3 ``zero_grad`` comes before ``step``: the optimizer is called and changes nothing."""

    def call(self, plan: TrainingPlan, step: Any, index: int, batch: Any) -> Any:
        return train(step, batch, updates=1, clear_gradients=index == 3)


@fault(
    "updates-each-step",
    "updates",
    0,
    "updates-counted-as-steps",
    plan=FOURS,
    thread="Lightning-AI/pytorch-lightning#21808",
)
class UpdatesEachStep(StepsBy):
    """Accumulation is switched off, every step updates."""

    fields: ClassVar[Mapping[str, Any]] = {"gradient_accumulation_steps": 1, **dict.fromkeys(ACCUMULATION)}


@fault("halves-the-window", "updates", 1, "accumulation-steps", plan=FOURS)
class HalvesTheWindow(StepsBy):
    """Windows of half the steps: the factor was divided among two replicas."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, gradient_accumulation_steps=plan.gradient_accumulation_steps // 2)


@fault("lengthens-the-window", "updates", 3, "accumulation-steps", plan=FOURS)
class LengthensTheWindow(StepsBy):
    """Windows of one step more: the count begins at 0 and is compared with ``>``."""

    def misread(self, plan: TrainingPlan) -> TrainingPlan:
        return changed(plan, gradient_accumulation_steps=plan.gradient_accumulation_steps + 1)


@fault("updates-too-early", "updates", 0, "update-offset", plan=FOURS_CARRIED, thread="huggingface/transformers#12675")
class UpdatesTooEarly(Steered):
    """``i % k == 0`` where ``(i + 1) % k == 0`` is meant: the first step updates at once."""

    class Own(Window):
        """A window that begins with one step to go."""

        def __init__(self, plan: TrainingPlan) -> None:
            super().__init__(plan)
            self.count = plan.gradient_accumulation_steps - 1


@fault("misses-an-update", "updates", 7, "update-skipped", plan=FOURS, thread="huggingface/transformers#2995")
class MissesAnUpdate(Steered):
    """The second window ends without its update, and its gradients are zeroed."""

    class Own(Window):
        """A window whose second update is not made."""

        def close(self, place: Place, rows: int) -> int | None:
            divisor = super().close(place, rows)
            return None if self.updates == 2 else divisor


@fault(
    "flushes-where-dropped", "updates", 28, "leftover-flushed", plan=FOURS_DROPPED, thread="huggingface/accelerate#1847"
)
@fault("flushes-where-carried", "updates", 28, "leftover-flushed", plan=FOURS_CARRIED)
class FlushesTheLeftover(StepsBy):
    """What is left at an epoch's end updates, where the plan drops it or carries it on."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_remainder": "flush"}


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
class DropsTheLeftover(StepsBy):
    """What is left at an epoch's end is zeroed, where the plan updates or keeps it."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_remainder": "drop"}


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
class LeaksTheLeftover(StepsBy):
    """``(i + 1) % k`` starts again in each epoch, and nothing zeroes what is left."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_remainder": "leak"}


@fault(
    "carries-where-flushed",
    "updates",
    28,
    "leftover-carried",
    plan=FOURS,
    thread="Lightning-AI/pytorch-lightning#19684",
)
@fault("carries-where-dropped", "updates", 31, "leftover-carried", plan=FOURS_DROPPED)
class CarriesTheLeftover(StepsBy):
    """The window goes on over the epoch's end that is to cut it."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_remainder": "carry"}


@fault("cuts-at-passes", "updates", 17, "window-cut-elsewhere", plan=CUT_BY_EPOCHS)
class CutsAtPasses(StepsBy):
    """The end of a pass cuts the window, where the plan has it cut by the end of an epoch."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_boundary": "pass"}


@fault("cuts-at-epochs", "updates", 17, "window-cut-elsewhere", plan=CUT_BY_PASSES)
class CutsAtEpochs(StepsBy):
    """The end of an epoch cuts the window, where the plan has it cut by the end of a pass."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_boundary": "epoch"}


@fault("flushes-at-the-end", "updates", 57, "window-at-training-end", plan=FOURS_CARRIED)
class FlushesAtTheEnd(StepsBy):
    """A window still open when training stops updates, the plan drops it."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_at_end": "flush"}


@fault(
    "drops-at-the-end", "updates", 57, "window-at-training-end", plan=FOURS_FLUSHED_AT_END, thread="timoschick/pet#36"
)
class DropsAtTheEnd(StepsBy):
    """A window still open when training stops is lost, the plan flushes it."""

    fields: ClassVar[Mapping[str, Any]] = {"accumulation_at_end": "drop"}


# The only leftover is on the step that ends pass, epoch and training: it was dropped at all three ends.
@fault(
    "looks-at-limits-first",
    "updates",
    28,
    "window-at-training-end",
    "leftover-dropped",
    plan=changed(FOURS, epochs=None, steps=29),
)
class LooksAtLimitsFirst(Steered):
    """The limit of steps ends the run before the end of the epoch on the same step can cut the window."""

    class Own(Window):
        """A window that its limit's last step cannot cut."""

        def close(self, place: Place, rows: int) -> int | None:
            stops = self.steps + 1 == self.plan.steps
            return super().close(place._replace(ends_pass=False, ends_epoch=False) if stops else place, rows)


@fault(
    "never-ends-a-short-epoch",
    "updates",
    28,
    "leftover-carried",
    plan=changed(SHORTENED, gradient_accumulation_steps=4),
)
class NeverEndsAShortEpoch(Faulty):
    """The window is not cut where the data end the epoch before its time."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Iterator[Any]:
        return (placed(batch, exhausts=False) for batch in super().pipeline(plan, task, runtime))
