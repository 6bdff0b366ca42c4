"""The README's commands, run as written, in order, in one folder; its Python and its tables checked.

Each is run once, and what it printed and left in the folder is looked at by several tests.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xframe
from xframe.plan.fields import FIELDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
# These change or make environments: the fresh environment that runs this test came from the same lines.
ENVIRONMENT = ("make ", "pip install ", "python3 -m venv ", "torch-env/bin/", "tf-env/bin/")

DEFAULTS = {  # of fields whose default depends on others
    "epoch_iterator": "restart",
    "on_exhaustion": "repeat",
    "schedule_clock": "updates",
    "early_stopping_mode": "min",
}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def in_words(line):
    """A line without its fractions, which may end in another digit on another machine, and its columns' widths."""
    return " ".join(re.sub(r"\d\.\d+", "#", line).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "experiments", folder / "experiments")
    (plan,) = blocks("toml")
    (folder / "plan.toml").write_text(plan)
    (task,) = (block for block in blocks("python") if block.startswith("# mytask.py"))
    (folder / "mytask.py").write_text(task)
    return folder


def run(command, folder):
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )


@pytest.fixture(scope="module")
def ran(folder):
    """The commands, and what each did."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return {command: run(command, folder) for command in lines if not command.startswith(ENVIRONMENT)}


def test_every_command_works_as_written(ran):
    assert len(ran) >= 12
    for command, done in ran.items():
        expected = int(match[1]) if (match := re.search(r"# exit (\d+)$", command)) else 0
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
        if "--remainder drop --json" in command:
            counts = json.loads(done.stdout)["runs"]
            assert {name: run["num_steps"] for name, run in counts.items()} == {"torch": 84, "tensorflow": 84}
        if command.startswith("xframe compare"):
            assert ("PASSED" if expected == 0 else "step 28") in done.stdout
        if command.startswith("xframe compare") and "before.trace" in command:
            (pasted,) = (block for block in blocks("text") if "loader.drop_last" in block)
            printed = {in_words(line) for line in done.stdout.splitlines()}
            assert {in_words(line) for line in pasted.splitlines()} - {"…", ""} <= printed
        if command.startswith("xframe explain") and expected == 0:
            (pasted,) = (block for block in blocks("text") if block.startswith("drop_last: "))
            assert done.stdout.startswith(pasted)
        if command.startswith("xframe explain") and expected == 1:
            (pasted,) = (block for block in blocks("text") if block.startswith("Why: "))
            assert pasted.strip() in done.stdout


def test_the_writer_for_old_scripts(folder):
    (example,) = (block for block in blocks("python") if "plainwriter" in block)
    shutil.copy(ROOT / "xframe" / "trace" / "plainwriter.py", folder)
    (folder / "old.py").write_text(example)
    assert run("python -I -c \"import sys; sys.path.insert(0, '.'); import old\"", folder).returncode == 0
    assert xframe.Trace.open(folder / "old.trace").ids(0).tolist() == [3, 1, 2]


@pytest.mark.usefixtures("ran")
def test_the_tests_of_a_user(folder):
    (example,) = (block for block in blocks("python") if "assert_same_training" in block)
    (folder / "test_port.py").write_text(example)
    done = run("python -m pytest -q -p no:cacheprovider test_port.py", folder)
    assert (done.returncode, done.stdout.splitlines()[-1][:8]) == (0, "2 passed"), done.stdout


def test_the_self_proof_is_the_one_in_the_results():
    """The table is the command's output at full size, as make proof keeps it."""
    (pasted,) = (block for block in blocks("text") if "wrong but certain" in block)
    text = json.loads((ROOT / "results" / "proof.json").read_text())["self-proof"]["text"]
    assert text.startswith(pasted.rstrip())


def test_the_make_targets_exist():
    targets = [
        line.removeprefix("make ") for block in blocks("console") for line in block.splitlines() if "make " in line
    ]
    assert targets == ["verify", "test"]
    for target in [*targets, "check", "trainers", "proof"]:
        done = run(f"make --dry-run {target}", ROOT)
        assert done.returncode == 0, done.stderr


