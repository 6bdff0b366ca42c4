"""Checks of what is recorded beside losses: the mode, the gradients' norms."""

import numpy as np
import pytest

import xframe

STEPS = 12


@pytest.fixture
def record(tmp_path):
    def record(name, change=None, **also):
        with xframe.record(tmp_path / f"{name}.trace") as rec:
            for k in range(STEPS):
                row = {"ids": [2 * k, 2 * k + 1], "updates": k + 1, "lr": 0.1, "loss": 1.0 / (k + 1)}
                row["also"] = {column: value(k) if callable(value) else value for column, value in also.items()}
                if change is not None:
                    change(k, row)
                rec.step(**row)
        return xframe.Trace.open(tmp_path / f"{name}.trace")

    return record


def _other_losses_from(step):
    def change(k, row):
        if k >= step:
            row["loss"] *= 1.5

    return change


def test_a_check_of_what_a_run_lacks_is_not_shown(record):
    comparison = xframe.compare(record("a", training=1), record("b", gradient_norm=1.0))
    assert [check.name for check in comparison.checks] == [
        *("steps", "boundaries", "updates", "epochs", "lr", "loss", "weights"),
    ]


def test_evaluation_mode_from_a_step_on_fails_there(record):
    candidate = record("b", _other_losses_from(5), training=lambda k: int(k < 5))
    comparison = xframe.compare(record("a", training=1), candidate)
    assert comparison.check("mode").first == 5
    assert comparison.check("mode").detail == "step 5: b in evaluation mode, a in training mode"
    assert (comparison.first_difference["step"], comparison.first_difference["check"]) == (5, "mode")


def test_a_mode_that_makes_no_difference_is_no_failure(record):
    comparison = xframe.compare(record("a", training=1), record("b", training=0))
    assert comparison
    assert "makes no difference" in comparison.check("mode").detail


def test_a_mode_behind_which_losses_agree_for_several_updates_is_not_what_parts_them(record):
    candidate = record("b", _other_losses_from(6), training=0)
    comparison = xframe.compare(record("a", training=1), candidate)
    assert (comparison.first_difference["step"], comparison.first_difference["check"]) == (6, "loss")
    soon = xframe.compare(record("c", training=1), record("d", _other_losses_from(2), training=0))
    assert (soon.first_difference["step"], soon.first_difference["check"]) == (0, "mode")


def test_gradients_four_times_too_small_fail_though_losses_agree(record):
    comparison = xframe.compare(
        record("a", gradient_norm=lambda k: 2.0 - k / 10), record("b", gradient_norm=lambda k: 0.5 - k / 40)
    )
    check = comparison.check("gradient norm")
    assert (comparison.verdict, check.result, check.first) == ("failed", "fail", 0)
    assert comparison.first_difference["check"] == "gradient norm"
    assert comparison.first_difference["reference"]["gradient_norm"] == 2.0


def test_a_norm_that_only_rounding_moves_passes_while_losses_agree(record):
    norms = {"gradient_norm": lambda k: 0.1 if k % 2 else None}
    near = {"gradient_norm": lambda k: 0.1005 if k % 2 else None}
    assert xframe.compare(record("a", **norms), record("b", **near))


def test_norms_that_only_drift_pass_while_losses_agree_and_a_factor_that_lasts_does_not(record):
    one = {"gradient_norm": lambda k: 0.1}
    drifting = xframe.compare(record("a", **one), record("b", gradient_norm=lambda k: 0.1 + 0.01 * (k >= 4)))
    assert drifting
    assert "apart by up to 10.0%, first in step 4" in drifting.check("gradient norm").detail
    assert xframe.compare(record("c", **one), record("d", gradient_norm=lambda k: 0.1 * (4 if k % 5 == 4 else 1)))
    lasting = xframe.compare(record("e", **one), record("f", gradient_norm=lambda k: 0.1 / (4 if k >= 7 else 1)))
    assert lasting.check("gradient norm").first == 7


def test_a_mode_that_acts_on_no_layer_is_no_failure(tmp_path):
    for name, dropout in (
        ("a", {}),
        ("b", {}),
        ("c", {"dropout.0.rate": 0.5}),
        ("d", {"normalisation.0.epsilon": 1e-3}),
    ):
        with xframe.record(tmp_path / f"{name}.trace") as rec:
            rec.settings({"model.class": "Net", **dropout})
            for k in range(STEPS):
                rec.step(ids=[k], updates=k + 1, loss=1.0 + (name != "a"), also={"training": int(name == "a")})
    first = [xframe.compare(tmp_path / "a.trace", tmp_path / f"{name}.trace").first_difference for name in "bcd"]
    assert [one["check"] for one in first] == ["loss", "mode", "loss"]


def test_the_first_difference_is_that_of_the_loss_where_gradients_only_announce_it(record):
    candidate = record("b", _other_losses_from(4), gradient_norm=lambda k: 0.25 if k >= 3 else 1.0)
    comparison = xframe.compare(record("a", gradient_norm=1.0), candidate)
    assert comparison.check("gradient norm").first == 3
    assert (comparison.first_difference["step"], comparison.first_difference["check"]) == (4, "loss")


@pytest.mark.parametrize("twice", [False, True])
def test_losses_divided_for_accumulation_are_read_whole(tmp_path, twice):
    """Divided once, training is the same; divided in the gradients too, the loss behind the first update shows it."""
    for name, by in (("a", 1), ("b", 16 if twice else 4)):
        with xframe.record(tmp_path / f"{name}.trace") as rec:
            rec.settings({"model.class": "Net"})
            for k in range(STEPS):
                parts = 1.1 if twice and name == "b" and k >= 4 else 1.0
                norm = {"gradient_norm": (1.0 if by < 16 else 0.25)} if k % 4 == 3 else {}
                rec.step(ids=[k], updates=(k + 1) // 4, loss=parts * (2 + np.cos(k)) / by, also=norm)
    comparison = xframe.compare(tmp_path / "a.trace", tmp_path / "b.trace")
    assert bool(comparison) is not twice
    assert "by the 4 steps of a window" in comparison.check("loss").detail
    if twice:
        assert (comparison.first_difference["step"], comparison.first_difference["check"]) == (4, "loss")
        assert comparison.causes[0].name == "gradient-scale"


def test_final_weights_that_no_run_has_take_no_row(record):
    comparison = xframe.compare(record("a"), record("b"))
    assert comparison.check("weights").result == "not judged"
    assert "final weights" not in str(comparison)


def test_norms_after_clipping_are_judged_too(record):
    reference = record("a", gradient_norm=2.0, clipped_norm=1.0)
    comparison = xframe.compare(reference, record("b", gradient_norm=2.0, clipped_norm=1.3))
    assert "after clipping b 1.3, a 1" in comparison.check("gradient norm").detail
    never = xframe.compare(reference, record("c", gradient_norm=3.0, clipped_norm=3.0))
    assert "gradient norm c 3, a 2" in never.check("gradient norm").detail
