"""What commands print fits the screen, at 80 columns and at 120, and ``--json`` has all of it."""

import json
import re

import numpy as np
import pytest

import xframe
from xframe.cli import app as cli
from xframe.cli.printing import answer
from xframe.report.bench import LoopBench, MeasuredLoop, Segment
from xframe.report.machine import environment
from xframe.testing.baselines import BASELINES
from xframe.testing.selftest import results
from xframe.testing.selftest.results import Clean, Finding, Reported, SelfTest

LONG = "an-experiment-with-a-very-long-name-of-its-own"


@pytest.fixture
def xf(capsys, tmp_path, monkeypatch):
    """Runs a command line in an empty folder, on a screen of ``columns``; returns exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*tokens, columns=None):
        if columns:
            monkeypatch.setenv("COLUMNS", str(columns))
        code = cli.execute([str(token) for token in tokens])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def write(path, *, drop=False, loss=1.0, label=None):
    with xframe.record(path, num_samples=10, metadata={"label": label} if label else None) as rec:
        updates = 0
        for epoch in range(3):
            for first in (0, 4, 8):
                ids = np.arange(first, min(first + 4, 10))
                if len(ids) == 4 or not drop:
                    updates += 1
                    rec.step(ids=ids, updates=updates, loss=loss, lr=0.1, epoch=epoch)
        rec.weights({"a_dense_layer_with_a_long_name/kernel": np.full((2, 2), loss)})


def words(text):
    return set(re.findall(r"\S+", text))


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("names", [("a", "b"), (f"torch_{LONG}", f"keras_{LONG}")], ids=["short", "long"])
@pytest.mark.parametrize("wrong", [{"drop": True}, {"loss": 1.5}, {}], ids=["structure", "numbers", "passes"])
def test_a_comparison_fits_and_cuts_no_word(xf, columns, names, wrong):
    for name, how in zip(names, ({}, wrong), strict=True):
        write(f"{name}.trace", **how)
    for command in ("compare", "explain"):
        code, out, _ = xf(command, *(f"{name}.trace" for name in names), columns=columns)
        assert code == bool(wrong)
        assert max(map(len, out.splitlines())) <= columns
        assert words(out) <= words(xf(command, *(f"{name}.trace" for name in names), columns=100_000)[1])
    code, out, _ = xf("compare", *(f"{name}.trace" for name in names), columns=columns)
    results = re.findall(r"^  (?:steps|final(?: weights)?) +(PASS|FAIL|not)", out, flags=re.MULTILINE)
    final = "not" if wrong.get("drop") else "FAIL" if wrong else "PASS"
    assert results == ["FAIL" if wrong.get("drop") else "PASS", final]


TRAINERS = ("keras", "lightning", "transformers", "accelerate", "ignite", "optax", "pytorch")


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "tokens",
    [
        ("plan", "--gradient-accumulation-steps", 4, "--steps-per-epoch", 10, "--updates", 7, "--step", 3),
        ("plan", *(f"--like={name}" for name in TRAINERS), "--gradient-accumulation-steps", 4),
        ("adapters",),
        ("tasks",),
        ("plan", "--on-exhaustion", "stop"),
    ],
    ids=lambda tokens: " ".join(map(str, tokens))[:30],
)
def test_what_is_printed_fits_and_cuts_no_word(xf, columns, tokens):
    code, out, err = xf(*tokens, columns=columns)
    wide = xf(*tokens, columns=100_000)
    assert max(map(len, (out + err).splitlines())) <= columns
    assert (code, words(out + err)) == (wide[0], words(wide[1] + wide[2]))


def test_a_comparison_shows_its_table_as_text(xf, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("a", "b"):
        write(f"{name}.trace")
    lines = str(xframe.compare("a.trace", "b.trace")).splitlines()
    assert lines[0] == "passed: a vs b, 7 of 7 checks judged"
    assert [line.split()[:2] for line in lines[1:3]] == [["check", "result"], ["steps", "PASS"]]
    assert max(map(len, lines)) <= 80


def test_certificate_as_json(xf):
    write("a.trace")
    code, out, _ = xf("certificate", "a.trace", "--json")
    line = xf("certificate", "a.trace")[1].strip()
    assert code == 0
    stated = {"num_steps": 9, "joined": [], "unstated": []}
    assert json.loads(out) == {"certificate": line, "trace": "a.trace", **stated}
    with xframe.record("bare.trace") as rec:
        rec.step(ids=[1, 2])
    _, out, err = xf("certificate", "bare.trace", "--json")
    assert json.loads(out)["unstated"] == ["how many updates were applied"]
    assert "does not state how many updates were applied" in err


def test_import_as_json(xf, tmp_path):
    (tmp_path / "log.csv").write_text("step,batch_size,train_loss\n0,64,2.31\n1,64,2.28\n")
    code, out, _ = xf("import", "log.csv", "--out", "log.trace", "--column", "loss=train_loss", "--json")
    facts = json.loads(out)
    assert (code, facts["trace"], facts["num_steps"]) == (0, "log.trace", 2)
    assert facts["columns"]["loss"] == "train_loss"
    assert {"updates", "lr"} <= set(facts["not_judged"])


def test_trainers_side_by_side_as_json(xf):
    tokens = ("plan", "--samples", 103, "--batch-size", 10, "--epochs", 3, "--gradient-accumulation-steps", 4)
    likes = ("--like", "keras", "--like", "lightning", "--like", "accelerate")
    text, facts = xf(*tokens, *likes)[1], json.loads(xf(*tokens, *likes, "--json")[1])
    assert {name: counts["num_updates"] for name, counts in facts["plans"].items()} == {
        "keras": 8,
        "lightning": 9,
        "accelerate": 9,
    }
    assert facts["agree"] is False
    for line in (*facts["why"], *facts["would_agree"]):
        assert f"  {line}\n" in text
    assert len(facts["why"]) == 3
    assert len(facts["would_agree"]) == 4
    one = json.loads(xf(*tokens, "--like", "keras", "--json")[1])
    assert (one["num_updates"], one["trainer"], one["plan"]["accumulation_remainder"]) == (8, "keras", "carry")
    assert set(one["arithmetic"]) <= set(xf(*tokens, "--like", "keras")[1].splitlines())


def test_a_trainers_own_arguments_as_they_stand(xf):
    own = ("--argument", "batch_size=10", "--argument", "max_epochs=2", "--argument", "precision=bf16-mixed")
    one = json.loads(xf("plan", "--like", "lightning", *own, "--json")[1])
    assert (one["num_samples"], one["num_steps"], one["plan"]["epochs"]) == (1797, 360, 2)
    split = ("plan", "--samples", "1000", "--like", "keras", "--argument", "validation_split=0.2")
    one = json.loads(xf(*split, "--json")[1])
    assert (one["num_samples"], one["num_steps"]) == (800, 25)
    both = ("--like", "keras", "--like", "lightning", "--batch-size", "10", "--epochs", "3")
    several = json.loads(xf("plan", *both, "--argument", "keras.initial_epoch=1", "--json")[1])
    assert [counts["num_epochs"] for counts in several["plans"].values()] == [2, 3]
    assert several["arguments"] == {"keras": {"initial_epoch": 1}}
    for wrong, part in (
        ((*both, "--argument", "epochs=1"), "--argument keras.epochs=1 or --argument lightning.epochs=1"),
        (("--argument", "epochs=1"), "expected --like TRAINER beside epochs"),
        (("--like", "keras", "--argument", "epochs"), "expected NAME=VALUE"),
        (("--like", "keras", "--argument", "epoks=1"), "Did you mean 'epochs'?"),
        (("--like", "lightning", "--batch-size", "8", "--argument", "devices=-1"), "devices that it stands for"),
    ):
        code, _, error = xf("plan", *wrong)
        assert code == 2
        assert part in error


def test_what_each_replica_gets_in_json(xf):
    tokens = ("plan", "--samples", 103, "--batch-size", 20, "--epochs", 1, "--order", "sequential", "--json")
    one = json.loads(xf(*tokens, "--step", 5)[1])
    several = json.loads(xf(*tokens, "--step", 5, "--replicas", 2, "--replica-remainder", "pad")[1])
    assert set(several) - set(one) == {"replicas", "step_of_replicas"}
    assert [replica["samples_seen"] for replica in several["replicas"]] == [52, 51]
    assert several["replicas"][1] == {
        "replica": 1,
        "samples_seen": 51,
        "samples_padded": 1,
        "steps_without_rows": 0,
        "last_batch_size": 2,
    }
    assert several["step_of_replicas"] == [
        {"replica": 0, "sample_ids": [100, 101], "padding": 0},
        {"replica": 1, "sample_ids": [102, 0], "padding": 1},
    ]


@pytest.mark.parametrize(
    ("tokens", "code", "facts"),
    [
        (("plan", "--batch-size", 0), 2, {"got": 0, "expected": "an integer from 1 to 9223372036854775807"}),
        (("plan", "--sampels", 4), 2, {"what": "unknown option", "got": "--sampels"}),
        (("compare", "no.trace", "more.trace"), 2, {"got": "no.trace"}),
        (("certificate", "open.trace"), 4, {"what": "open.trace is truncated after 1 step"}),
        (("verify", "--device", "gpu"), 2, {"what": "unknown device", "got": "gpu"}),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_an_error_is_json_too(xf, tokens, code, facts):
    with xframe.record("open.trace") as rec:
        rec.step(ids=[0])
        rec.flush()
        result, out, err = xf(*tokens, "--json")
        assert (result, err) == xf(*tokens)[::2]
    assert err.startswith("xframe: ")
    error = json.loads(out)["error"]
    assert result == code
    assert set(error) == {"what", "got", "expected", "remedy"}
    assert facts.items() <= error.items(), error
    assert all(str(value) in err for name, value in error.items() if value and name in ("what", "expected", "remedy"))


def test_an_uncaught_exception_is_json_too(xf, monkeypatch):
    monkeypatch.setattr("xframe.plan.training_plan.TrainingPlan.counts", lambda *_: 1 / 0)
    code, out, _ = xf("plan", "--json")
    assert (code, json.loads(out)["error"]["what"]) == (3, "ZeroDivisionError: division by zero")


@pytest.mark.thorough
def test_a_run_folder_stands_for_its_traces(xf, tmp_path):
    for number in (1, 2):
        done = xf("verify", "--adapters", "numpy:eager,numpy", "--epochs", 1, "--out", f"run-{number}", "--json")
        assert done[0] == 0, done[2]
    kept = json.loads((tmp_path / "run-1" / "report.json").read_text())
    code, out, _ = xf("compare", "run-1", "--json")
    result = json.loads(out)
    assert (code, list(result["runs"])) == (0, ["numpy:eager", "numpy"])
    assert (result["certificates"], result["plan"]) == (kept["certificates"], kept["plan"])
    names = list(json.loads(xf("compare", "run-1/numpy.trace", "run-2", "--json")[1])["runs"])
    assert names == ["run-1/numpy", "run-2/numpy-eager", "run-2/numpy"]
    assert xframe.compare("run-1", "run-2")
    (tmp_path / "run-1" / "report.json").unlink()  # as of a run that was interrupted
    assert list(json.loads(xf("compare", "run-1", "--json")[1])["runs"]) == ["numpy:eager", "numpy"]
    assert xf("explain", "run-1")[0] == 0
    assert xf("compare", "run-1/numpy.trace")[0] == 0  # it has a plan
    write("bare.trace")
    assert "two traces, or one with its plan" in xf("compare", "bare.trace")[2]
    assert "compared with itself" in xf("compare", "run-1", "run-1/numpy.trace")[2]


def finding(adapter):
    reported = Reported("plan", True, False, "boundaries", 27, "short-batch-dropped", False, True)
    right = ("epochs-too-short-by-one", "boundaries", 28, ("steps-per-epoch", "epoch-iterator"))
    return Finding(adapter, "fault", *right, (reported, reported), dict.fromkeys(BASELINES, True))


def loops(name):
    segments = [Segment(i, 100, 0.01 + 0.02 * i, 0.01) for i in range(3)]
    about = "what it does, in more words than a table at eighty columns has room for"
    return tuple(
        MeasuredLoop(f"{name}-{i}", name, about, i > 0, i == 0, f"{name}-0" if i else None, 1.0, segments, failed)
        for i, failed in enumerate([None, None, "the process was killed, " * 9])
    )


SETTINGS = {"rounds": 3, "seconds": 0.5, "seed": 0}
WORKLOAD = {"task": "bench-mlp", "description": "a perceptron on generated samples " * 3, "batch_size": 32}
MACHINE = environment(1, dict.fromkeys(("numpy", "torch", "tensorflow", "keras", "lightning", "accelerate"), "2.13.0"))


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "result",
    [
        lambda: results.text(
            SelfTest(
                ("numpy", "torch", "tensorflow", "an-adapter-of-someone-else"),
                tuple(map(finding, ("numpy", "torch", "tensorflow", "an-adapter-of-someone-else"))),
                Clean(alarms=("a plan with many fields, " * 9,), pairs=78, baseline_alarms=dict.fromkeys(BASELINES, 1)),
                0,
                1.0,
            )
        ),
        lambda: str(
            LoopBench(WORKLOAD, SETTINGS, MACHINE, (*loops("torch"), *loops("tensorflow")), {"ignite": "gone"})
        ),
    ],
    ids=["selftest", "bench"],
)
def test_tables_of_proof_and_speed_fit(capsys, monkeypatch, columns, result):
    shown = []
    for width in (columns, 100_000):
        monkeypatch.setenv("COLUMNS", str(width))
        answer({}, result(), json=False)
        shown.append(capsys.readouterr().out)
    assert max(map(len, shown[0].splitlines())) <= columns
    assert words(shown[0]) == words(shown[1])


@pytest.mark.parametrize(("wanted", "refused", "coloured"), [("1", "", True), ("1", "1", False), ("", "", False)])
def test_colours_as_the_environment_asks(xf, monkeypatch, wanted, refused, coloured):
    monkeypatch.setenv("FORCE_COLOR", wanted)
    monkeypatch.setenv("NO_COLOR", refused)
    monkeypatch.setenv("TERM", "xterm")
    for name in ("a", "b"):
        write(f"{name}.trace")
    assert ("\x1b[" in xf("compare", "a.trace", "b.trace")[1]) == coloured


def test_of_many_runs_a_line_each(xf):
    for name in ("a", "b", "c"):
        write(f"{name}.trace")
    assert "the others are compared with it" not in xf("compare", "a.trace", "b.trace", "c.trace")[1]
    with xframe.record("d.trace", num_samples=8) as rec:
        rec.step(ids=[0, 1, 2], updates=1, loss=1.0)
    text = xf("compare", "a.trace", "b.trace", "c.trace", "d.trace")[1]
    table = [line.split() for line in text[text.index("run  verdict") :].splitlines()]
    assert table[1][:2] == ["a", "the"]
    assert [row[:2] for row in table[2:5]] == [["b", "passed"], ["c", "passed"], ["d", "failed"]]
    assert table[4][2] == "step"


def test_an_inconclusive_verdict_says_what_it_lacks(xf):
    for name in ("a.trace", "b.trace"):
        with xframe.record(name) as rec:
            rec.step(ids=[0, 1], loss=1.0)
    code, out, _ = xf("compare", "a.trace", "b.trace")
    assert code == 4
    assert "updates could not be judged: nothing passes without" in out
