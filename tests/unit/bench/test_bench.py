"""The bench: statistics of made-up samples, the gate, loops that die or are absent, runs that may not be compared.

No test is timed, and none asserts a speed.
"""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import xframe
from xframe.bench import loops as bench
from xframe.bench.throughput import bench_plan
from xframe.bench.worker import Benched, Gate, GatedRecorder, Loop, Workload
from xframe.cli import app as cli
from xframe.report.bench import LoopBench, MeasuredLoop, MeasuredRun, PlanBench, Segment, warm_up
from xframe.report.estimates import Estimate, brackets
from xframe.report.machine import environment
from xframe.running import harness, registry
from xframe.running.messages import Done
from xframe.running.request import Request
from xframe.tasks.lookup import find_task

PLAN = xframe.TrainingPlan(batch_size=5, epochs=2)


# Statistics


def test_an_estimate():
    outcome = Estimate.of([1.01, 1.0, 1.02, 0.99, 1.0, 1.01, 0.99])
    assert outcome.median == 1.0
    assert 0.99 <= outcome.low <= 1.0 <= outcome.high <= 1.02
    assert outcome.stable
    assert str(outcome).startswith("1.000 [")
    assert outcome == Estimate.of([1.01, 1.0, 1.02, 0.99, 1.0, 1.01, 0.99])  # no random figure


@pytest.mark.parametrize("samples", [[1.0, 1.3, 0.8], [1.0, 1.0, 1.25, 1.3], [2.0]])
def test_an_unstable_estimate(samples):
    outcome = Estimate.of(samples)
    assert not outcome.stable
    assert "unstable" in str(outcome)
    assert outcome.to_dict()["stable"] is False


@pytest.mark.parametrize("rounds", [2, 3, 5])
def test_few_rounds_are_a_range_and_never_stable(rounds):
    outcome = Estimate.of([1.0, 1.01, 1.02, 1.0, 1.0][:rounds])
    assert (outcome.low, outcome.high) == (1.0, max([1.01, 1.02][: rounds - 1]))
    assert not outcome.stable
    assert "few rounds" in str(outcome)
    assert outcome.to_dict()["interval"] == f"range of {rounds} rounds"
    assert f"the range of {rounds} rounds" in brackets(rounds)
    assert "95 % intervals" in brackets(6)


def measured(name, costs, *, base=False, twin=None, failed=None):
    """A loop that took that many µs a step, by round; None for a round it was not in."""
    segments = [Segment(i, 1000, cost / 1000, cost / 1250) for i, cost in enumerate(costs) if cost is not None]
    return MeasuredLoop(name, "torch", "some loop", not base, base, twin, 1.0, segments, failed)


def of_loops(*loops, **left_out):
    task = {"task": "t", "description": "d", "num_samples": 9, "batch_size": 3, "precision": "float32"}
    settings = {"rounds": 3, "seconds": 0.5, "seed": 0, "core": 1}
    return LoopBench(task, settings, environment(1, {"numpy": "2"}), loops, left_out)


def test_ratios_are_within_rounds():
    # The machine becomes ten times slower; the ratio does not.
    base, other = measured("bare", [100, 400, 1000], base=True), measured("own", [150, 600, 1500], twin="fit")
    outcome = of_loops(base, other, measured("fit", [50, 200, 500]))
    assert other.ratio(base) == Estimate(1.5, 1.5, 1.5)
    row = next(line for line in str(outcome).splitlines() if line.strip().startswith("own"))
    assert (
        " ".join(row.split())
        == "own 600.0 1.500 few rounds [1.500, 1.500] 3.000 few rounds [3.000, 3.000] of fit some loop"
    )
    assert outcome.exit_code == 0
    assert "the loops had a processor for 80% of their time" in str(outcome)


def test_only_rounds_of_both_count():
    base, other = measured("bare", [100, 100, None, 100], base=True), measured("own", [None, 200, 900, 200])
    assert other.ratio(base).median == 2.0
    assert other.ratio(measured("bare", [100])) is None
    assert other.ratio(None) is None


