"""Every cheat is caught, by the right check and at the right step; every honest run is not.

Each cheat trains once in each framework on a ledger of 23 samples: two passes of batches of 5, so
steps 0 to 4, the last with 3 samples, and steps 5 to 9. All weights are zero until a sample was
trained on, so every loss of the first pass is 0, and step 5 is the first whose loss can differ.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from unittest import mock

import cheats
import pytest
from cheats import ADAPTERS, make

from xframe import cli, counting
from xframe.adapter import Adapter
from xframe.comparison import CHECKS, STRUCTURE, Comparison, compare
from xframe.plan import TrainingPlan
from xframe.recorder import record
from xframe.runtime import Runtime
from xframe.testing.contract import LEDGER, TWIN_PLANS, AdapterContract
from xframe.trace import Trace

PLAN = TrainingPlan(batch_size=5, epochs=2)
DIGITS = TWIN_PLANS[0]
NATIVE = Path(__file__).parents[1] / "native"
LEDGER_TESTS = ("test_steps", "test_boundaries", "test_updates", "test_epochs", "test_ledger")
MESSAGES = {
    "test_steps": r"assert Counts\(num_st",
    "test_boundaries": r"step {step} trained on other samples",
    "test_updates": r"step {step}: \d+ updates applied, the plan says",
    "test_epochs": r"step {step} is labelled",
    "test_ledger": r"weights contradict the trace",
}

Steps = dict[str, int | None]


@dataclass(frozen=True)
class Case:
    """What is to be found of a cheat.

    Attributes:
        cheat: a class of ``cheats``.
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


def _retrained_short_batch() -> int:
    """The first step of the second pass that has a sample of the first pass's short batch, step 4."""
    steps = list(PLAN.steps(LEDGER.num_samples))
    short = set(steps[4].sample_ids.tolist())
    return next(step.index for step in steps[5:] if short & set(step.sample_ids.tolist()))


CASES = (
    Case(
        cheats.DropsABatch,
        tests={"test_steps": None, "test_boundaries": 3, "test_epochs": 3},
        structure={"steps": 9, "boundaries": 3, "epochs": 3},
        says="5 of 5 samples are others|trained on",
    ),
    Case(
        cheats.SwapsInsideABatch,
        tests={"test_boundaries": 2},
        structure={"boundaries": 2},
        says="the same 5 samples in another order inside the batch, 2 places differ, first place 0",
    ),
    Case(
        cheats.SwapsAcrossBatches,
        tests={"test_boundaries": 1},
        structure={"boundaries": 1},
        says="1 of 5 samples are others",
    ),
    Case(
        cheats.RepeatsASample,
        tests={"test_boundaries": 2},
        structure={"boundaries": 2},
        says="1 of 5 samples are others",
    ),
    Case(
        cheats.LosesASample,
        tests={"test_steps": None, "test_boundaries": 3},
        structure={"boundaries": 3},
        says="trained on 4 samples, .* 5",
    ),
    Case(
        cheats.DropsTheRemainder,
        tests={"test_steps": None, "test_boundaries": 4, "test_epochs": 4},
        structure={"steps": 8, "boundaries": 4, "epochs": 4},
        says="trained on 5 samples, .* 3",
    ),
    Case(
        cheats.FillsTheShortBatch,
        tests={"test_steps": None, "test_boundaries": 4},
        structure={"boundaries": 4},
        says="trained on 5 samples, .* 3",
    ),
    Case(
        cheats.NeverRestartsItsSteps,
        tests={"test_epochs": 5},
        structure={"epochs": 5},
        says="calls it step in epoch 5, .* 0",
    ),
    Case(cheats.StopsEarly, tests={"test_steps": None}, structure={"steps": 9}, says="made 9 steps, .* 10"),
    Case(cheats.OneStepTooMany, tests={"test_steps": None}, structure={"steps": 10}, says="made 11 steps, .* 10"),
    Case(
        cheats.FinishesTheEpoch,
        tests={"test_steps": None},
        structure={"steps": 7},
        says="made 10 steps, .* 7",
        plan=TrainingPlan(batch_size=5, steps=7, epochs=2),
    ),
    Case(
        cheats.IgnoresTheUpdateLimit,
        tests={"test_steps": None},
        structure={"steps": 8},
        says="made 10 steps, .* 8",
        plan=TrainingPlan(batch_size=5, updates=8, epochs=2),
    ),
    Case(cheats.NeverShuffles, tests={"test_boundaries": 0}, structure={"boundaries": 0}),
    Case(cheats.ShufflesWithAnotherSeed, tests={"test_boundaries": 0}, structure={"boundaries": 0}),
    Case(cheats.SameOrderEachPass, tests={"test_boundaries": 5}, structure={"boundaries": 5}),
    Case(
        cheats.MislabelsEpochs,
        tests={"test_steps": None, "test_epochs": 5},
        structure={"epochs": 5},
        says="calls it epoch 0, .* 1",
    ),
    Case(cheats.EchoesThePlan, tests={"test_ledger": None}, numbers={"loss": 5, "weights": None}, audit=True),
    Case(
        cheats.OverweightsTheShortBatch,
        tests={"test_ledger": None},
        numbers={"loss": _retrained_short_batch(), "weights": None},
        audit=True,
    ),
    Case(
        cheats.SkipsAnUpdate,
        tests={"test_steps": None, "test_updates": 3},
        structure={"updates": 3},
        says="had applied 3 updates, .* 4",
    ),
    Case(
        cheats.AppliesAnUpdateTwice,
        tests={"test_steps": None, "test_updates": 3},
        structure={"updates": 3},
        says="had applied 5 updates, .* 4",
    ),
    Case(
        cheats.ClearsTheGradients,
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
        cheats.TrainsAtHalfTheRate,
        tests={"test_ledger": None},
        numbers={"lr": 0, "loss": 5, "weights": None},
        audit=True,
    ),
    Case(
        cheats.TrainsAtRateZero,
        tests={"test_ledger": None},
        numbers={"lr": 0, "loss": 5, "weights": None},
        audit=True,
    ),
    Case(cheats.HidesItsRate, tests={"test_ledger": None}, numbers={"loss": 5, "weights": None}, audit=True),
    Case(cheats.ReturnsAnEarlierCheckpoint, tests={"test_ledger": None}, numbers={"weights": None}, audit=True),
)

