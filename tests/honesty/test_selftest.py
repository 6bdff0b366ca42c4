"""The self-test finds what it says it finds, and can itself fail: a comparison that is blinded lowers its figures."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sampling import part

from xframe.cli.app import execute
from xframe.comparison import checks
from xframe.comparison.result import Explanation
from xframe.diagnosis import causes
from xframe.errors import UsageError, WorkerError
from xframe.plan.fields import FIELDS
from xframe.plan.training_plan import TrainingPlan
from xframe.recording.recorder import record
from xframe.recording.several import record_replicas
from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.tasks.lookup import find_task
from xframe.testing import baselines, clean, faults, mutators
from xframe.testing.faults import BY_NAME, FAULTS, Fault, Faulty, bases, declaring
from xframe.testing.faults.batches import PadsByHand
from xframe.testing.mutators import BASES, MUTATORS
from xframe.testing.selftest import judging, selftest
from xframe.testing.selftest.results import CAUSES_RIGHT, TASK, Clean, Finding, SelfTest, figures, text
from xframe.trace.rows import Rows
from xframe.trace.trace import Trace

CHECKS = tuple(check.name for check in checks.of("exact"))
ADAPTERS = ("numpy", "torch", "tensorflow")
SAMPLE = sorted(fault.name for fault in Random("selftest").sample(FAULTS, part(16)))
FEW = ("drops-the-remainder", "skips-an-update", "never-zeroes", "returns-an-earlier-checkpoint")


@pytest.fixture(scope="module")
def result() -> SelfTest:
    """All three adapters, a sample of the faults."""
    return selftest(ADAPTERS, SAMPLE, mutations=len(MUTATORS), clean_runs=8, seed=1)


# --- what it finds ---------------------------------------------------------------------------------


def test_every_fault_is_found_at_its_very_step(result: SelfTest, record_property: Any) -> None:
    missed = [str(one) for one in result.findings if not (one.detected and one.localised)]
    assert not missed
    for name in ADAPTERS:
        possible = [fault for fault in SAMPLE if name in (BY_NAME[fault].frameworks or ADAPTERS)]
        assert [one.name for one in result.of("fault", name)] == possible
        assert {one.name for one in result.of("mutation", name)} == {m.__name__.replace("_", "-") for m in MUTATORS}
    record_property("sample", f"self-test: {len(result.findings)} faults, {', '.join(SAMPLE)} among them")


def test_no_honest_run_is_called_different(result: SelfTest) -> None:
    assert result.clean.alarms == ()
    plans = {BY_NAME[name].plan.digest for name in SAMPLE} | {plan.digest for plan in BASES}
    assert result.clean.runs == 3 * (8 + len(plans))
    assert result.clean.comparisons == result.clean.runs * 3  # of three adapters' runs, as many pairs, each twice
    assert result.clean.pairs == 3 * len(plans)
    assert result.clean.refused == ()


def test_causes_are_right(result: SelfTest) -> None:
    counts = figures(result.findings)
    assert counts["cause_wrong_but_certain"] == 0, [str(one) for one in result.findings if one.cause_wrong_but_certain]
    assert counts["cause_right"] >= CAUSES_RIGHT * counts["faults"], [str(one) for one in result.misses]


def test_the_json_form(result: SelfTest) -> None:
    told = json.loads(json.dumps(result.to_dict()))
    assert list(told)[:8] == [
        "faults",
        "detected",
        "localised",
        "cause_right",
        "cause_wrong_but_certain",
        "clean_runs",
        "false_alarms",
        "baselines",
    ]
    assert told["faults"] == told["detected"] == told["localised"] == len(result.of("fault"))
    assert (told["clean_runs"], told["false_alarms"], told["seed"]) == (result.clean.runs, 0, 1)
    assert list(told["adapters"]) == list(ADAPTERS)
    assert sum(one["faults"] for one in told["adapters"].values()) == told["faults"]
    assert told["mutations"]["faults"] == 3 * len(MUTATORS)
    assert set(told["baselines"]) == set(baselines.BASELINES)


def test_the_text_has_the_same_figures(result: SelfTest) -> None:
    printed, counts = text(result), result.to_dict()
    row = next(line for line in printed.splitlines() if line.startswith("all "))
    assert row.split()[1:3] == [str(counts["faults"]), str(counts["detected"])]
    for name, count in counts["baselines"].items():
        row = next(line for line in printed.splitlines() if line.startswith(name))
        assert row.removeprefix(name).split()[3] == str(count)
    assert f"{result.clean.runs} clean runs" in printed


# --- that it can fail ------------------------------------------------------------------------------


class Altered:
    """A comparison with some of what it says replaced."""

    def __init__(self, honest: Any, **instead: Any) -> None:
        self.honest, self.__dict__ = honest, {"honest": honest, **instead}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.honest, name)


HONEST = judging.compare


def run(monkeypatch: pytest.MonkeyPatch, compare: Any, **more: Any) -> SelfTest:
    monkeypatch.setattr(judging, "compare", compare)
    return selftest(["numpy"], FEW, **{"mutations": 4, "clean_runs": 2, **more})


def right_cause(trace: Trace) -> tuple[Explanation, ...]:
    """Of a fault's trace, by its name."""
    named = re.fullmatch(r"(?:bare-)?fault-(.*)\.trace", trace.path.name)
    return (Explanation(BY_NAME[named[1]].causes[0], "faulty", True, "known"),) if named else ()