def test_the_json_form_has_every_sample():
    failed = measured("own", [200.0], twin="bare", failed="the process was killed by SIGKILL")
    outcome = of_loops(measured("bare", [100.0, 300.0], base=True), failed, lightning="not installed: lightning")
    result = json.loads(json.dumps(outcome.to_dict()))
    bare, own = result["loops"]
    assert [s["seconds"] * 1e6 / s["steps"] for s in bare["segments"]] == pytest.approx([100, 300])
    assert bare["us_per_step"]["median"] == pytest.approx(200)
    assert (own["ratio_to"], own["ratio"]["stable"], own["ratio_to_twin"]["median"]) == ("bare", False, 2.0)
    assert own["failed"] == "the process was killed by SIGKILL"
    assert result["left_out"] == {"lightning": "not installed: lightning"}
    assert outcome.exit_code == 3
    assert "own failed: the process was killed by SIGKILL" in str(outcome)
    assert "not installed: lightning (lightning)" in str(outcome)
    assert "twin" not in str(outcome)  # it is the base, whose column is there


def test_nothing_measured_is_no_success():
    assert of_loops(torch="not installed: torch").exit_code == 3


@pytest.mark.parametrize(
    ("times", "epochs", "expected"),
    [
        (range(20), None, 2),
        (range(20), [0] * 20, 2),
        (range(4), None, 1),
        (range(6), [0, 0, 0, 1, 1, 1], 3),
        ([5, 5, 5, 5, 9, 9], [0, 0, 1, 1, 2, 2], 4),  # the first block is not cut
        ([5] * 6, [0, 0, 0, 1, 1, 1], 6),
    ],
)
def test_warm_up(times, epochs, expected):
    outcome = warm_up(np.array(times, dtype=float), None if epochs is None else np.array(epochs))
    assert outcome == expected


def traced(path, time_ns):
    sizes = np.full(len(time_ns), 4)
    with xframe.record(path) as rec:
        rec.block(ids=np.arange(sizes.sum()), batch_sizes=sizes, time_ns=np.array(time_ns))
    return xframe.Trace.open(path)


def test_a_run_step_by_step(tmp_path):
    times = [3_000_000_000 + k * 1_000_000 for k in range(20)]
    run = MeasuredRun.of(0, traced(tmp_path / "a.trace", times), Done(3, 2.5, 10))
    assert (run.first_seconds, run.setup_seconds, run.peak_memory, run.by_block) == (3.0, 2.5, 10, False)
    assert len(run.step_seconds) == 18
    assert run.samples_per_second == pytest.approx(4000)


def test_a_run_by_block(tmp_path):
    times = [1_000_000_000] * 4 + [1_008_000_000] * 4 + [1_012_000_000] * 2
    run = MeasuredRun.of(0, traced(tmp_path / "a.trace", times), Done(3, 1.0, None))
    assert run.by_block
    assert run.step_seconds == pytest.approx([0.002] * 6)
    assert run.to_dict()["step_seconds"]["median"] == pytest.approx(0.002)


def test_a_run_too_short_to_say(tmp_path):
    run = MeasuredRun.of(0, traced(tmp_path / "a.trace", [7] * 5), Done(3, 1.0, None))
    assert (run.samples_per_second, run.samples) == (None, 0)
    assert run.to_dict()["step_seconds"] == {"p5": None, "median": None, "p95": None}


# The gate


class ToldError(Exception):
    pass


def gate(*wanted):
    """A gate that asks for that many steps one after the other, and what it reported."""
    asked, reported = iter(wanted), []

    def wait():
        try:
            return next(asked)
        except StopIteration:
            raise ToldError from None

    return Gate(lambda steps, *_: reported.append(steps), wait), reported


def test_a_gate_stops_at_the_first_place_where_enough_is_made():
    at, reported = gate(1, 500, 100)
    for _ in range(5):
        at.meet(200)
    with pytest.raises(ToldError):
        at.meet(200)
    assert reported == [200, 200, 600, 200]


