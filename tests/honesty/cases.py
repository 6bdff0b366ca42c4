"""What is to be found of each cheat: which check, and at which step.

Each cheat trains once in each framework on a ledger of 23 samples. Under ``PLAN``, two passes of batches
of 5, steps 0 to 4, the last with 3 samples, and steps 5 to 9. All weights are zero until a sample was
trained on, so every loss of the first pass is 0, and step 5 is the first whose loss can differ. The
other plans are as small: each is one in which the fault shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cheats
from cheats import ADAPTERS

from xframe.plan.training_plan import TrainingPlan
from xframe.testing.contract import LEDGER
from xframe.testing.faults import batches, epochs, lengths, numbers, order, samples, updates
from xframe.testing.faults.bases import changed

PLAN = TrainingPlan(batch_size=5, epochs=2)
LEDGER_TESTS = ("test_steps", "test_boundaries", "test_updates", "test_epochs", "test_ledger")

Steps = dict[str, int | None]


@dataclass(frozen=True)
class Case:
    """What is to be found of a cheat.

    Attributes:
        cheat: a class of ``cheats`` or of ``xframe.testing.faults``.
        tests: the tests of the contract suite that catch it on the ledger, each with the step its message names.
        structure: the checks that fail against the plan and against an honest run, each with its first step.
        numbers: the checks that fail besides against an honest run.
        audit: whether the ledger contradicts the trace.
        says: what the first difference's text tells.
        frameworks: where it can be expressed.
        plan: what is trained.
    """

    cheat: type
    tests: Steps
    structure: Steps = field(default_factory=dict)
    numbers: Steps = field(default_factory=dict)
    audit: bool = False
    says: str = ""
    frameworks: tuple[str, ...] = tuple(ADAPTERS)
    plan: TrainingPlan = PLAN


def again(plan: TrainingPlan, *steps: int, after: int) -> int:
    """The first step later than ``after`` that has a sample of these steps."""
    every = list(plan.each_step(LEDGER.num_samples))
    ids = set().union(*(every[step].sample_ids.tolist() for step in steps))
    return next(step.index for step in every[after + 1 :] if ids & set(step.sample_ids.tolist()))


CASES = (
    Case(
        samples.drops_a_batch,
        tests={"test_steps": None, "test_boundaries": 3, "test_epochs": 3},
        structure={"steps": 9, "boundaries": 3, "epochs": 3},
        says="5 of 5 samples differ|trained on",
    ),
    Case(
        order.swaps_inside_a_batch,
        tests={"test_boundaries": 2},
        structure={"boundaries": 2},
        says="the same 5 samples in a different order inside the batch, 2 places differ, first place 0",
    ),
    Case(
        samples.swaps_across_batches,
        tests={"test_boundaries": 1},
        structure={"boundaries": 1},
        says="1 of 5 samples differ",
    ),
    Case(
        samples.repeats_a_sample,
        tests={"test_boundaries": 2},
        structure={"boundaries": 2},
        says="1 of 5 samples differ",
    ),
    Case(
        samples.loses_a_sample,
        tests={"test_steps": None, "test_boundaries": 3},
        structure={"boundaries": 3},
        says="trained on 4 samples, .* 5",
    ),
    Case(
        batches.DropsTheRemainder,
        tests={"test_steps": None, "test_boundaries": 4, "test_epochs": 4},
        structure={"steps": 8, "boundaries": 4, "epochs": 4},
        says="trained on 5 samples, .* 3",
    ),
    Case(
        batches.fills_the_short_batch,
        tests={"test_steps": None, "test_boundaries": 4},
        structure={"boundaries": 4},
        says="trained on 5 samples, .* 3",
    ),
    Case(
        epochs.never_restarts_its_steps,
        tests={"test_epochs": 5},
        structure={"epochs": 5},
        says="calls it step in epoch 5, .* 0",
    ),
    Case(lengths.stops_early, tests={"test_steps": None}, structure={"steps": 9}, says="made 9 steps, .* 10"),
    Case(
        lengths.trains_the_last_batch_twice,
        tests={"test_steps": None},
        structure={"steps": 10},
        says="made 11 steps, .* 10",
    ),
    Case(
        lengths.FinishesTheEpoch,
        tests={"test_steps": None},
        structure={"steps": 7},
        says="made 10 steps, .* 7",
        plan=TrainingPlan(batch_size=5, steps=7, epochs=2),
    ),
    Case(
        lengths.IgnoresTheUpdateLimit,
        tests={"test_steps": None},
        structure={"steps": 8},
        says="made 10 steps, .* 8",
        plan=TrainingPlan(batch_size=5, updates=8, epochs=2),
    ),
    Case(order.NeverShuffles, tests={"test_boundaries": 0}, structure={"boundaries": 0}),
    Case(order.ShufflesWithAnotherSeed, tests={"test_boundaries": 0}, structure={"boundaries": 0}),
    Case(order.SameOrderEachPass, tests={"test_boundaries": 5}, structure={"boundaries": 5}),
    Case(
        epochs.mislabels_epochs,
        tests={"test_steps": None, "test_epochs": 5},
        structure={"epochs": 5},
        says="calls it epoch 0, .* 1",
    ),
    Case(cheats.EchoesThePlan, tests={"test_ledger": None}, numbers={"loss": 5, "weights": None}, audit=True),
    Case(
        cheats.OverweightsTheShortBatch,
        tests={"test_ledger": None},
        numbers={"loss": again(PLAN, 4, after=4), "weights": None},
        audit=True,
    ),
    Case(
        updates.skips_an_update,
        tests={"test_steps": None, "test_updates": 3},
        structure={"updates": 3},
        says="had applied 3 updates, .* 4",
    ),
    Case(
        updates.applies_an_update_twice,
        tests={"test_steps": None, "test_updates": 3},
        structure={"updates": 3},
        says="had applied 5 updates, .* 4",
    ),
    Case(
        updates.clears_the_gradients,
        tests={"test_steps": None, "test_updates": 3},
        structure={"updates": 3},
        says="had applied 3 updates, .* 4",
        frameworks=("numpy", "torch"),  # Keras refuses to apply no gradients
    ),
    Case(cheats.CountsAttempts, tests={"test_ledger": None}, numbers={"loss": 5, "weights": None}, audit=True),
    Case(cheats.TrainsNothing, tests={"test_ledger": None}, numbers={"loss": 5, "weights": None}, audit=True),
    Case(
        cheats.ReadsTheCounterEarly,
        tests={"test_steps": None, "test_updates": 0, "test_ledger": None},
        structure={"updates": 0},
        audit=True,
        says="had applied 0 updates, .* 1",
    ),
    Case(
        cheats.RecordsNothing,
        tests=dict.fromkeys(LEDGER_TESTS),
        structure={"steps": 0},
        audit=True,
        says="made 0 steps, .* 10",
    ),
    Case(
        cheats.LeavesAStepOut,
        tests={"test_steps": None, "test_boundaries": 3, "test_updates": 3, "test_epochs": 3, "test_ledger": None},
        structure={"steps": 9, "boundaries": 3, "updates": 3, "epochs": 3},
        audit=True,
    ),
    Case(cheats.ConstantLoss, tests={}, numbers={"loss": 0}),
    Case(
        numbers.TrainsAtHalfTheRate,
        tests={"test_ledger": None},
        numbers={"lr": 0, "loss": 5, "weights": None},
        audit=True,
    ),
    Case(
        numbers.TrainsAtRateZero,
        tests={"test_ledger": None},
        numbers={"lr": 0, "loss": 5, "weights": None},
        audit=True,
    ),
    Case(cheats.HidesItsRate, tests={"test_ledger": None}, numbers={"loss": 5, "weights": None}, audit=True),
    Case(numbers.ReturnsAnEarlierCheckpoint, tests={"test_ledger": None}, numbers={"weights": None}, audit=True),
)


# Five steps a pass, in windows of two: the updates follow steps 1, 3, 4, 6, 8, 9.
PAIRS = changed(PLAN, gradient_accumulation_steps=2)
PAIRS_DROPPED = changed(PAIRS, accumulation_remainder="drop")
PAIRS_LEAKED = changed(PAIRS, accumulation_remainder="leak")
PAIRS_CARRIED = changed(PAIRS, accumulation_remainder="carry")
# Windows of four that go on: they end with steps 3 and 7, and two steps are left.
FOURS_CARRIED = changed(PLAN, gradient_accumulation_steps=4, accumulation_remainder="carry")
# Six steps a pass, the last of 3 samples, which shares its window with one of 4. In turn: shuffled, samples of both
# may meet in a later step, and the errors of their weights cancel in its loss.
UNEVEN = TrainingPlan(batch_size=4, epochs=2, gradient_accumulation_steps=2, order="sequential")
# The last step of a pass has two rows of padding.
PADDED = changed(PLAN, remainder="pad")
# Two passes in one stream: step 4 has two samples of the second, step 9 one sample.
CARRIED = changed(PLAN, remainder="carry")
# Epochs of three steps where a pass has five.
RESTARTED = changed(PLAN, steps_per_epoch=3)
CONTINUED = changed(RESTARTED, epoch_iterator="continue")
REPEATED = changed(CONTINUED, epochs=4)
SHORTENED = changed(REPEATED, on_exhaustion="short_epoch")
# In windows of two: cut by epochs, updates follow steps 1, 2, 4, 5, 7, 8; by passes, steps 1, 3, 4, 6, 8.
CUT_BY_EPOCHS = changed(CONTINUED, epochs=3, gradient_accumulation_steps=2)
CUT_BY_PASSES = changed(CUT_BY_EPOCHS, accumulation_boundary="pass")


def only_weights_tell(cheat: type, plan: TrainingPlan, loss: int) -> Case:
    """The same samples, updates and labels: the ledger finds it, and an honest run's losses from that step on."""
    return Case(cheat, {"test_ledger": None}, numbers={"loss": loss, "weights": None}, audit=True, plan=plan)


