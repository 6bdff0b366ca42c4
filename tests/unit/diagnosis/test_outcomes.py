"""A measure that is taken differently is named as no more than that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xframe.comparison.result import Comparison
from xframe.recording.recorder import record
from xframe.verification import compare


def compared(
    folder: Path,
    *,
    loss: float,
    samples: int,
    accuracy: float,
    late: float = 0.0,
    batches: tuple[bool, bool] = (True, True),
    weights: float | None = None,
    settings: tuple[dict[str, str], ...] = ({}, {}),
    listed: bool = True,
    validated_after: int = 6,
    modes: tuple[bool | None, bool | None] = (None, None),
    **tolerance: float,
) -> Comparison:
    """A run and one of another validation loss, or another accuracy, or from step 4 on other losses."""
    traces = []
    sides = (
        ("a", 0.5, 0.75, batches[0], settings[0], modes[0]),
        ("b", loss, accuracy, batches[1], settings[1], modes[1]),
    )
    for name, by, right, sized, stated, mode in sides:
        with record(folder / name, num_samples=24) as rec:
            rec.settings(stated)
            sizes = [4] * (samples // 4) + [samples % 4] * (samples % 4 > 0)
            ids = np.arange(samples) if listed or name == "b" else None
            for step in range(6):
                other = late if name == "b" and step >= 4 else 0.0
                rec.step(
                    ids=range(4 * step, 4 * step + 4), updates=step + 1, loss=2.0 - step / 8 + other, accuracy=right
                )
                if step + 1 == validated_after:
                    rec.validation(loss=by, ids=ids, batch_sizes=sizes if sized else None, training=mode)
            if weights is not None:
                rec.weights({"w": np.full(3, weights if name == "b" else 1.0)})
        traces.append(folder / name)
    return compare(*traces, **tolerance)


def test_a_mean_of_batch_means_is_named_where_batches_differ_in_size(tmp_path: Path) -> None:
    comparison = compared(tmp_path, loss=0.51, samples=10, accuracy=0.75)
    cause, mode = comparison.causes
    assert (cause.name, cause.certain) == ("validation-by-batch", False)
    assert "of 4 and 2" in cause.sentence
    assert (mode.name, mode.certain) == ("validation-in-training-mode", False)


@pytest.mark.parametrize(
    ("modes", "says"),
    [
        ((True, False), "a was seen to validate in training mode, the other in evaluation mode"),
        ((False, True), "b was seen to validate in training mode, the other in evaluation mode"),
        ((False, None), "b may validate in training mode"),
        ((None, False), "a may validate in training mode"),
        ((None, None), "b or a may validate in training mode"),
        ((False, False), ""),
        ((True, True), ""),
    ],
)
def test_the_mode_that_was_recorded_says_who_validates_in_training_mode(tmp_path: Path, modes, says: str) -> None:
    causes = compared(tmp_path, loss=0.51, samples=10, accuracy=0.75, modes=modes).causes
    named = [cause.sentence for cause in causes if cause.name == "validation-in-training-mode"]
    assert [says in sentence for sentence in named] == ([True] if says else [])
    assert "was seen" not in says or causes[0].name == "validation-in-training-mode"


@pytest.mark.parametrize("batches", [(False, False), (True, False), (False, True)])
def test_where_batches_were_not_recorded_it_says_no_more_than_is_known(
    tmp_path: Path, batches: tuple[bool, bool]
) -> None:
    causes = compared(tmp_path, loss=0.51, samples=10, accuracy=0.75, batches=batches).causes
    assert [cause.name for cause in causes] == ["validation-by-batch", "validation-in-training-mode"]
    assert "the same 10 samples (rec.validation(batch_sizes=...) would show in which batches)" in causes[0].sentence
    assert not any(cause.certain for cause in causes)


def test_batch_norms_of_two_frameworks_keep_other_variances(tmp_path: Path) -> None:
    """And validations that were recorded from outside are means over the rows."""
    keras = {"backend": "tensorflow", "normalisation.0.class": "BatchNormalization"}
    torch = {"backend": "torch", "normalisation.0.class": "BatchNorm1d"}
    cause, mode = compared(tmp_path, loss=0.51, samples=10, accuracy=0.75, settings=(keras, torch)).causes
    assert (cause.name, cause.certain) == ("normalisation-variance", False)
    assert "torch keeps the variance over N-1, Keras over N" in cause.sentence
    assert "--rtol 0.01" in cause.fix["any"]
    assert mode.name == "validation-in-training-mode"


@pytest.mark.parametrize("late", [0.0, 0.3])
def test_a_forgotten_evaluation_mode_is_named_where_one_lists_no_samples_and_outcomes_are_far_apart(
    tmp_path: Path, late: float
) -> None:
    """First where a model has layers to which it matters, and for what variances could never make."""
    keras = {"backend": "tensorflow", "normalisation.0.class": "BatchNormalization"}
    torch = {"backend": "torch", "normalisation.0.class": "BatchNorm1d"}
    sides = {"settings": (keras, torch), "listed": False, "late": late}
    cause, *others = compared(tmp_path, loss=0.9, samples=10, accuracy=0.75, validated_after=3, **sides).causes
    assert (cause.name, cause.certain, cause.step) == ("validation-in-training-mode", False, 2)
    assert "by 44%, if these are the same samples: b and a validate on as many samples, 10" in cause.sentence
    assert "normalisation-variance" not in [one.name for one in others]


def test_no_tolerance_is_offered_that_would_not_pass(tmp_path: Path) -> None:
    keras = {"backend": "tensorflow", "normalisation.0.class": "BatchNormalization"}
    torch = {"backend": "torch", "normalisation.0.class": "BatchNorm1d"}
    causes = compared(tmp_path, loss=0.55, samples=10, accuracy=0.75, settings=(keras, torch)).causes
    (variance,) = [one for one in causes if one.name == "normalisation-variance"]
    assert not any("--rtol" in text for text in variance.fix.values())


def test_what_only_a_finer_tolerance_refuses_is_named_as_that(tmp_path: Path) -> None:
    given = {"rtol": 1e-9, "atol": 0.0}
    comparison = compared(tmp_path, loss=0.5 + 1e-8, samples=10, accuracy=0.75, weights=1 + 1e-7, **given)
    assert [check.name for check in comparison.checks if check.result == "fail"] == ["weights", "validation"]
    assert [cause.name for cause in comparison.causes] == ["tolerance-below-rounding"]


def test_nor_is_what_the_default_refuses_too(tmp_path: Path) -> None:
    given = {"rtol": 1e-9, "atol": 0.0}
    comparison = compared(tmp_path, loss=0.5, samples=10, accuracy=0.75, weights=1.01, **given)
    assert [cause.name for cause in comparison.causes] == ["weights-elsewhere"]


def test_nor_is_it_named_where_all_batches_weigh_the_same_or_more_differs(tmp_path: Path) -> None:
    (tmp_path / "even").mkdir()
    (tmp_path / "late").mkdir()
    even = compared(tmp_path / "even", loss=0.51, samples=8, accuracy=0.75)
    late = compared(tmp_path / "late", loss=0.51, samples=10, accuracy=0.75, late=0.1)
    assert not {one.name for one in (*even.causes, *late.causes)} & {"validation-by-batch"}


def test_another_accuracy_beside_the_same_losses(tmp_path: Path) -> None:
    (cause,) = compared(tmp_path, loss=0.5, samples=10, accuracy=0.25).causes
    assert (cause.name, cause.step, cause.certain) == ("other-accuracy", 0, False)


@pytest.mark.parametrize("late", [0.0, 0.3])
def test_a_sanity_check_is_a_cause_of_its_own_and_hides_no_training_that_differs(tmp_path: Path, late: float) -> None:
    for name in "ab":
        with record(tmp_path / name, num_samples=24) as rec:
            if name == "b":
                rec.validation(loss=2.3, ids=np.arange(4))
            for step in range(6):
                by = late if name == "b" and step >= 4 else 0.0
                rec.step(ids=range(4 * step, 4 * step + 4), updates=step + 1, loss=2.0 - step / 8 + by)
                if step % 3 == 2:
                    rec.validation(loss=0.5, ids=np.arange(10))
    for paths in (("a", "b"), ("b", "a")):
        comparison = compare(*(tmp_path / name for name in paths))
        (check,) = [check for check in comparison.checks if check.name == "validation"]
        assert (check.result, check.first) == ("fail", None)
        assert "b validated before the first step, a did not" in check.detail
        cause = comparison.causes[-1]
        assert (cause.name, cause.certain, cause.run) == ("sanity-check", not late, "b")
        difference = comparison.first_difference
        assert difference is None if not late else difference is not None and difference["step"] == 4
