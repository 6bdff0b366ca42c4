"""The folder of a run of replicas where commands take a trace."""

import json
import re
import shutil

import numpy as np
import pytest

import xframe
from xframe import verification
from xframe.cli import app as cli
from xframe.plan.replicas import share
from xframe.report.page.rendering import comparison_page
from xframe.report.view import View
from xframe.trace.trace import Trace

SAMPLES = 40
PLAN = xframe.TrainingPlan(batch_size=8, epochs=2, replicas=2)


def record(path, *, replicas=2, steps=None, rate=0.1):
    for rank in range(replicas):
        with xframe.record(path, plan=PLAN, num_samples=SAMPLES, replica=(rank, replicas)) as rec:
            for step in list(PLAN.each_step(SAMPLES))[:steps]:
                ids = np.array(step.sample_ids)
                own = ids[share(PLAN, len(ids), rank)] if replicas > 1 else ids
                labels = {"epoch": step.epoch, "step_in_epoch": step.step_in_epoch, "padding": 0}
                rec.step(ids=own, updates=step.update, loss=1 / (1 + step.index), lr=rate, **labels)
            rec.weights({"w": np.ones(2, np.float32)})


@pytest.fixture
def xf(capsys, tmp_path, monkeypatch):
    """Runs a command line where a run of two replicas and one of one process lie; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "two.trace")
    record(tmp_path / "one.trace", replicas=1)

    def call(*tokens):
        code = cli.execute([str(token) for token in tokens])
        return code, *capsys.readouterr()

    return call


def test_compare(xf):
    for names in (("one.trace", "two.trace"), ("two.trace", "one.trace"), ("two.trace",)):
        code, out, _ = xf("compare", *names)
        assert code == 0, out
        assert "replicas          PASS" in out
    code, out, _ = xf("compare", "one.trace", "two.trace", "--json")
    (found,) = [one for one in json.loads(out)["checks"] if one["name"] == "replicas"]
    assert (found["result"], found["values"]) == ("pass", {"one": "1", "two": "2"})
    code, out, _ = xf("compare", "one.trace", "two.trace", "--md")
    assert "| replicas | PASS | 1 | 2 |" in out


def test_a_run_beside_others_in_a_folder_of_runs(xf, tmp_path):
    (tmp_path / "runs").mkdir()
    for name in ("one.trace", "two.trace"):
        shutil.move(tmp_path / name, tmp_path / "runs" / name)
    code, out, _ = xf("compare", "runs")
    assert code == 0, out
    assert "one (" in out  # with the versions of what other tests of this process have imported
    assert "vs two (" in out


def test_certificates(xf):
    code, one, _ = xf("certificate", "one.trace")
    assert code == 0
    assert xf("certificate", "two.trace")[:2] == (0, one)
    code, out, _ = xf("certificate", "two.trace", "--replicas")
    lines = [line.split("  ") for line in out.splitlines()]
    assert [name for _, name in lines] == ["two.trace/0.trace", "two.trace/1.trace"]
    assert [line for line, _ in lines] == [xframe.Trace.open(f"two.trace/{rank}.trace").certificate for rank in (0, 1)]
    assert one.strip() not in out
    code, out, _ = xf("certificate", "two.trace", "--replicas", "--json")
    assert [one["num_steps"] for one in json.loads(out)["certificates"]] == [10, 10]
    code, _, err = xf("certificate", "one.trace", "--replicas")
    assert (code, "expected a folder of their traces" in err) == (2, True)


def test_a_missing_replica_is_inconclusive(xf, tmp_path):
    (tmp_path / "two.trace" / "0.trace").unlink()
    for command in (("certificate",), ("compare",), ("explain",), ("compare", "one.trace")):
        code, _, err = xf(*command, "two.trace")
        assert code == 4, command
        assert "1 of 2 replicas are there: got 'two.trace', expected 0.trace too" in " ".join(err.split())


def test_explain(xf):
    code, out, _ = xf("explain", "two.trace")
    assert code == 0
    assert "batch size    8 " in out
    both = [["replicas", "2", "slices"], *[line.split() for line in xf("explain", "one.trace")[1].splitlines()[1:]]]
    assert sorted(line.split() for line in out.splitlines()[1:]) == sorted(both)
    facts = json.loads(xf("explain", "two.trace", "--json")[1])
    assert facts["replicas"] == {"number": 2, "first_fault": None, "faults": []}
    assert facts["plan"]["replicas"] == 2
    assert "replicas" not in json.loads(xf("explain", "one.trace", "--json")[1])
    assert xf("explain", "one.trace", "two.trace")[0] == 0


def scripts(path, change=lambda rank, step: {}, steps=(5, 5)):
    """A run of two replicas of a script, which states no plan."""
    for rank in range(2):
        with xframe.record(path, num_samples=SAMPLES, replica=(rank, 2)) as rec:
            for step in range(steps[rank]):
                row = {"ids": np.arange(8 * step + 4 * rank, 8 * step + 4 * rank + 4), "lr": 0.1, "weights_mark": 0.5}
                rec.step(**{**row, "updates": step + 1, "loss": 1.0, **change(rank, step)})


@pytest.mark.parametrize(
    ("change", "step", "words"),
    [
        (lambda rank, step: {"weights_mark": 0.5 + rank * (step >= 3)}, 3, "had other weights than replica 0"),
        (lambda rank, step: {"lr": 0.1 + rank * (step >= 2)}, 2, "had learning rate 1.1, replica 0 0.1"),
        (lambda rank, step: {"updates": step + 1 - rank * (step >= 4)}, 4, "had applied 4 updates, replica 0 5"),
        (lambda rank, step: {"ids": np.arange(8 * step, 8 * step + 4)}, 0, "share samples: 4 of 4, such as 0"),
    ],
)
def test_one_run_whose_replicas_part_is_explained(xf, tmp_path, change, step, words):
    scripts(tmp_path / "run.trace", change)
    code, out, _ = xf("explain", "run.trace")
    (line,) = [line for line in out.splitlines() if line.startswith("Between the replicas: ")]
    assert (code, line.startswith(f"Between the replicas: step {step}: ")) == (1, True)
    assert words in line
    code, out, _ = xf("explain", "run.trace", "--json")
    facts = json.loads(out)["replicas"]
    assert (code, facts["first_fault"], len(facts["faults"])) == (1, step, 1)
    assert words in facts["faults"][0]


def test_one_run_whose_replicas_end_apart_is_explained(xf, tmp_path):
    scripts(tmp_path / "short.trace", steps=(5, 4))
    code, out, _ = xf("explain", "short.trace")
    assert (code, "Between the replicas: replica 1 of short made 4 steps, replica 0 5." in out) == (1, True)
    scripts(tmp_path / "right.trace")
    code, out, _ = xf("explain", "right.trace")
    assert (code, "Between the replicas" in out) == (0, False)


def test_of_one_run_without_a_plan_the_replicas_are_compared_with_each_other(xf, tmp_path):
    scripts(tmp_path / "run.trace")
    code, out, err = xf("compare", "run.trace")
    assert (code, err) == (0, ""), out
    assert "replicas  PASS" in out
    assert "compared with each other, and with nothing else" in out
    facts = json.loads(xf("compare", "run.trace", "--json")[1])
    assert (facts["verdict"], facts["structure"], facts["numbers"]) == ("passed", "not judged", "not judged")
    assert [one["name"] for one in facts["checks"]] == ["replicas"]
    assert facts["headline"] == "The replicas of run stay one model: the same steps, updates, rates and weights in each"
    scripts(tmp_path / "apart.trace", lambda rank, step: {"weights_mark": 0.5 + rank * (step >= 3)})
    facts = json.loads(xf("compare", "apart.trace", "--json")[1])
    assert facts["headline"] == "The replicas of apart are not one training, as step 3 is the first to show"
    assert xframe.compare(tmp_path / "run.trace")


def test_one_process_without_a_plan_has_nothing_to_be_compared_with(xf, tmp_path):
    with xframe.record(tmp_path / "plain.trace", num_samples=4) as rec:
        rec.step(ids=[0, 1], updates=1)
    assert "xframe compare reference.trace candidate.trace" in " ".join(xf("compare", "plain.trace")[2].split())


def test_a_run_that_differs_is_explained(xf, tmp_path):
    record(tmp_path / "other.trace", rate=0.2)
    code, out, _ = xf("compare", "two.trace", "other.trace")
    assert code == 1
    assert "learning rate     FAIL" in out


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_exports_are_imported_with_the_same_certificate(xf, form):
    assert xf("export", "two.trace", "--to", form, "--out", f"two.{form}")[0] == 0
    assert xf("import", f"two.{form}", "--out", "back.trace")[0] == 0
    assert xf("certificate", "back.trace")[1] == xf("certificate", "one.trace")[1]


def test_goldens_and_pages(xf, tmp_path):
    assert xf("bless", "two.trace", "--why", "first", "--out", "two.golden")[0] == 0
    assert xf("compare", "two.golden", "one.trace")[0] == 0
    (tmp_path / "two.golden").unlink()
    assert xf("bless", "two.trace", "--why", "first")[0] == 0  # beside it, by default
    assert (tmp_path / "two.golden").is_file()
    assert xf("report", "one.trace", "two.trace", "--out", "page.html")[0] == 0
    assert "replicas" in (tmp_path / "page.html").read_text()
    assert xf("report", "one.trace", "two.trace", "two.trace/0.trace", "--out", "three.html")[0] == 0


def test_how_many_replicas_made_each_run(xf, tmp_path):
    runs = json.loads(xf("compare", "one.trace", "two.trace", "--json")[1])["runs"]
    assert {name: run.get("num_replicas") for name, run in runs.items()} == {"one": None, "two": 2}
    comparison = xframe.compare(tmp_path / "one.trace", tmp_path / "two.trace")
    assert [row[:2] for row in View.of(comparison).runs] == [["run", "replicas"], ["one", "1"], ["two", "2"]]
    row = re.compile(r'<th scope="row">replicas</th><td class="n">1</td><td class="n">2</td>')
    assert row.search(comparison_page(comparison))
    alone = xframe.compare(tmp_path / "one.trace", plan=PLAN, num_samples=SAMPLES)
    assert "replicas" not in View.of(alone).runs[0]
    assert xf("bless", "two.trace", "--why", "first", "--out", "two.golden")[0] == 0
    held = json.loads(xf("compare", "two.golden", "two.trace", "--json")[1])["runs"]
    assert [run.get("num_replicas") for run in held.values()] == [None, 2]


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_run_of_replicas_says_so(xf, monkeypatch, tmp_path, name):
    monkeypatch.setattr(verification, "run", lambda request, _: Trace.open(f"{name}.trace"))
    (tmp_path / "plan.toml").write_text("batch_size = 8\nepochs = 2\n")
    words = ("run", "plan.toml", "--adapter", "numpy", "--out", "new.trace")
    code, out, err = xf(*words)
    assert code == 0, err
    assert (", by 2 replicas: a folder with a trace of each" in out) is (name == "two")
    assert json.loads(xf(*words, "--json")[1]).get("num_replicas") == (2 if name == "two" else None)


def test_parts_named_with_a_plus(xf, tmp_path):
    record(tmp_path / "first.trace", steps=4)
    code, _, err = xf("certificate", "first.trace+two.trace")
    assert code == 0, err
    assert "two.trace goes on with first.trace at step 4" in err