def test_a_gated_recorder_writes_all_before_a_pause(tmp_path):
    at, reported = gate(3, 5)
    recorder = GatedRecorder(tmp_path / "a.trace", at)
    with recorder:
        for k in range(4):
            recorder.step(ids=np.arange(2), updates=k + 1)
        assert recorder._writer.num_rows == 4
        recorder.block(ids=np.arange(6), batch_sizes=[2, 2, 2], updates=[5, 6, 7])
        with pytest.raises(ToldError):
            recorder.block(ids=np.arange(6), batch_sizes=[2, 2, 2], updates=[8, 9, 10])
    assert reported == [1, 3, 6]
    trace = xframe.Trace.open(tmp_path / "a.trace")
    assert trace.column("updates").tolist() == list(range(1, 11))


def test_the_shipped_loops():
    code = """
    import sys
    from xframe.running import registry
    from xframe.bench.worker import loops_of
    from xframe.tasks.lookup import find_task
    import json
    tasks = [find_task(name) for name in ("xframe.tasks.builtin.bench_mlp:task", "ledger")]
    names = {n: [[loop.name for loop in loops_of(registry.load(n), t)] for t in tasks] for n in registry.available()}
    print(json.dumps([names, [name for name in ("torch", "tensorflow", "keras", "lightning") if name in sys.modules]]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    names, frameworks = json.loads(done.stdout)
    assert frameworks == []
    assert {"torch-indexed", "lightning", "transformers"} <= set(names["torch"][0])
    assert {"tensorflow-graph", "keras-fit"} <= set(names["tensorflow"][0])
    assert all(others == [] for _, others in names.values())  # no bare model of another task
    for name in ("numpy", "torch", "tensorflow"):
        loops = registry.load(name).bench_loops(find_task("xframe.tasks.builtin.bench_mlp:task"))
        assert [loop.base for loop in loops].count(True) == 1


def test_a_bare_loop_trains_whole_epochs(tmp_path):
    workload = Workload(find_task("xframe.tasks.builtin.bench_mlp:task"), 32, tmp_path)
    (loop,) = registry.load("numpy").bench_loops(workload.task)
    at, reported = gate(201)
    with pytest.raises(ToldError):
        loop.train(workload, at)
    assert reported == [200, 400]
    assert isinstance(registry.load("numpy"), Benched)
    assert loop == Loop("numpy-indexed", loop.about, loop.train, base=True, bare=True, twin_of=("eager",))


# The command, with loops of its own


FAKE = """
import os, signal
import numpy as np
from xframe.running.adapter import Probe
from xframe.bench.worker import Loop

def bare(workload, gate):
    features, _ = workload.data()
    while True:
        for start in workload.starts:
            features[start : start + workload.batch_size].sum()
        gate.meet(len(workload.starts))

