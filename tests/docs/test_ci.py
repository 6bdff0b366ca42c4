"""The recipe for GitHub Actions does what it says; its lines are run here as a runner runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import xframe

RECIPE = Path(__file__).parents[2] / "docs" / "ci" / "xframe-golden.yml"
RECORD, COMPARE = "Record the training", "Compare it with the golden"
RENEW = "Show what a renewed golden would change"


def steps():
    """The recipe's lines to run, by the step's name, and whether they are for failures alone."""
    found = {}
    for step in re.split(r"^      - ", RECIPE.read_text(), flags=re.MULTILINE)[1:]:
        name, run = re.search(r"name: (.*)", step), re.search(r"run: (?:\|\n((?: {10}.*\n)+)|(.*)\n)", step)
        if name and run:
            found[name[1]] = re.sub(r"^ {10}", "", run[1] or run[2], flags=re.MULTILINE), "if: failure()" in step
    return found


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Runs the recipe's steps behind the installation, on a run that is there; how each ended, and what was printed."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "xframe"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m xframe "$@"\n')
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    environment = dict(re.findall(r"^  ([A-Z]+): (.*)$", RECIPE.read_text(), flags=re.MULTILINE))
    assert environment["RECORD"].startswith("xframe record --out new.trace -- python ")
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary.md")
    environment["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"

    def run(trace):
        ended, printed, failed = {}, "", False
        for name, (lines, on_failure) in steps().items():
            if name == "Install" or on_failure != failed:
                continue
            done = subprocess.run(
                ["bash", "-e", "-c", lines],
                env={**os.environ, **environment, "RECORD": f"cp {trace} new.trace"},
                capture_output=True,
                text=True,
                check=False,
            )
            ended[name], printed, failed = done.returncode, done.stdout + done.stderr, failed or done.returncode != 0
        return ended, printed

    return run, tmp_path / environment["GOLDEN"]


def test_the_recipe_is_a_workflow():
    job = yaml.safe_load(RECIPE.read_text())["jobs"]["golden"]
    lines = [step["run"].strip() for step in job["steps"] if "run" in step]
    assert lines == [run.strip() for run, _ in steps().values()]


@pytest.mark.costly
def test_the_recipe_passes_the_same_training_and_shows_what_changed(job, tmp_path):
    run, golden = job
    for name, last in (("old", 5), ("same", 5), ("other", 4)):
        with xframe.record(tmp_path / f"{name}.trace", num_samples=6) as rec:
            rec.step(ids=[0, 1, 2], updates=1, loss=1.5)
            rec.step(ids=[3, 4, last], updates=2, loss=1.25)
    xframe.bless("old.trace", golden, why="as reviewed")
    assert run("same.trace")[0] == {RECORD: 0, COMPARE: 0}
    assert (tmp_path / "summary.md").read_text().startswith("# PASSED")
    for made in ("summary.md", "report.html"):  # a runner has a folder of its own
        (tmp_path / made).unlink()
    ended, printed = run("other.trace")
    assert ended == {RECORD: 0, COMPARE: 1, RENEW: 0}
    assert (tmp_path / "summary.md").read_text().startswith("# FAILED")
    assert (tmp_path / "report.html").exists()
    assert "-certificate = " in printed
    assert "+certificate = " in printed
