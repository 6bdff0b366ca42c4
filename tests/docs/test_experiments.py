"""The faithful pair under experiments/: it passes, and a single changed option is found at its first step."""

import json
import os
from pathlib import Path

import forks
import pytest

from xframe.cli.app import execute

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    torch_script = (EXPERIMENTS / "torch_digits.py").read_text()
    keras_script = (EXPERIMENTS / "keras_digits.py").read_text()
    scripts = {
        "torch_keep": torch_script,
        "keras_keep": keras_script,
        "torch_drop": torch_script.replace("batch_size=64,", "batch_size=64, drop_last=True,"),
        "keras_drop": keras_script.replace(".batch(64)", ".batch(64, drop_remainder=True)"),
    }
    assert len(set(scripts.values())) == 4
    with forks.running() as run:
        for name, text in scripts.items():
            (folder / f"{name}.py").write_text(text)
            done = run(str(folder / f"{name}.py"), str(folder / f"{name}.trace"), environment=os.environ)
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def compare(traces, capsys):
    """The exit code and the JSON of ``xframe compare``."""

    def execute_it(*names):
        code = execute(["compare", *(str(traces / f"{name}.trace") for name in names), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return execute_it


@pytest.mark.costly
@pytest.mark.parametrize("pair", [("torch_keep", "keras_keep"), ("torch_drop", "keras_drop")])
def test_the_pair_passes(compare, pair):
    code, result = compare(*pair)
    assert code == 0
    assert (result["structure"], result["numbers"]) == ("identical", "within tolerance")
    assert len(set(result["certificates"].values())) == 1


@pytest.mark.costly
@pytest.mark.parametrize(
    "pair", [("torch_keep", "torch_drop"), ("keras_keep", "torch_drop"), ("torch_keep", "keras_drop")]
)
def test_a_dropped_last_batch_is_found_where_it_begins(compare, pair):
    code, result = compare(*pair)
    assert code == 1
    difference = result["first_difference"]
    assert (difference["step"], difference["check"]) == (28, "boundaries")
    assert (difference["reference"]["batch_size"], difference["candidate"]["batch_size"]) == (5, 64)
    assert [run["num_steps"] for run in result["runs"].values()] == [87, 84]
    loss = next(check for check in result["checks"] if check["name"] == "loss")
    assert loss["result"] == "pass"
    assert "before step 28" in loss["detail"]