def updates_part(
    cheat: type, plan: TrainingPlan, step: int, says: str, *, audit: bool = False, same_total: bool = False
) -> Case:
    """The updates differ from that step on; also in total, and the trace and the weights agree, if not said."""
    tests: Steps = {"test_updates": step}
    tests |= {} if same_total else {"test_steps": None}
    tests |= {"test_ledger": None} if audit else {}
    return Case(cheat, tests, structure={"updates": step}, audit=audit, says=says, plan=plan)


WINDOW_CASES = (
    updates_part(
        updates.UpdatesEachStep,
        changed(PLAN, gradient_accumulation_steps=4),
        0,
        "step 0: .* had applied 1 update, .* 0",
    ),
    only_weights_tell(cheats.TellsTheWindowsUpdates, FOURS_CARRIED, 5),
    Case(cheats.DividesItsLoss, tests={}, numbers={"loss": 5}, plan=PAIRS),
    updates_part(updates.UpdatesTooEarly, PAIRS, 0, "had applied 1 update, .* 0", same_total=True),
    updates_part(updates.MissesAnUpdate, PAIRS, 3, "had applied 1 update, .* 2", audit=True),
    updates_part(updates.FlushesTheLeftover, PAIRS_DROPPED, 4, "had applied 3 updates, .* 2"),
    updates_part(updates.FlushesTheLeftover, PAIRS_CARRIED, 4, "had applied 3 updates, .* 2"),
    # The ledger goes by the plan where it says which gradients enter an update: those of step 4 enter the next.
    updates_part(updates.DropsTheLeftover, PAIRS, 4, "had applied 2 updates, .* 3", audit=True),
    only_weights_tell(updates.DropsTheLeftover, PAIRS_LEAKED, again(PLAN, 4, 5, 6, after=6)),
    updates_part(updates.LeaksTheLeftover, PAIRS, 4, "had applied 2 updates, .* 3"),
    only_weights_tell(updates.LeaksTheLeftover, PAIRS_DROPPED, again(PLAN, 4, 5, 6, after=6)),
    updates_part(updates.CarriesTheLeftover, PAIRS, 4, "had applied 2 updates, .* 3"),
    updates_part(updates.CarriesTheLeftover, PAIRS_DROPPED, 5, "had applied 3 updates, .* 2", audit=True),
    updates_part(updates.CutsAtPasses, CUT_BY_EPOCHS, 2, "had applied 1 update, .* 2"),
    updates_part(updates.CutsAtEpochs, CUT_BY_PASSES, 2, "had applied 2 updates, .* 1"),
    updates_part(updates.FlushesAtTheEnd, FOURS_CARRIED, 9, "had applied 3 updates, .* 2"),
    updates_part(
        updates.DropsAtTheEnd, changed(FOURS_CARRIED, accumulation_at_end="flush"), 9, "had applied 2 updates, .* 3"
    ),
    updates_part(updates.LooksAtLimitsFirst, changed(PAIRS, epochs=None, steps=5), 4, "had applied 2 updates, .* 3"),
    # Epochs of four steps and one; the window of the one step is cut by what ends its epoch.
    updates_part(
        updates.never_ends_a_short_epoch,
        changed(SHORTENED, steps_per_epoch=4, gradient_accumulation_steps=2),
        4,
        "had applied 2 updates, .* 3",
    ),
    only_weights_tell(numbers.NeverZeroes, PAIRS, again(PLAN, 0, 1, 2, 3, after=4)),
    only_weights_tell(numbers.ZeroesEachStep, PAIRS, again(PLAN, 0, 2, after=4)),
    only_weights_tell(numbers.LeaksUncounted, PAIRS_LEAKED, again(PLAN, 4, 5, 6, after=6)),
    only_weights_tell(numbers.DividesByTheWindow, PAIRS, again(PLAN, 4, after=4)),
    only_weights_tell(numbers.DividesByTheSteps, changed(PAIRS, loss_normalization="window"), again(PLAN, 4, after=4)),
    only_weights_tell(
        numbers.DividesByTheSteps, changed(UNEVEN, loss_normalization="samples"), again(UNEVEN, 4, 5, after=5)
    ),
    only_weights_tell(numbers.DividesByTheRows, UNEVEN, again(UNEVEN, 4, 5, after=5)),
    only_weights_tell(
        numbers.SumsTheWindow, changed(PAIRS, loss_normalization="window"), again(PLAN, 0, 1, 2, 3, 4, after=4)
    ),
    only_weights_tell(
        numbers.LeavesPaddingOutOfTheMean,
        changed(PAIRS, remainder="pad", loss_normalization="samples"),
        again(PADDED, 4, after=4),
    ),
)

