"""Each form shows what steps from one state showed: values, bounds, what would have failed, and curves."""

from __future__ import annotations

from dataclasses import replace

import pytest

import xframe
from xframe.comparison.checks.resynchronised import described
from xframe.diagnosis.causes.losses import apart
from xframe.numerics.result import Curve, Distance, NumericCause, Numerics
from xframe.report.markdown import markdown
from xframe.report.page.rendering import comparison_page
from xframe.report.text import text

PLAN = xframe.TrainingPlan(batch_size=4, epochs=2, seed=3)
NEAR = Distance(1, "float64", "step", "dense_0/kernel", (2, 5), 0.5, 0.5 + 2e-16, 2.2e-16, 2e-15, 2.0, (4, 8))
FAR = replace(NEAR, stage="update", candidate=0.5001, difference=1e-4, ulps=9e11)
CURVE = Curve("equivalent", 6, at=2, reference=0.25, candidate=0.2500001, floor=1e-7, bound=4e-7, measured=5, scale=0.5)
CURVE = replace(CURVE, floors=((0, 1e-7),), unit=2e-6)
CAUSE = NumericCause("rate-scaled", "proven", "update", None, "b's rate is 1.0001 of a's", {"any": "lr=0.1"})
FORMS = {"text": text, "markdown": markdown, "page": comparison_page}


@pytest.fixture
def compared(runs):
    def compared(judged, by=0.0, **options):
        rows = [[dict(row) for row in runs.rows(PLAN, 10)] for _ in range(2)]
        for row in rows[1][3:]:
            row["loss"] += by
        traces = [runs(one, name) for one, name in zip(rows, "ab", strict=True)]
        return xframe.compare(*traces, numerics=[judged], **options)

    return compared


def equivalent(**changes):
    facts = {"steps": (0, 1, 4), "precisions": ("float64",), "worst": (NEAR,), "curve": CURVE}
    return Numerics("b", **({"verdict": "equivalent"} | facts | changes))


@pytest.mark.parametrize("form", FORMS)
def test_what_passes_is_shown_with_its_bound_and_what_would_have_failed(form, compared):
    shown = FORMS[form](compared(equivalent(), by=1e-8))
    assert "numbers equivalent: 3 updates restarted from the same state, worst 0.11 of the bound" in shown
    for part in (
        "dense_0/kernel",
        "2e-15",
        "0.500000000000002",
        "within rounding",
        "4e-07 is allowed (0.2500004 would just have failed)",
    ):
        assert part in " ".join(shown.split()).replace("\\", "")


@pytest.mark.parametrize("form", FORMS)
def test_what_fails_is_shown_with_its_place_values_bound_and_causes(form, compared):
    different = equivalent(verdict="different", worst=(FAR,), first=FAR, causes=(CAUSE,))
    shown = " ".join(FORMS[form](compared(different)).split()).replace("\\", "").replace("&#39;", "'")
    for part in ("dense_0/kernel[2,5]", "0.5001", "9e+11 ulps", "2e-15 is allowed", "rate is 1.0001", "lr=0.1"):
        assert part in shown
    assert "numbers different" in shown


@pytest.mark.parametrize("form", FORMS)
def test_a_curve_that_nothing_can_be_told_of_and_the_algorithm_are_both_said(form, compared):
    unclear = replace(CURVE, verdict="inconclusive", unclear=3, floors=((0, 1e-7), (3, 0.5)))
    shown = " ".join(FORMS[form](compared(equivalent(curve=unclear), by=0.25)).split())
    assert "from step 3 on rounding alone moves them too far to tell" in shown
    assert "by its steps the algorithm is equivalent" in shown


def test_a_tolerance_that_nobody_set_is_not_said_to_be(compared):
    assert "by hand" not in text(compared(equivalent()))


@pytest.mark.parametrize("form", FORMS)
def test_a_tolerance_set_by_hand_is_said_to_be(form, compared):
    shown = " ".join(FORMS[form](compared(equivalent(), by=1e-5, rtol=1e-3, atol=1e-3)).split())
    assert "set by hand" in shown
    assert "numbers within tolerance" in shown


def test_names_of_tensors_do_not_drive_the_page(compared):
    odd = replace(NEAR, tensor="<script>alert(1)</script>")
    shown = comparison_page(compared(equivalent(worst=(odd,))))
    assert "<script>alert(1)" not in shown


@pytest.mark.parametrize("form", FORMS)
def test_where_only_a_tolerance_set_by_hand_fails_that_is_said(form, compared):
    comparison = compared(equivalent(), by=1e-7, rtol=1e-9, atol=1e-9)
    assert (comparison.verdict, comparison.only_tolerance) == ("failed", True)
    assert [cause.name for cause in comparison.causes] == ["tolerance-below-rounding"]
    shown = " ".join(FORMS[form](comparison).split())
    said = "he algorithm is equivalent; only the tolerance that was set by hand, 1e-09, fails"
    assert shown.count(said) == 1 + (form == "page")  # the page's headline, too
    assert "weight decay" not in shown


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"verdict": "different", "worst": (FAR,), "first": FAR, "causes": (CAUSE,)}, {"rtol": 1e-9, "atol": 1e-9}),
        ({"steps": ()}, {"rtol": 1e-9, "atol": 1e-9}),
        ({}, {}),  # by no tolerance of anybody's
    ],
)
def test_a_tolerance_is_not_all_that_fails_where_more_does(changes, options, compared):
    comparison = compared(equivalent(**changes), by=0.1, **options)
    assert (comparison.verdict, comparison.only_tolerance) == ("failed", False)


def test_whole_numbers_are_shown_as_such():
    ids = Distance(0, "float64", "batch", "ids", (3,), 1781.0, 1782.0, 1.0, 0.0, 1.0, (4,))
    facts = ids.to_dict()
    assert [repr(facts[name]) for name in ("reference", "candidate", "just_failing")] == ["1781", "1782", "None"]
    assert described(ids, "a", "b") == "batch ids[3] b 1782, a 1781"
    assert FAR.to_dict()["just_failing"] > 0.5


def test_markdown_has_the_commands_that_the_page_has(compared):
    comparison = compared(equivalent(), by=1e-8)
    assert "$ xframe verify plan.toml" in markdown(comparison, ["xframe verify plan.toml"])


def test_steps_that_are_not_there_are_not_said_to_agree(runs):
    rows = [[dict(row) for row in runs.rows(PLAN, 10)] for _ in range(2)]
    for row in rows[1]:
        row["loss"] += 1.0
    comparison = xframe.compare(*(runs(one, name) for one, name in zip(rows, "ab", strict=True)))
    for form in FORMS.values():
        assert "earlier step" not in form(comparison)
    assert "First difference: step 0, check loss" in text(comparison)


@pytest.mark.parametrize("options", [{}, {"rtol": 1e-3, "atol": 1e-3}])
def test_the_rates_rule_reads_alike_by_any_tolerance(options, compared):
    assert compared(equivalent(), by=1e-8, **options).check("lr").brief == "up to rounding"


def test_two_first_losses_are_shown_in_digits_that_tell_them_apart():
    assert apart(2.40647411, 2.40647388) == "2.4064741 and 2.4064739"
    assert apart(1.0, 2.0) == "1 and 2"