# The ledger cannot see these: it has no targets, ten updates are exact in float32 too, and one output has no layout.
# ``tests`` are the precisions in which ``test_numbers`` catches the cheat, each with the first step.
DIGITS_CASES = (
    Case(cheats.ConstantLoss, tests={"float32": 0, "float64": 0}, numbers={"loss": 0}),
    Case(cheats.MispairsTargets, tests={"float32": 3, "float64": 3}, numbers={"loss": 3, "weights": None}),
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
    Case(cheats.ReturnsAnotherLayout, tests={"float32": None, "float64": None}, numbers={"weights": None}),
)


def each(cases: tuple[Case, ...]) -> pytest.MarkDecorator:
    pairs = [(framework, case) for framework in ADAPTERS for case in cases if framework in case.frameworks]
    return pytest.mark.parametrize(
        ("framework", "case"), pairs, ids=[f"{framework}-{case.cheat.__name__}" for framework, case in pairs]
    )


every_framework = pytest.mark.parametrize("framework", ADAPTERS)


@dataclass
class Lab:
    """Contract suites bound to cheats and to the honest adapters; each trains once and is looked at often."""

    folder: Callable[[str], Path]

    def __post_init__(self) -> None:
        self.suite, self.ledger, self.digits = cache(self.suite), cache(self.ledger), cache(self.digits)

    def suite(self, framework: str, cheat: type | None = None) -> AdapterContract:
        adapter: Adapter = ADAPTERS[framework]() if cheat is None else make(framework, cheat)
        twin = NATIVE / f"{framework}_digits.py"
        return type("Bound", (AdapterContract,), {"adapter": adapter, "twin": twin})()

    def ledger(self, framework: str, cheat: type | None = None, plan: TrainingPlan = PLAN) -> Trace:
        return self.suite(framework, cheat).ledger_run(plan, self.folder("ledger"))

    def digits(self, framework: str, cheat: type | None = None) -> Trace:
        return self.suite(framework, cheat).digits_run(DIGITS, self.folder("digits") / "digits.trace", "float64")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(lambda name: tmp_path_factory.mktemp(name))


def without_plan(trace: Trace) -> Trace:
    """The same trace, recorded by a loop that knew of no plan."""
    return replace(trace, metadata={key: value for key, value in trace.metadata.items() if key != "plan"})


def failing(comparison: Comparison) -> Steps:
    return {check.name: check.first for check in comparison.checks if check.result == "fail"}


def first(expected: Steps) -> tuple[int, str] | None:
    """The earliest step of them; at one step, the earliest check."""
    found = [(step, CHECKS.index(name), name) for name, step in expected.items() if step is not None]
    return (min(found)[0], min(found)[2]) if found else None


def assert_found(comparison: Comparison, expected: Steps, says: str = "") -> None:
    """Exactly these checks fail, at exactly these steps, and the verdict and the exit code follow."""
    assert failing(comparison) == expected, comparison
    assert comparison.verdict == ("failed" if expected else "passed")
    assert comparison.exit_code == (1 if expected else 0)
    assert bool(comparison) is not bool(expected)
    assert comparison.structure == ("different" if expected.keys() & set(STRUCTURE) else "identical")
    told = comparison.first_difference
    assert (told and (told["step"], told["check"])) == first(expected)
    if told:
        assert re.search(says, told["detail"])