def knows_all(*runs: Trace, **options: Any) -> Altered:
    return Altered(HONEST(*runs, **options), causes=right_cause(runs[-1]))


def test_a_comparison_that_knows_all_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, knows_all, mutations=0)
    assert result
    assert result.exit_code == 0
    assert figures(result.findings) == {
        **dict.fromkeys(("faults", "detected", "localised", "cause_right"), 4),
        "cause_wrong_but_certain": 0,
    }
    assert "passed" in text(result)


@pytest.mark.costly
def test_a_blind_comparison_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(*runs: Trace, **options: Any) -> Altered:
        honest = HONEST(*runs, **options)
        checks = tuple(replace(check, result="pass", first=None) for check in honest.checks)
        return Altered(honest, checks=checks, verdict="passed", first_difference=None, causes=())

    result = run(monkeypatch, blind)
    assert result.exit_code == 1
    assert [one for one in result.findings if one.detected or one.localised or one.cause_right] == []
    assert result.clean.alarms == ()
    assert "FAILED" in text(result)
    assert "not found in full: 8" in text(result)


@pytest.mark.costly
def test_a_step_beside_is_no_localisation(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*runs: Trace, **options: Any) -> Altered:
        honest = knows_all(*runs, **options)
        checks = tuple(replace(c, first=None if c.first is None else c.first + 1) for c in honest.checks)
        first = honest.first_difference
        told = first and {**first, "step": first["step"] + 1}
        return Altered(honest, checks=checks, first_difference=told)

    result = run(monkeypatch, late)
    assert all(one.detected for one in result.findings)
    # The checkpoint's step shows nowhere, so that there is nothing to be beside.
    assert [one.name for one in result.findings if one.localised] == ["returns-an-earlier-checkpoint"]
    assert result.exit_code == 1


@pytest.mark.costly
def test_another_check_is_no_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(*runs: Trace, **options: Any) -> Altered:
        honest = knows_all(*runs, **options)
        turned = dict(zip(CHECKS, (*CHECKS[1:], CHECKS[0]), strict=True))
        return Altered(honest, checks=tuple(replace(c, name=turned[c.name]) for c in honest.checks))

    result = run(monkeypatch, renamed, mutations=0)
    assert result.exit_code == 1
    assert not any(one.localised for one in result.findings if one.step is not None and one.check == "updates")


@pytest.mark.costly
def test_a_wrong_cause_counts_and_more_so_if_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(certain: bool) -> Any:
        def compare(*runs: Trace, **options: Any) -> Altered:
            honest = HONEST(*runs, **options)
            causes = (Explanation("rounding", "faulty", certain, "it says"), *right_cause(runs[-1]))
            return Altered(honest, causes=causes if right_cause(runs[-1]) else ())

        return compare

    certain = run(monkeypatch, wrong(True), mutations=0).to_dict()
    assert (certain["detected"], certain["cause_right"], certain["cause_wrong_but_certain"]) == (4, 0, 4)
    doubtful = run(monkeypatch, wrong(False), mutations=0).to_dict()
    assert (doubtful["detected"], doubtful["cause_right"], doubtful["cause_wrong_but_certain"]) == (4, 0, 0)
    assert not certain["passed"]
    assert not doubtful["passed"]


