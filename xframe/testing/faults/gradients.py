"""The same samples and updates with other gradients: structure cannot show it, the next loss does."""

from __future__ import annotations

from xframe.running.steering import Place, Window
from xframe.testing.faults.bases import StepsBy, changed
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import FOURS, FOURS_LEAKED, THREES, THREES_BY_SAMPLES


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
