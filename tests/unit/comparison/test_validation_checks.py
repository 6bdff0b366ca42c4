"""What a comparison says of validations and early stopping, of traces made by hand."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

import xframe
from xframe import Trace
from xframe.report.words import closing

PLAN = xframe.TrainingPlan(batch_size=4, epochs=4, validation_every=1, validation_batch_size=3)
STOPS = xframe.TrainingPlan.from_mapping({**PLAN.to_dict(), "early_stopping_patience": 2})
LOSSES = (1.0, 0.5, 0.6, 0.7)


class Made(NamedTuple):
    """A validation, and what is recorded of it."""

    after: int
    loss: float
    accuracy: float | None = 0.5
    ids: int = 5
    sizes: tuple[int, ...] = (3, 2)


HONEST = tuple(Made(3 * (i + 1), loss) for i, loss in enumerate(LOSSES))


@pytest.fixture
def run(tmp_path):
    """Records a run of 10 samples with these validations; returns its trace."""
    made = iter(range(99))

    def run(validations=HONEST, plan=PLAN, steps=12, rates=None, shift=0, **facts):
        path = tmp_path / f"{next(made)}.trace"
        with xframe.record(path, plan=plan, num_samples=10, metadata=facts) as rec:
            for step in PLAN.each_step(10):
                if step.index == steps:
                    break
                labels = {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch}
                lr = 0.1 if rates is None else rates[step.index]
                ids = (step.sample_ids + shift) % 10
                rec.step(ids=ids, updates=step.update, loss=1.0, lr=lr, accuracy=0.5, **labels)
                for v in validations:
                    if v.after == step.index + 1:
                        ids = None if v.ids is None else np.arange(v.ids)
                        rec.validation(loss=v.loss, accuracy=v.accuracy, ids=ids, batch_sizes=v.sizes)
            rec.weights({"w": np.ones(3)})
        return Trace.open(path)

    return run


def edited(index, **fields):
    return tuple(v._replace(**fields) if i == index else v for i, v in enumerate(HONEST))


def test_honest_runs_pass(run):
    comparison = xframe.compare(run(), run())
    assert comparison, comparison
    assert [check.name for check in comparison.checks][-1] == "validation"
    assert comparison.check("validation").worst == 0


def test_without_validation_there_is_no_such_check(run):
    plan = xframe.TrainingPlan(batch_size=4, epochs=4)
    comparison = xframe.compare(run((), plan), run((), plan))
    assert comparison
    assert len(comparison.checks) == 7


@pytest.mark.parametrize(
    ("validations", "step", "told"),
    [
        (edited(1, after=7), 5, "validated after step 6, the plan says after step 5"),
        (HONEST[:2] + HONEST[3:], 8, "validated after step 11, the plan says after step 8"),
        (HONEST[:3], 11, "did not validate after step 11"),
        ((*HONEST[:1], Made(4, 1.0), *HONEST[1:]), 3, "validated after step 3, the plan says after step 5"),
        (edited(2, sizes=(2, 2, 1)), 8, "validated in batches other than of 3 and the remainder"),
        (edited(1, ids=6, sizes=(3, 3)), 5, "validated on a different number of samples"),
        (
            tuple(v._replace(ids=6, sizes=(3, 3)) for v in HONEST),
            2,
            "on a different number of samples than 0 (6 and 5)",
        ),
        (edited(1, sizes=(2, 3)), 5, "validated in batches other than of 3 and the remainder"),
        (edited(0, loss=math.inf), 2, "validation loss"),
        (edited(0, loss=1.001), 2, "validation loss"),
        (edited(0, loss=math.nan), 2, "validation loss"),
        (edited(3, accuracy=0.9), 11, "validation accuracy"),
    ],
)
def test_what_goes_wrong_is_found_at_its_step(run, validations, step, told):
    comparison = xframe.compare(run(), run(validations))
    check = comparison.check("validation")
    assert (comparison.verdict, check.result, check.first) == ("failed", "fail", step), comparison
    assert told in check.detail
    assert comparison.first_difference["check"] == "validation"


def test_one_sample_may_turn(run):
    assert xframe.compare(run(), run(edited(0, accuracy=0.7)))
    assert not xframe.compare(run(), run(edited(0, accuracy=0.95)))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_what_is_no_number_in_both_is_not_judged(run, loss):
    both = edited(3, loss=loss)
    comparison = xframe.compare(run(both), run(both))
    assert (comparison.check("validation").result, comparison.verdict) == ("not judged", "inconclusive")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ids": None}, "recorded no ids of validation samples, so that these are not judged"),
        ({"accuracy": None}, "recorded no accuracies of validations, so that these are not judged"),
        ({"ids": None, "sizes": None}, "recorded no ids of validation samples, so that these are not judged"),
    ],
)
def test_what_one_run_alone_recorded_is_said_and_the_rest_is_judged(run, fields, said):
    """As final weights that one run lacks, it keeps nothing from passing; what both recorded is judged all the same."""
    own = {"plan": None}
    lacking = tuple(v._replace(**fields) for v in HONEST)
    a, b = run(**own), run(lacking, **own)
    for sides in ((a, b), (b, a)):
        comparison = xframe.compare(*sides)
        assert (comparison.verdict, comparison.check("validation").result) == ("passed", "pass"), comparison
        assert comparison.check("validation").detail == f"{b.name} {said}"
    wrong = run((lacking[0]._replace(loss=1.1), *lacking[1:]), **own)
    assert (xframe.compare(a, wrong).check("validation").first) == 2


def test_under_a_plan_a_validation_without_the_samples_of_the_first_does_not_pass(run):
    assert not xframe.compare(run(), run(edited(1, ids=None, sizes=None)))


@pytest.mark.parametrize("order", ["exact", "coverage"])
def test_no_validation_passes_whose_values_were_not_compared(run, order):
    """In another order, and where the samples differ from step 0 on."""
    own = {"plan": None}
    other = tuple(v._replace(loss=29.0) for v in HONEST)
    comparison = xframe.compare(run(**own), run(other, shift=1, **own), order=order)
    check = comparison.check("validation")
    assert check.worst is None
    if order == "exact":
        assert (check.result, check.detail) == ("not judged", "no step to judge")
    else:
        assert check.result == "pass"
        assert "its values depend on the order of the samples" in check.detail
        assert check.rule.endswith("when, and how many samples")
        assert "what validations gave not judged" in closing(comparison)


@pytest.mark.parametrize("order", ["exact", "coverage"])
def test_the_same_samples_in_other_batches_alone_do_not_fail(run, order):
    """A mean over samples is the same in any batches: what comes out is judged, the batches are said."""
    own = {"plan": None}
    check = xframe.compare(run(**own), run(edited(0, sizes=(5,)), **own), order=order).check("validation")
    assert (check.result, "the same number of samples in different batches (1 and 2)" in check.detail) == ("pass", True)


def test_losses_that_differ_stand_beside_batches_that_differ(run):
    own = {"plan": None}
    comparison = xframe.compare(run(**own), run(edited(0, sizes=(5,), loss=1.5), **own))
    check = comparison.check("validation")
    assert check.result == "fail"
    assert "1.5" in check.detail
    assert "in different batches (1 and 2)" in check.detail


def test_a_run_cut_short_before_its_validation(run, tmp_path):
    whole = run()
    rec = xframe.record(tmp_path / "cut.trace", plan=PLAN, num_samples=10)
    for step in PLAN.each_step(10):
        if step.index == 6:
            break
        labels = {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch}
        rec.step(ids=step.sample_ids, updates=step.update, loss=1.0, lr=0.1, accuracy=0.5, **labels)
        if step.index == 2:
            rec.validation(loss=1.0, accuracy=0.5, ids=np.arange(5), batch_sizes=(3, 2))
    rec.close("interrupted by KeyboardInterrupt")
    assert xframe.compare(whole, Trace.open(tmp_path / "cut.trace")).verdict == "inconclusive"


def test_a_stop_by_what_was_not_recorded_is_not_judged(run):
    plan = xframe.TrainingPlan.from_mapping({**STOPS.to_dict(), "early_stopping_monitor": "accuracy"})
    unknown = tuple(v._replace(accuracy=None) for v in HONEST[:2])
    for steps in (6, 12):
        comparison = xframe.compare(run(unknown, plan, steps=steps))
        assert comparison.check("steps").result == "not judged"
        assert comparison.verdict != "passed"


def test_a_run_that_recorded_none_is_not_judged(run):
    comparison = xframe.compare(run(), run(()))
    assert (comparison.check("validation").result, comparison.verdict) == ("not judged", "inconclusive")


def stopped(losses, after):
    return tuple(Made(3 * (i + 1), loss) for i, loss in enumerate(losses[: after // 3]))


def test_an_early_stop_is_where_the_validations_say(run):
    losses = (1.0, 1.1, 1.2)
    right = run(stopped(losses, 9), STOPS, steps=9)
    comparison = xframe.compare(right, run(stopped(losses, 9), STOPS, steps=9))
    assert comparison, comparison
    assert comparison.runs[next(iter(comparison.runs))].num_steps == 9
    assert "stopped early after step 8" in " ".join(comparison.explanation)


@pytest.mark.parametrize(("steps", "losses"), [(12, (1.0, 1.1, 1.2, 1.3)), (6, (1.0, 1.1))])
def test_an_early_stop_elsewhere_is_a_failure(run, steps, losses):
    comparison = xframe.compare(run(stopped(losses, steps), STOPS, steps=steps))
    assert (comparison.verdict, comparison.check("steps").result) == ("failed", "fail")
    assert [cause.name for cause in comparison.causes] == ["early-stopping"]


def test_a_stop_that_rounding_turned_is_shown_as_such(run):
    first = run(stopped((1.0, 1.0 - 1e-9, 1.1, 1.2), 12), STOPS, steps=12)
    second = run(stopped((1.0, 1.0 + 1e-9, 1.1), 9), STOPS, steps=9)
    comparison = xframe.compare(first, second)
    assert comparison.verdict == "failed"
    assert [cause.name for cause in comparison.causes] == ["early-stopping"]
    assert "rounding could have reversed it" in " ".join(comparison.explanation)


def test_rates_are_held_against_the_schedule(run):
    rate = xframe.schedule.Step(0.1, 0.5, every=6)
    honest = [rate(i) for i in range(12)]
    assert xframe.compare(run(rates=honest), rate=rate)
    late = [rate(max(i - 1, 0)) for i in range(12)]
    comparison = xframe.compare(run(rates=late), rate=rate)
    assert (comparison.check("lr").result, comparison.check("lr").first) == ("fail", 6)


def test_skipped_updates(run, tmp_path):
    """With a scaled loss what was tried is compared with the plan, what was applied with the other run."""
    facts = {"runtime": {"precision": "mixed_float16"}}

    def scaled(name, applied):
        with xframe.record(tmp_path / name, plan=PLAN, num_samples=10, metadata=facts) as rec:
            for step, updates in zip(PLAN.each_step(10), applied, strict=True):
                rec.step(ids=step.sample_ids, updates=updates, update_attempts=step.update, loss=1.0)
                if step.index % 3 == 2:
                    rec.validation(loss=1.0, ids=np.arange(5), batch_sizes=(3, 2))
        return Trace.open(tmp_path / name)

    skipping, all_applied = [0, 1, 1, *range(2, 11)], list(range(1, 13))
    a, b, c = (scaled(name, applied) for name, applied in zip("abc", (skipping, skipping, all_applied), strict=True))
    assert xframe.compare(a, b).structure == "identical"
    comparison = xframe.compare(a, c)
    assert (comparison.verdict, comparison.check("updates").first) == ("failed", 0)
    plain = replace(a, metadata={**a.metadata, "runtime": {"precision": "float32"}})
    assert xframe.compare(plain).check("updates").result == "fail"


def test_in_orders_of_their_own_validations_are_judged_by_when_and_on_how_many(run):
    """Outcomes depend on the order of training, and the digest of the ids on the order of validation."""
    plain = {"plan": None}
    reference = run(**plain)
    other = tuple(v._replace(loss=v.loss + 0.3, accuracy=0.9) for v in HONEST)
    assert xframe.compare(reference, run(other, **plain), order="coverage").check("validation").result == "pass"
    for wrong, step in (
        ((*other[:1], other[1]._replace(after=7), *other[2:]), 5),
        ((*other[:2], other[2]._replace(ids=4, sizes=(3, 1)), *other[3:]), 8),
    ):
        comparison = xframe.compare(reference, run(wrong, **plain), order="coverage")
        assert (comparison.verdict, comparison.check("validation").first) == ("failed", step)
    assert xframe.compare(reference, run((), **plain), order="coverage")
    assert xframe.compare(reference, run((), **plain)).check("validation").result == "not judged"