PASS_CASES = (
    Case(
        batches.KeepsTheRest,
        tests={"test_steps": None, "test_boundaries": 4},
        structure={"boundaries": 4, "epochs": 4},
        says="trained on 3 samples, .* 5",
        plan=PADDED,
    ),
    Case(
        batches.KeepsTheRest,
        tests={"test_steps": None, "test_boundaries": 4},
        structure={"boundaries": 4},
        says="trained on 3 samples, .* 5",
        plan=CARRIED,
    ),
    Case(
        batches.CarriesTheRest,
        tests={"test_steps": None, "test_boundaries": 4},
        structure={"boundaries": 4},
        says="trained on 5 samples, .* 3",
    ),
    Case(
        batches.pads_from_the_end,
        tests={"test_boundaries": 4},
        structure={"boundaries": 4},
        says="2 of 5 samples differ",
        plan=PADDED,
    ),
    Case(
        batches.PadsFromThePreviousPass,
        tests={"test_boundaries": 9},
        structure={"boundaries": 9},
        says="1 of 5 samples differ: .* has 9 ",
        plan=PADDED,
    ),
    Case(
        cheats.PadsOnce,
        tests={"test_steps": None, "test_boundaries": 0},
        structure={"boundaries": 0, "epochs": 0},
        says="trained on 46 samples, .* 50",
        plan=changed(PADDED, batch_size=50),
    ),
    only_weights_tell(cheats.MasksItsPadding, PADDED, 4),
    Case(epochs.hides_its_padding, tests={"test_steps": None}, structure={"epochs": 4}, plan=PADDED),
    Case(
        epochs.RestartsEachEpoch,
        tests={"test_steps": None, "test_boundaries": 3},
        structure={"boundaries": 3},
        plan=CONTINUED,
    ),
    Case(
        epochs.RestartsEachEpoch,
        tests={"test_boundaries": 3},
        structure={"boundaries": 3},
        plan=changed(CARRIED, steps_per_epoch=3),
    ),
    Case(
        epochs.ContinuesOverEpochs,
        tests={"test_steps": None, "test_boundaries": 3},
        structure={"boundaries": 3},
        plan=RESTARTED,
    ),
    Case(
        epochs.ShortensEpochs,
        tests={"test_steps": None, "test_epochs": 5},
        structure={"steps": 10, "epochs": 5},
        says="calls it epoch 2, .* 1",
        plan=REPEATED,
    ),
    Case(
        epochs.RepeatsTheData,
        tests={"test_steps": None, "test_epochs": 5},
        structure={"steps": 10, "epochs": 5},
        says="calls it epoch 1, .* 2",
        plan=SHORTENED,
    ),
    Case(
        epochs.StopsWithTheData,
        tests={"test_steps": None},
        structure={"steps": 5},
        says="made 5 steps, .* 10",
        plan=SHORTENED,
    ),
    Case(
        epochs.LengthensEpochs,
        tests={"test_steps": None, "test_boundaries": 3, "test_epochs": 3},
        structure={"steps": 6, "boundaries": 3, "epochs": 3},
        plan=RESTARTED,
    ),
    Case(order.skips_a_pass, tests={"test_boundaries": 3}, structure={"boundaries": 3}, plan=RESTARTED),
    Case(
        lengths.CountsEpochsInPasses,
        tests={"test_steps": None},
        structure={"steps": 6},
        says="made 10 steps, .* 6",
        plan=CONTINUED,
    ),
    Case(
        epochs.labels_by_the_last_sample,
        tests={"test_steps": None, "test_epochs": 4},
        structure={"epochs": 4},
        says="calls it epoch 1, .* 0",
        plan=CARRIED,
    ),
    Case(
        lengths.TakesUpdatesForSteps,
        tests={"test_steps": None},
        structure={"steps": 4},
        says="made 4 steps, .* 7",
        plan=changed(PAIRS, epochs=None, updates=4),
    ),
    Case(
        lengths.TakesStepsForUpdates,
        tests={"test_steps": None},
        structure={"steps": 4},
        says="made 7 steps, .* 4",
        plan=changed(PAIRS, epochs=None, steps=4),
    ),
)

LEDGER_CASES = (*CASES, *WINDOW_CASES, *PASS_CASES)


# The ledger cannot see these: it has no targets, ten updates are exact in float32 too, and one output has no layout.
# ``tests`` are the precisions in which ``test_numbers`` catches the cheat, each with the first step.
DIGITS_CASES = (
    Case(cheats.ConstantLoss, tests={"float32": 0, "float64": 0}, numbers={"loss": 0}),
    Case(numbers.mispairs_targets, tests={"float32": 3, "float64": 3}, numbers={"loss": 3, "weights": None}),
    Case(cheats.HidesItsRate, tests={"float32": 1, "float64": 1}, numbers={"loss": 1, "weights": None}),
    Case(
        cheats.TrainsInSinglePrecision,
        tests={"float64": 0},
        numbers={"loss": 0, "weights": None},
        frameworks=("numpy", "torch"),
    ),
    Case(
        cheats.TrainsInSinglePrecision,
        tests={"float64": 0},
        numbers={"lr": 0, "loss": 0, "weights": None},  # Keras keeps the rate in a variable, of float32 here
        frameworks=("tensorflow",),
    ),
    Case(numbers.ReturnsAnotherLayout, tests={"float32": None, "float64": None}, numbers={"weights": None}),
)