def message(test: str, step: int | None) -> str:
    told = MESSAGES[test].format(step=step)
    return told if step is not None else f"{told}|nothing was recorded"


@each(CASES)
def test_the_contract_suite_catches_it(lab: Lab, framework: str, case: Case, tmp_path: Path) -> None:
    """These tests fail, each for its own reason, and the others of the suite pass."""
    suite = lab.suite(framework, case.cheat)
    lab.ledger(framework, case.cheat, case.plan)
    for name in LEDGER_TESTS:
        test = getattr(suite, name)
        if name in case.tests:
            with pytest.raises(AssertionError, match=message(name, case.tests[name])):
                test(case.plan, tmp_path)
        else:
            test(case.plan, tmp_path)


@each(CASES)
def test_compare_with_the_plan_catches_it(lab: Lab, framework: str, case: Case) -> None:
    """By structure, or by the ledger's audit; a lie about numbers alone needs another run."""
    trace = lab.ledger(framework, case.cheat, case.plan)
    problems = LEDGER.audit(trace, trace.weights())
    assert bool(problems) is case.audit, problems
    expected = case.structure | ({"weights": None} if case.audit else {})
    assert_found(compare(trace, audits={"cheat": problems}), expected, case.says)


@each(CASES)
def test_compare_with_an_honest_run_catches_it(lab: Lab, framework: str, case: Case) -> None:
    """Without a plan, and with one; whatever the plan can't tell, the honest run's numbers do."""
    honest, cheat = (lab.ledger(framework, subject, case.plan) for subject in (None, case.cheat))
    expected = case.structure | case.numbers
    assert expected
    assert_found(compare(without_plan(honest), without_plan(cheat)), expected, case.says)
    assert_found(compare(honest, cheat), expected, case.says)