def test_the_python_example(folder):
    (example,) = (block for block in blocks("python") if "xframe.verify" in block)
    (folder / "example.py").write_text(example)
    done = run("python example.py", folder)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "87"), done.stderr
    ids = xframe.TrainingPlan(batch_size=64, epochs=3).step(28, 1797).sample_ids
    assert done.stdout.splitlines()[1:] == [str(ids)]
    assert len(ids) == 5


def test_the_other_python_examples(folder):
    (plan,) = (block for block in blocks("python") if "TrainingPlan.like" in block)
    shared = [block for block in blocks("python") if "(plan, 1797)\n" in block]
    (own,) = (
        block for block in blocks("python") if block.startswith("plan = xframe.TrainingPlan(batch_size=64, epochs=3)")
    )
    (fed,) = (block for block in blocks("python") if block.startswith("for_fit"))
    assert len(shared) == 2
    (folder / "shared.py").write_text(
        "import numpy as np\nimport tensorflow as tf\nimport xframe\nx, y = np.zeros((1797, 8)), np.zeros(1797)\n"
        + plan
        + own
        + "".join(shared)
        + fed
        + "print(len(sampler), len(indices), len(for_fit.element_spec), len(for_a_loop.element_spec))\n"
    )
    done = run("python shared.py", folder)
    printed = "Limits(epochs=3, steps=None, updates=8)\n1797 1797 2 3\n"
    assert (done.returncode, done.stdout) == (0, printed), done.stderr


def test_the_pasted_trainers_are_what_the_command_prints(ran):
    (done,) = (done for command, done in ran.items() if "--like" in command)
    (pasted,) = (block for block in blocks("text") if "would make them agree" in block)
    assert done.stdout == pasted


def test_the_vocabulary_is_the_plans():
    table = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", README, flags=re.MULTILINE))
    kinds = ("accum", "grad", "loss", "on_", "epoch_", "steps_", "schedule", "validation", "early", "restore")
    fields = [name for name in FIELDS if name.startswith(kinds)]
    assert set(fields) == set(table)
    for name, values in table.items():
        choices = re.findall(r"`(\w+)`", values)
        if choices:
            assert set(choices) == set(FIELDS[name].words)
            assert choices[0] == DEFAULTS.get(name, FIELDS[name].default)


def test_the_builders(folder, ran):
    (builders,) = (block for block in blocks("python") if "def build_torch" in block)
    (task,) = (block for block in blocks("python") if block.startswith("# mytask.py"))
    built = task.replace("layers=(xframe.Dense(1),)", 'builders={"torch": build_torch, "tensorflow": build_tensorflow}')
    assert built != task
    (folder / "built.py").write_text(builders + built)
    command = "xframe verify --task mytask:task --batch-size 32"
    results = [ran[command], run(command.replace("mytask", "built"), folder)]
    assert [done.returncode for done in results] == [0, 0], results[1].stderr
    certificates = [re.findall(r"\bxf1-\w+", done.stdout) for done in results]
    assert certificates[0] == certificates[1] != []


def test_the_pasted_report_is_what_the_command_prints(ran):
    (pasted,) = (block for block in blocks("text") if "PASSED" in block)
    printed = ran["xframe verify"].stdout
    rows = [line.split()[:4] for line in pasted.splitlines() if " PASS" in line]
    assert len(rows) == 7
    # The counts, checks and certificate stand as printed; the measured differences vary with the machine.
    for line in pasted.splitlines():
        if "== plan" in line or line.startswith("certificate"):
            assert line in printed.splitlines()


def test_the_pasted_difference_is_what_the_command_prints(ran):
    (pasted,) = (block for block in blocks("text") if "First difference" in block and "drop_last  1" in block)
    printed = ran["xframe compare torch.trace drop_last.trace  # exit 1"].stdout
    # The digests stand as printed; a loss may end in another digit on another machine.
    digests = re.findall(r"\b[0-9a-f]{8}…", pasted)
    assert len(digests) == 2
    assert re.findall(r"\b[0-9a-f]{8}…", printed) == digests
    assert pasted.splitlines()[0] in printed


def test_exit_codes_are_those_of_the_command():
    table = dict(re.findall(r"^\| (\d+) \| (.*) \|$", README, flags=re.MULTILINE))
    assert set(table) == {"0", "1", "2", "3", "4", "130"}


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for name in re.findall(r"`((?:experiments|tests)/[\w/.]*)`", README):
        assert (ROOT / name).exists(), name