@pytest.mark.costly
def test_one_wrong_but_certain_cause_is_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the right cause is named in every setting but one."""

    def compare(*runs: Trace, **options: Any) -> Altered:
        honest = knows_all(*runs, **options)
        if runs[-1].path.name != "bare-fault-skips-an-update.trace":
            return honest
        return Altered(honest, causes=(Explanation("rounding", "faulty", True, "it says"),))

    result = run(monkeypatch, compare, mutations=0)
    assert [one.name for one in result.findings if one.cause_wrong_but_certain] == ["skips-an-update"]
    assert result.exit_code == 1


@pytest.mark.costly
def test_alarms_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(
        monkeypatch, lambda *runs, **options: Altered(knows_all(*runs, **options), verdict="failed"), mutations=0
    )
    assert len(result.clean.alarms) == result.clean.comparisons == result.clean.runs
    assert result.exit_code == 1
    named = run(
        monkeypatch,
        lambda *runs, **options: Altered(
            knows_all(*runs, **options), causes=(Explanation("rounding", "numpy", False, "it says"),)
        ),
        mutations=0,
    )
    assert len(named.clean.alarms) == named.clean.runs  # a cause where there is nothing to explain


def test_a_fault_that_did_not_run_is_missed() -> None:
    finding = Finding("numpy", "fault", "one", "steps", 3, ("one-step-less",), problem="ValueError: no")
    assert (finding.detected, finding.localised, finding.cause_right) == (False, False, False)
    result = SelfTest(("numpy",), (finding,), Clean(), 0, 0.0)
    assert not result
    assert "numpy one: ValueError: no" in text(result)


def test_nothing_tested_is_no_pass() -> None:
    assert not SelfTest(("numpy",), (), Clean(), 0, 0.0)


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["selftest", "--adapters", "numpy", "--fault", "stops-early", "--mutations", "0", "--clean-runs", "1"]
    monkeypatch.setattr(judging, "compare", knows_all)
    assert execute([*asked, "--json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert (told["faults"], told["cause_right"], told["clean_runs"]) == (1, 1, 2)
    assert "numpy" in printed.err  # the progress line
    monkeypatch.setattr(judging, "compare", lambda *runs, **options: Altered(knows_all(*runs), verdict="passed"))
    assert execute(asked) == 1
    assert capsys.readouterr().out.rstrip().endswith("FAILED")


def test_what_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="adapter"):
        selftest(["pytorch"], [], 0, 1)
    with pytest.raises(UsageError, match="fault"):
        selftest(["numpy"], ["stops-erly"], 0, 1)
    with pytest.raises(UsageError, match="from 0 up"):
        selftest(["numpy"], [], -1, 1)
    false = shutil.which("false")
    assert false
    monkeypatch.setattr(sys, "executable", false)
    with pytest.raises(WorkerError, match="exit code 1"):
        selftest(["numpy"], [], 0, 1)


# --- what it is made of ----------------------------------------------------------------------------


def test_it_needs_no_pytest_and_loads_no_framework() -> None:
    code = "import sys, xframe.testing.selftest; print([n for n in ('pytest', 'torch', 'keras') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_faults() -> None:
    """At least 40 in each framework, each with a text, and none left over."""
    for name in ADAPTERS:
        assert sum(fault.frameworks is None or name in fault.frameworks for fault in FAULTS) >= 40
    modules = [
        importlib.import_module(f"{faults.__name__}.{one.name}") for one in pkgutil.iter_modules(faults.__path__)
    ]
    every = {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Faulty)
        and value.__module__ == module.__name__ != bases.__name__
    } - {PadsByHand}
    used = {fault.build for fault in FAULTS} | {fault.against for fault in FAULTS}
    assert every == used - {Faulty, None}
    for fault in FAULTS:
        assert re.fullmatch(r"[a-z-]+", fault.name)
        description = inspect.getdoc(fault.task or fault.build) or ""
        assert description.endswith("."), fault.name
        assert "\n" not in description
        assert re.fullmatch(r"([\w-]+/[\w-]+#\d+)?", fault.thread)
        assert fault.check in CHECKS
    with pytest.raises(ValueError, match="unknown causes"):
        declaring.fault("one", "steps", 0, "because")(Faulty)


def test_the_faults_causes_are_most_of_all() -> None:
    """Each cause is some fault's, but for those of how a user records, tolerates or sets, or of two frameworks."""
    named = {cause for fault in FAULTS for cause in fault.causes}
    elsewhere = {  # see feature cheats, fit, the harness of pairs, the tests of diagnosis
        *("schedule-late", "schedule-clock", "early-stopping", "counted-without-update", "different-loss"),
        *("loss-recorded-otherwise", "rate-in-velocity", "tolerance-below-rounding", "validation-in-training-mode"),
        *("sanity-check", "adam-epsilon-placement"),
        # What scripts set or feed otherwise, which adapters do as the task says.
        *("optimizer-settings", "weight-decay", "clipping", "dropout-rate", "normalisation-settings", "batch-first"),
        *(
            "loss-settings",
            "loss-rows",
            "dropout-masks",
            "normalisation-variance",
            "loss-logits",
            "loss-broadcast",
            "precision-settings",
            "evaluation-mode",
            "gradient-scale",
            "other-targets",
        ),
        *(
            "rescaled-features",
            "other-features",
            "same-draws-in-workers",
            "targets-of-other-samples",
            "different-split",
        ),
        # Of scripts of several processes: see scripts/replicas/table.py and the tests of diagnosis.
        *("replicas-start-apart", "replicas-set-otherwise", "summed-over-replicas", "divided-by-full-batch"),
        *("replicas-of-other-number", "replicas-of-unequal-shares", "replica-leaves-update-out"),
        *("frozen-weights", "gradients-kept", "step-without-update", "second-optimizer-interval"),
    }
    assert causes.by_name().keys() - named == {"rounding", *elsewhere}