@each(CASES)
def test_the_command_line_catches_it(lab: Lab, framework: str, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """xframe compare exits with 1, and its JSON names the same checks and steps."""
    honest, cheat = (lab.ledger(framework, subject, case.plan) for subject in (None, case.cheat))
    assert cli.execute(["compare", str(honest.path), str(cheat.path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "failed"
    expected = case.structure | case.numbers
    assert {check["name"]: check["first"] for check in told["checks"] if check["result"] == "fail"} == expected
    difference = told["first_difference"]
    assert (difference and (difference["step"], difference["check"])) == first(expected)


@each(DIGITS_CASES)
def test_numbers_catch_what_the_ledger_cannot(lab: Lab, framework: str, case: Case, tmp_path: Path) -> None:
    suite = lab.suite(framework, case.cheat)
    for precision in ("float32", "float64"):
        (tmp_path / precision).mkdir()
        if precision in case.tests:
            with pytest.raises(AssertionError):
                suite.test_numbers(precision, tmp_path / precision)
            mine, theirs = (Trace.open(tmp_path / precision / name) for name in ("mine.trace", "numpy.trace"))
            found = compare(theirs, mine)
            assert set(case.numbers) - {"lr"} <= failing(found).keys(), found
            assert (found.first_difference and found.first_difference["step"]) == case.tests[precision]
        else:
            suite.test_numbers(precision, tmp_path / precision)
    assert_found(compare(lab.digits(framework), lab.digits(framework, case.cheat)), case.numbers)


@every_framework
@pytest.mark.parametrize(
    ("cheat", "expected"),
    [(cheats.ShufflesWithAFreshSeed, {"boundaries": 0}), (cheats.KeepsItsState, {"updates": 0})],
)
def test_the_repetition_test_catches_what_a_run_leaves_behind(
    lab: Lab, framework: str, cheat: type, expected: Steps, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match="xf1-"):
        lab.suite(framework, cheat).test_it_repeats(tmp_path)
    traces = [Trace.open(tmp_path / f"{i}.trace") for i in range(2)]
    assert_found(compare(*map(without_plan, traces)), expected)


@every_framework
@pytest.mark.parametrize(
    ("cheat", "asked"),
    [
        (cheats.AsksThePlan, "steps"),
        (cheats.AsksThePlanForEachStep, "step"),
        (cheats.AsksThePlanForItsCounts, "counts"),
        (cheats.CountsWithXframe, None),
    ],
)
def test_the_contract_suite_forbids_the_plans_own_counting(
    lab: Lab, framework: str, cheat: type, asked: str | None, tmp_path: Path
) -> None:
    """Nothing else could tell: unforbidden, such a run is the very run that was planned."""
    with pytest.raises(AssertionError, match="an adapter may not use"):
        lab.suite(framework, cheat).test_steps(PLAN, tmp_path)
    path, runtime = tmp_path / "unforbidden.trace", Runtime(device="cpu", precision="float64", threads=1)
    owner, name = (counting, "steps") if asked is None else (TrainingPlan, asked)
    with (
        mock.patch.object(owner, name, autospec=True, side_effect=getattr(owner, name)) as calls,
        record(path, plan=PLAN, num_samples=LEDGER.num_samples) as recorder,
    ):
        recorder.weights(make(framework, cheat).run(PLAN, LEDGER, runtime, recorder))
    assert calls.called
    assert compare(Trace.open(path)).verdict == "passed"


@every_framework
def test_the_contract_suite_catches_random_numbers(lab: Lab, framework: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="drew random numbers"):
        lab.suite(framework, cheats.DrawsRandomNumbers).test_it_draws_no_random_numbers(tmp_path)
    (tmp_path / "honest").mkdir()
    lab.suite(framework, cheats.Honest).test_it_draws_no_random_numbers(tmp_path / "honest")


@every_framework
def test_no_evidence_is_no_pass(lab: Lab, framework: str, tmp_path: Path) -> None:
    """A run without evidence of its updates is neither right nor wrong, and the suite refuses it."""
    trace = lab.ledger(framework, cheats.RecordsNoUpdates)
    for comparison in (compare(trace), compare(lab.ledger(framework), trace)):
        assert comparison.check("updates").result == "not judged"
        assert (comparison.verdict, comparison.structure) == ("inconclusive", "not judged")
        assert comparison.exit_code == 4
    with pytest.raises(AssertionError, match="step 0: -1 updates applied"):
        lab.suite(framework, cheats.RecordsNoUpdates).test_updates(PLAN, tmp_path)


@pytest.mark.parametrize(
    ("framework", "cheat"),
    [
        ("numpy", cheats.OneBitOff),
        ("numpy", cheats.TrainsInDoublePrecision),
        ("torch", cheats.OneBitOff),
        ("tensorflow", cheats.TrainsInDoublePrecision),
    ],
)
def test_the_twin_catches_what_tolerances_allow(lab: Lab, framework: str, cheat: type, tmp_path: Path) -> None:
    suite = lab.suite(framework, cheat)
    with pytest.raises(AssertionError, match="is not bit-equal to the bare run's"):
        suite.test_twin(TWIN_PLANS[2], tmp_path)
    (tmp_path / "numbers").mkdir()
    suite.test_numbers("float32", tmp_path / "numbers")


@every_framework
@pytest.mark.parametrize("control", [cheats.Honest, cheats.HonestByHand])
def test_an_honest_adapter_passes(lab: Lab, framework: str, control: type, tmp_path: Path) -> None:
    """In the cheats' own wrapping: all that catches them finds nothing."""
    suite, trace = lab.suite(framework, control), lab.ledger(framework, control)
    for name in LEDGER_TESTS:
        getattr(suite, name)(PLAN, tmp_path)
    problems = LEDGER.audit(trace, trace.weights())
    assert problems == []
    assert_found(compare(trace, audits={"cheat": problems}), {})
    honest = lab.ledger(framework)
    assert_found(compare(honest, trace), {})
    assert_found(compare(without_plan(honest), without_plan(trace)), {})
    assert cli.execute(["compare", str(honest.path), str(trace.path)]) == 0


@every_framework
def test_an_honest_adapter_passes_on_the_digits(lab: Lab, framework: str, tmp_path: Path) -> None:
    suite = lab.suite(framework, cheats.Honest)
    suite.test_it_repeats(tmp_path)
    suite.test_numbers("float64", tmp_path)
    assert_found(compare(lab.digits(framework), Trace.open(tmp_path / "mine.trace")), {})


def test_every_cheat_is_used_and_named() -> None:
    """No cheat is left lying about untested, and each says what its bug is."""
    found = {
        value
        for value in vars(cheats).values()
        if inspect.isclass(value) and value.__module__ == "cheats" and value not in (cheats.Step, cheats.EditedOrder)
    }
    apart = {cheats.ShufflesWithAFreshSeed, cheats.KeepsItsState, cheats.TrainsInDoublePrecision, cheats.OneBitOff}
    apart |= {cheats.AsksThePlan, cheats.AsksThePlanForEachStep, cheats.AsksThePlanForItsCounts}
    apart |= {
        cheats.CountsWithXframe,
        cheats.DrawsRandomNumbers,
        cheats.RecordsNoUpdates,
        cheats.Honest,
        cheats.HonestByHand,
    }
    assert found == {case.cheat for case in (*CASES, *DIGITS_CASES)} | apart
    assert all(cheat.__doc__ for cheat in found)
    assert {framework for case in CASES for framework in case.frameworks} == {"numpy", "torch", "tensorflow"}
