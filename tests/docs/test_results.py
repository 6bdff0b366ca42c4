"""The results of the experiments: each has one, says how it was made, and claims no number that its tables lack."""

import csv
import json
import re
from pathlib import Path

import pytest

from experiments.__main__ import every
from experiments.common.lab import Lab
from experiments.common.results import ClaimError, Kind, Result, Table, about, differences, order
from experiments.common.tasks import named
from experiments.common.training import Trial, distance
from xframe.tasks.lookup import find_task

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
DONE = [name for name in every() if (RESULTS / name).is_dir()]
NUMBER = re.compile(r"(?<![\w.-])\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


def parts(name):
    """A page's paragraph, and all the rest of it."""
    page = (RESULTS / name / "README.md").read_text()
    _, said, *rest = re.split(r"\n\n", page)
    return said, "\n".join(rest)


def test_there_are_experiments_with_results():
    assert len(every()) >= 10
    assert len(DONE) >= 5


@pytest.mark.parametrize("name", DONE)
def test_a_result_says_how_it_was_made(name):
    made = json.loads((RESULTS / name / "made.json").read_text())
    assert made["command"] == f"python -m experiments {name[:2]}"
    assert re.fullmatch(r"[0-9a-f]{7,}", made["commit"]), "made by code that is in no commit"
    assert all(f"{package} " in made["versions"] for package in ("Python", "numpy", "torch", "tensorflow"))
    page = (RESULTS / name / "README.md").read_text()
    assert all(made[fact] in page for fact in ("command", "commit", "versions", "question"))


@pytest.mark.parametrize("name", DONE)
def test_each_number_of_a_paragraph_stands_in_its_tables(name):
    said, rest = parts(name)
    numbers = NUMBER.findall(re.sub(r"\]\([^)]*\)", "]", said))
    assert numbers or name.startswith("10"), said
    cells, rows = set(NUMBER.findall(rest)), set()
    for file in (RESULTS / name).glob("*.csv"):
        with file.open(newline="") as opened:
            table = list(csv.DictReader(opened))
        rows.add(str(len(table)))
        for column in table[0] if table else ():  # how many rows say this or that
            values = [row[column] for row in table]
            rows.update(str(values.count(value)) for value in values)
    assert set(numbers) - cells - rows == set()


@pytest.mark.parametrize("name", DONE)
def test_a_result_has_its_tables_and_figures(name):
    folder, page = RESULTS / name, (RESULTS / name / "README.md").read_text()
    made = json.loads((folder / "made.json").read_text())
    assert sorted(made["columns"]) == sorted(file.stem for file in folder.glob("*.csv"))
    assert set(re.findall(r"\((\w+\.svg)\)", page)) == {file.name for file in folder.glob("*.svg")}
    assert list(differences(folder, folder)) == []


def test_the_list_of_results_names_each():
    text = (RESULTS / "README.md").read_text()
    links = re.findall(r"\(([\w./]+)\)", text)
    assert [link for link in links if not (RESULTS / link).exists()] == []
    assert [name for name in DONE if f"{name}/README.md" not in links] == []


def test_a_sentence_fails_with_what_it_claims():
    result = Result("q", "s")
    result.say("It holds.", True)
    with pytest.raises(ClaimError, match="does not"):
        result.say("It does not.", True, False)
    assert result.text() == "It holds."


def test_a_result_run_again_is_compared_to_its_precision(tmp_path):
    kinds = {"steps": Kind(), "loss": about(0.01), "apart": order(), "seconds": Kind(".3g", float("inf"))}
    made = {"command": "c", "commit": "abc", "versions": "v", "seconds": 1}

    def written(where, **changed):
        row = {"steps": 1000, "loss": 0.5, "loss ±": 0.1, "apart": 3e-16, "seconds": 2.0} | changed
        result = Result("q", "s", [Table("t", "title", kinds, [row])])
        with result.figure("f", "a line") as axes:
            axes.plot([1, 2], label="a & b")
            axes.legend()
        result.write(tmp_path / where, made)
        return tmp_path / where

    first = written("first")
    assert "| 1,000 | 0.500 ± 0.100 | 3.0e-16 | 2 |" in (first / "README.md").read_text()
    assert (first / "t.csv").read_text().splitlines()[1] == "1000,0.500,0.100,3.0e-16,2"
    assert (written("again") / "f.svg").read_bytes() == (first / "f.svg").read_bytes()
    assert "a &amp; b" in (first / "f.svg").read_text()
    assert list(differences(first, written("near", loss=0.509, apart=9e-16, seconds=99.0))) == []
    assert len(list(differences(first, written("far", steps=1001, loss=0.52, apart=9e-14)))) == 3


def test_a_trial_is_run_as_its_plan_and_task_say(tmp_path):
    plan = {"batch_size": 64, "epochs": 1, "gradient_accumulation_steps": 4, "validation_every": 1}
    trials = [
        Trial(plan, named("digits", seed=seed, hidden=4, rate=0.2), "numpy", labels={"seed": seed}) for seed in (0, 1)
    ]
    first, second = Lab(tmp_path, lambda text: None).train(trials)
    assert (first["seed"], second["seed"]) == (0, 1)
    assert (first.counts.num_steps, first.counts.num_updates) == (23, 6)
    assert first.trace.certificate == second.trace.certificate
    assert first.last.num_samples == 360
    assert first.last.loss != second.last.loss  # they begin with different weights
    assert distance(first.trace, first.trace) == 0 < distance(first.trace, second.trace)


def test_a_task_is_named_by_what_it_is():
    task = find_task(named("noisy", hidden=8, noise=0.5, n=100, seed=3))
    (images, labels), (_, right) = task.load(), find_task(named("noisy", noise=0.0, n=100)).load()
    assert task.num_samples == len(images) == 100
    assert 30 < (labels != right).sum() <= 50  # some of those drawn at random are right
    assert task.initial_weights()["dense_0/kernel"].shape == (64, 8)


@pytest.mark.parametrize("name", every())
def test_an_experiment_is_read_at_once(name, tmp_path):
    folder = ROOT / "experiments" / name
    assert 10 <= len((folder / "experiment.py").read_text().splitlines()) <= 40
    result = Lab(tmp_path, print, home=folder).result(range(4))
    assert result.question.endswith("?")
    assert "{" not in result.setting