def dies(workload, gate):
    for _ in range(6):
        gate.meet(10_000_000)
    print("last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

def raises(workload, gate):
    raise ValueError("no such\\nluck")

def ends(workload, gate):
    gate.meet(1)

class Fake:
    name, loops, requires, install = "fake", ("rows", "blocks", "never"), ("numpy",), "pip install fake"

    def check(self, plan, task, runtime):
        return ["it never trains"] if runtime.loop == "never" else []

    def probe(self):
        return Probe({}, ("cpu",))

    def bench_loops(self, task):
        return (
            Loop("fake-base", "a base", bare, base=True, twin_of=("rows",)),
            Loop("fake-dies", "dies", dies),
            Loop("fake-raises", "raises", raises),
            Loop("fake-ends", "ends", ends),
            Loop("fake-absent", "absent", bare, requires=("no_such_module", "nor_this_one")),
        )

    def run(self, plan, task, runtime, recorder):
        while True:
            if runtime.loop == "blocks":
                recorder.block(ids=np.arange(64), batch_sizes=[32, 32])
            else:
                recorder.step(ids=np.arange(32), loss=1.0)
"""


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """Runs xframe bench where an adapter called fake is installed."""
    folder = tmp_path_factory.mktemp("fake")
    (folder / "fake_adapter.py").write_text(FAKE)
    information = folder / "fake-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[xframe.adapters]\nfake = fake_adapter:Fake\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])

    def call(*tokens):
        command = [sys.executable, "-m", "xframe", "bench", "--rounds", "2", "--seconds", "0.01", *tokens]
        environ = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder)}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environ)
        return done, sorted(folder.glob("xframe-bench-*"))

    return call


def test_loops_that_die_are_named_and_the_others_go_on(fake):
    done, kept = fake("--loops", "fake", "--json")
    assert done.returncode == 3, done.stderr
    result = json.loads(done.stdout)["benches"][0]
    loops = {loop["name"]: loop for loop in result["loops"]}
    assert list(loops) == ["fake-base", "fake:rows", "fake:blocks", "fake-dies", "fake-raises", "fake-ends"]
    for name in ("fake-base", "fake:rows", "fake:blocks"):
        loop = loops[name]
        assert loop["failed"] is None
        assert [segment["round"] for segment in loop["segments"]] == [0, 1]
        assert all(
            segment["steps"] >= 1 and segment["seconds"] > 0 <= segment["cpu_seconds"] for segment in loop["segments"]
        )
        assert loop["ratio_to"] == "fake-base"
    assert loops["fake-base"]["segments"][0]["steps"] % 200 == 0
    assert (loops["fake:rows"]["twin"], loops["fake:blocks"]["twin"]) == ("fake-base", None)
    assert loops["fake:rows"]["ratio_to_twin"]["median"] > 0
    assert loops["fake:rows"]["recorded"]
    assert "the process was killed by SIGKILL" in loops["fake-dies"]["failed"]
    assert "Its last words: last words" in loops["fake-dies"]["failed"]
    assert loops["fake-raises"]["failed"].startswith("ValueError: no such. Log: ")
    assert loops["fake-ends"]["failed"].startswith("the loop ended by itself. Log: ")
    assert result["left_out"] == {
        "fake-absent": "not installed: no_such_module, nor_this_one",
        "fake:never": "left out: it never trains",
    }
    assert len(kept) == 2  # one for each workload's logs
    folder = next(place for place in kept if f"Log: {place}" in loops["fake-raises"]["failed"])
    assert "no such\nluck" in (folder / "fake-raises.log").read_text()
    assert "measure bench-mlp  2/2 rounds" in done.stderr
    assert "Traceback" not in done.stderr


def test_chosen_loops_bring_their_base_and_leave_nothing(fake):
    before = fake("--loops", "none")[1]
    done, kept = fake("--loops", "fake:blocks")
    assert (done.returncode, kept) == (0, before), done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("  fake")]
    assert [words[0] for words in lines] == 2 * ["fake", "fake-base", "fake:blocks"]  # of two workloads
    assert lines[0] == ["fake", "µs/step", "ratio", "to", "base", "about"]
    assert lines[1][2] == "base"
    assert "2 rounds in random order (seed 0)" in done.stdout
    assert f"python {sys.version.split()[0]}" in done.stdout


def test_recorded_and_bare_numpy(capsys):
    code = cli.execute(["bench", "--loops", "numpy:eager", "--rounds", "1", "--seconds", "0.01", "--json"])
    result = json.loads(capsys.readouterr().out)["benches"][0]
    assert code == 0
    assert [loop["name"] for loop in result["loops"]] == ["numpy-indexed", "numpy:eager"]
    assert result["workload"]["batch_size"] == 32
    assert result["environment"]["versions"].keys() == {"python", "numpy"}


def test_a_workload_without_bare_loops():
    (outcome,) = bench.bench_loops(loops=["numpy"], rounds=1, seconds=0.01, workloads=("digits-mlp", "no-such-task"))
    assert [loop.name for loop in outcome.loops] == ["numpy:eager"]
    assert outcome.to_dict()["loops"][0]["ratio"] is None
    assert outcome.exit_code == 0


@pytest.mark.parametrize(
    ("tokens", "refusal"),
    [
        ("--loops torch-index", "Did you mean 'torch-indexed'?"),
        ("--rounds 0", "expected 1 or more"),
        ("--seconds -1", "expected 1 or more, and up to 150 seconds"),
        ("--batch-size 32 --loops numpy --html page.html", "--loops and --html: got a plan, expected none"),
        ("plan.toml --loops numpy", "--loops: got a plan, expected none"),
        ("plan.toml --rounds 0", "rounds: got 0"),
        ("plan.toml --adapters numpi", "Did you mean 'numpy'?"),
    ],
)
def test_wrong_calls(tmp_path, monkeypatch, capsys, tokens, refusal):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text(PLAN.to_toml())
    assert cli.execute(["bench", *tokens.split()]) == 2
    assert refusal in capsys.readouterr().err


# A plan


def test_a_plan_through_its_workers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("batch_size = 100\nepochs = 3\n")
    code = cli.execute(["bench", "mine.toml", "--adapters", "numpy", "--rounds", "2", "--threads", "1", "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    result = json.loads(out)
    assert (result["comparable"], result["structure"], result["ratios"]) == (True, "identical", {})
    assert [run["round"] for run in result["runs"]["numpy"]] == [0, 1]
    for run in result["runs"]["numpy"]:
        assert run["samples"] == 2 * 1797  # the first epoch is the warm-up
        assert run["peak_memory"] > 2**20
        assert run["setup_seconds"] > 0
        assert xframe.Trace.open(tmp_path / run["trace"]).complete
    assert result["settings"]["threads"] == 1
    assert result["settings"]["device"] == "cpu"
    assert json.loads((tmp_path / "xframe-runs/bench-mine-1/bench.json").read_text()) == result
    assert "measure  2/2 runs" in err


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("--batch-size 32", {"batch_size": 32, "epochs": 3}),
        ("--steps 9 --adapters numpy", {"batch_size": 64, "steps": 9}),
        ("--task digits-cnn", {"batch_size": 64, "epochs": 3}),
        ("mine.toml --threads 1 --epochs 3", {"batch_size": 100, "epochs": 3}),
    ],
)
def test_fields_apply_to_the_default_plan_as_they_do_to_a_file(tmp_path, monkeypatch, tokens, expected):
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xframe.bench.throughput.bench_plan", lambda request, **options: seen.append(request))
    (tmp_path / "mine.toml").write_text("batch_size = 100\nepochs = 2\n")
    cli.execute(["bench", *tokens.split()])
    (request,) = seen
    limits = {name: value for name, value in request.plan.limits._asdict().items() if value}
    assert {"batch_size": request.plan.batch_size, **limits} == expected
    assert request.task == ("digits-cnn" if "cnn" in tokens else "digits-mlp")
    assert request.threads == (1 if "threads" in tokens else None)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child does not begin with its parent's peak")
def test_a_parents_memory_is_not_the_workers():
    held = bytearray(1 << 29)
    code = "from xframe.running.worker import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 << 20 < int(done.stdout) < len(held)


@pytest.fixture
def pretend(monkeypatch):
    """Stands in for the workers: ``departs[label]`` changes that run's rows, ``devices`` says where they ran."""

    def pretend(*, departs=None, devices=None):
        def execute(request, traces, progress):
            plan, runtime = request.plan, request.runtime
            ((selection, place),) = traces.items()
            device = (devices or {}).get(selection.label, "cpu")
            facts = {"label": selection.label, "runtime": {**runtime.to_dict(), "device": device}}
            rows = [(step.sample_ids, step.update, step.epoch) for step in plan.each_step(1797)]
            rows = (departs or {}).get(selection.label, lambda rows: rows)(rows)
            with xframe.record(place, plan=plan, num_samples=1797, metadata=facts) as rec:
                for ids, update, epoch in rows:
                    rec.step(ids=ids, updates=update, epoch=epoch, loss=1.0, lr=0.05)
            return [Done(len(rows), 1.0, 2**20)]

        monkeypatch.setattr(harness, "execute", execute)

    return pretend


def test_the_ratio_of_runs_that_were_the_same(tmp_path, pretend):
    pretend()
    outcome = bench_plan(Request(plan=PLAN, adapters=("numpy", "torch"), out=tmp_path / "out"), rounds=3)
    assert outcome.comparable
    assert list(outcome.ratios()) == ["torch"]
    assert outcome.exit_code == 0
    assert "samples/s, torch / numpy: " in str(outcome)
    assert "structure identical" in str(outcome)
    assert outcome.to_dict()["ratio_to"] == "numpy"


def drop_last(rows):
    full = [(ids, epoch) for ids, _, epoch in rows if len(ids) == PLAN.batch_size]
    return [(ids, k + 1, epoch) for k, (ids, epoch) in enumerate(full)]


def test_runs_that_were_not_the_same_have_no_ratio(tmp_path, pretend):
    pretend(departs={"torch": drop_last})
    outcome = bench_plan(Request(plan=PLAN, adapters=("numpy", "torch"), out=tmp_path / "out"), rounds=2)
    assert not outcome.comparable
    assert (outcome.ratios(), outcome.exit_code) == ({}, 1)
    text = str(outcome)
    assert "NOT COMPARABLE\n  structure different, first in step 359: boundaries" in text
    assert "drops the 2 samples left over at the end of each pass" in text
    assert "torch / numpy" not in text
    result = json.loads(json.dumps(outcome.to_dict()))
    assert (result["comparable"], result["ratios"]) == (False, {})
    assert result["why_not"]
    assert result["samples_per_second"]["torch"]["median"] > 0


def test_one_round_that_departs_is_enough(tmp_path, pretend):
    calls = iter(range(9))
    pretend(departs={"torch": lambda rows: rows[:-1] if next(calls) == 1 else rows})
    outcome = bench_plan(Request(plan=PLAN, adapters=("numpy", "torch"), out=tmp_path / "out"), rounds=3)
    assert [c.structure for c in outcome.comparisons] == ["identical", "different", "identical"]
    assert not outcome.comparable


def test_loops_are_named_and_unlike_ones_pointed_out():
    steps = np.full(4, 0.001)
    one = MeasuredRun(0, "t", 0.5, 0.1, steps, 12, False, None, "eager", 0.61)
    many = MeasuredRun(0, "t", 0.5, 0.1, steps, 12, True, None, "block", 0.99)
    same = SimpleNamespace(structure="identical", numbers="within tolerance")
    settings = {"rounds": 1, "device": "cpu", "workers": 0}
    runs = {"torch": (one,), "tensorflow": (many,)}
    outcome = PlanBench("a plan", "digits", settings, environment(1, {}), runs, (same,), Path("out"))
    text, table = str(outcome), {row[0]: row[1:] for row in outcome.table()}
    assert "samples/s, tensorflow:block / torch:eager: 1.000" in text
    assert "the host hears of tensorflow:block many steps at a time" in text
    assert "of torch:eager after each step: unlike loops, and the ratio is theirs" in text
    assert "torch:eager had a processor for 61% of their time" in text
    assert "tensorflow:block had a processor" not in text
    assert table[""] == ["torch:eager", "tensorflow:block"]
    assert table["step µs, median"] == ["1,000.0", ""]  # not beside times of another kind
    assert table["processor share"] == ["61%", "99%"]
    alike = replace(outcome, runs={"torch": (one,), "tensorflow": (replace(many, by_block=False, loop="function"),)})
    assert "by block" not in str(alike)
    on_a_gpu = replace(outcome, settings={**settings, "device": "cuda"})
    assert "had a processor" not in str(on_a_gpu)


def test_two_devices_are_refused(tmp_path, pretend):
    pretend(devices={"torch": "cuda"})
    with pytest.raises(xframe.UsageError, match=r"got numpy: cpu, torch: cuda, expected one\. Choose with --device"):
        bench_plan(Request(plan=PLAN, adapters=("numpy", "torch"), out=tmp_path / "out"), rounds=3)