@pytest.mark.costly
def test_runs_that_are_alike_have_causes_alike(tmp_path: Path) -> None:
    """Two faults whose rows are the same, beside honest runs whose rows are the same, must share a cause."""
    adapter, task, runtime = registry.load("numpy"), find_task(TASK), Runtime(device="cpu", threads=1)

    def structure(build: type[Faulty], plan: TrainingPlan, name: str) -> tuple[Any, ...]:
        path, several = tmp_path / f"{name}.trace", getattr(build, "replicas", 1)
        with record(path) if several == 1 else record_replicas(path, several) as recorder:
            faults.make(adapter, build).run(plan, task, runtime, recorder)
        rows = mutators.rows_of(Trace.open(tmp_path / f"{name}.trace"))
        return tuple((column, *values) for column, values in contents(rows).items() if column not in ("loss", "lr"))

    plans = {fault.plan.digest: fault.plan for fault in FAULTS}
    honest = {digest: structure(Faulty, plan, digest) for digest, plan in plans.items()}
    alike: dict[Any, list[Fault]] = {}
    for fault in FAULTS:
        if fault.seen_by_the_plan:
            rows = structure(fault.build, fault.plan, fault.name)
            key = hash((honest[fault.plan.digest], rows, getattr(fault.build, "replicas", 1)))
            alike.setdefault(key, []).append(fault)
    assert any(len(group) > 1 for group in alike.values())
    for group in alike.values():
        assert set.intersection(*(set(fault.causes) for fault in group)), [fault.name for fault in group]


BATCHES = [[3, 1, 4], [0, 5, 2], [6, 7], [1, 0, 2], [3, 4, 5], [7, 6]]
ROWS = Rows.of_batches(BATCHES, [1, 1, 2, 3, 3, 4]).with_columns(
    loss=np.arange(1.0, 7.0),
    lr=np.full(6, 0.1),
    epoch=[0, 0, 0, 1, 1, 1],
    step_in_epoch=[0, 1, 2, 0, 1, 2],
    padding=[0, 0, 0, 0, 0, 0],
)


def contents(rows: Rows) -> dict[str, list[Any]]:
    """Every column that is known, as plain values."""
    return {name: rows.column(name).values.tolist() for name in sorted(rows.known)}


def first_difference(candidate: Rows, reference: Rows) -> tuple[str, int]:
    """The earliest step and there the earliest check, by looking at one row after the other."""
    for i in range(min(len(candidate), len(reference))):
        if candidate.batch(i).tolist() != reference.batch(i).tolist():
            return "boundaries", i
        if candidate.updates[i] != reference.updates[i]:
            return "updates", i
        if candidate.epoch[i] != reference.epoch[i]:
            return "epochs", i
    assert len(candidate) != len(reference)
    return "steps", min(len(candidate), len(reference))


@pytest.mark.parametrize("mutator", MUTATORS, ids=lambda mutator: mutator.__name__)
def test_a_mutation_says_where_it_is(mutator: mutators.Mutator) -> None:
    draw, places = Random(mutator.__name__), set()
    for _ in range(200):
        made = mutators.mutate(mutator, ROWS, draw, 8)
        assert (made.check, made.step) == first_difference(ROWS, made.rows)
        assert set(made.causes) <= causes.by_name().keys()
        places.add(made.step)
    assert len(places) >= 2  # at random places


def test_rows_survive_being_recorded(tmp_path: Path) -> None:
    plan = TrainingPlan(batch_size=3, epochs=2)
    path = tmp_path / "one.trace"
    mutators.write(path, ROWS, plan=plan, num_samples=8, metadata={"label": "x"}, weights={"a": np.ones(2)})
    trace = Trace.open(path)
    assert trace.complete
    assert (trace.plan, trace.name) == (plan, "x")
    assert contents(mutators.rows_of(trace)) == contents(ROWS)
    unknown = ROWS.with_columns(updates=None, loss=None, epoch=None)
    mutators.write(tmp_path / "two.trace", unknown, plan=None, num_samples=None, metadata={})
    again = mutators.rows_of(Trace.open(tmp_path / "two.trace"))
    assert contents(again) == contents(unknown)
    assert not {"updates", "loss", "epoch"} & again.known


def test_the_baselines_see_what_they_look_at() -> None:
    features = baselines.Features.of(np.arange(20.0).reshape(10, 2))
    assert (features.width, features.sums[3]) == (2, 13.0)

    def logged(updates: int = 6, losses: tuple[float, ...] = (1.0, 2.0), batches: Any = ((0, 1), (2, 3))) -> Any:
        trace = SimpleNamespace(
            num_rows=len(losses),
            ids=lambda i: np.array(batches[i]),
            column=lambda name: np.array({"updates": [updates] * len(losses), "loss": losses}[name]),
        )
        return baselines.Logged.of(trace, features)

    def seen(**fields: Any) -> set[str]:
        return {name for name, differs in baselines.differs(logged(), logged(**fields)).items() if differs}

    totals, tight, loose, moments = baselines.BASELINES
    assert seen() == seen(batches=((1, 0), (2, 3))) == set()
    assert seen(updates=5) == {totals}
    assert seen(losses=(1.0, 2.0001)) == {tight}
    assert seen(losses=(1.0, 2.1)) == {tight, loose}
    assert seen(batches=((0, 2), (1, 3))) == {moments}
    assert seen(losses=(1.0,), batches=((0, 1),)) == {totals, tight, loose, moments}


def test_the_random_plans_are_of_every_kind() -> None:
    drawn = list(islice(clean.draws(0), 200))
    assert drawn == list(islice(clean.draws(0), 200))
    assert drawn != list(islice(clean.draws(1), 200))
    names = (
        "remainder",
        "epoch_iterator",
        "on_exhaustion",
        "accumulation_boundary",
        "accumulation_remainder",
        "accumulation_at_end",
        "loss_normalization",
        "order",
    )
    for name in names:
        values = [getattr(one.plan, name) for one in drawn]
        assert all(values.count(value) >= 8 for value in FIELDS[name].words), name
    for limit in range(3):
        assert {one.plan.limits[limit] is None for one in drawn} == {True, False}
    assert any(one.plan.batch_size > one.num_samples for one in drawn)
    assert all(one.plan.counts(one.num_samples).num_steps in clean.STEPS for one in drawn)
