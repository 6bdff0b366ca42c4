"""``--help`` groups the options and cuts no word, and the shell completes the names that options take."""

import os
import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from xframe.cli import app as cli
from xframe.cli import grouping, options, traces
from xframe.comparison.check import ORDERS
from xframe.comparison.identity import IDENTITIES
from xframe.plan.fields import FIELDS
from xframe.precision import PRECISIONS
from xframe.running import registry
from xframe.running.runtime import DEVICES
from xframe.tasks.lookup import BUILT_IN
from xframe.testing.faults import BY_NAME

COMMANDS = sorted(grouping.COMMANDS)
SHELLS = ("bash", "zsh", "fish")


def shown(capsys, *tokens):
    assert cli.execute([*tokens]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_is_cut_at_80_columns(capsys, monkeypatch, command):
    pages = []
    for columns in ("80", "500"):
        monkeypatch.setenv("COLUMNS", columns)
        pages.append(shown(capsys, command, "--help"))
    narrow, wide = ({*re.findall(r"[\w/.=-]+", page)} for page in pages)
    assert narrow == wide
    assert max(map(len, pages[0].splitlines())) <= 80


def test_options_stand_in_groups_and_every_field_in_one_of_the_plan(capsys):
    page = shown(capsys, "verify", "--help")
    groups = re.findall(r"╭─ (.*?) ─+╮(.*?)╰", page, flags=re.DOTALL)
    titles = [title for title, _ in groups]
    assert titles[:4] == ["Files", "Main options", "Where and how", "What passes"]
    plan = "".join(body for title, body in groups if title.startswith("Plan: "))
    assert all(f"--{name.replace('_', '-')}" in plan for name in FIELDS)
    assert "Parameters" not in titles
    for command in COMMANDS:
        assert "─ Parameters ─" not in shown(capsys, command, "--help")
        assert "─ Arguments ─" not in shown(capsys, command, "--help")
    assert "─ Commands ─" not in shown(capsys, "--help")


def test_words_of_options_are_those_of_the_library():
    assert typing.get_args(options.Device) == DEVICES
    assert typing.get_args(options.Precision) == PRECISIONS
    hints = typing.get_type_hints(traces.compare)
    for name, words in (("order", ORDERS), ("identity", IDENTITIES)):
        (literal, none) = typing.get_args(hints[name])
        assert (typing.get_args(literal), none) == (tuple(words), type(None))


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_knows_the_words(shell):
    script = cli.app.generate_completion(shell=shell, prog_name="xframe")
    for words in (DEVICES, PRECISIONS, ORDERS, ("keras", "lightning"), ("csv", "jsonl")):
        assert all(word in script for word in words)
    assert "__complete" in script


def completed(capsys, *words):
    out = shown(capsys, "__complete", *words)
    return [line.split("\t")[0] for line in out.splitlines() if line and not line.startswith("\x1f")]


def test_names_are_completed(capsys):
    assert completed(capsys, "verify", "--task", "") == list(BUILT_IN)
    assert completed(capsys, "bench", "plan.toml", "--task", "") == list(BUILT_IN)
    adapters = completed(capsys, "run", "plan.toml", "--adapter", "")
    assert set(registry.available()) < set(adapters)
    assert "tensorflow:fit" in adapters
    assert {"numpy", "numpy:eager", "numpy-indexed"} <= set(completed(capsys, "bench", "--loops", ""))
    lists = completed(capsys, "verify", "--adapters", "torch,tens")
    assert "torch,tensorflow" in lists
    assert "torch,torch" not in lists
    assert completed(capsys, "selftest", "--fault", "") == list(BY_NAME)
    assert "numpy=" in completed(capsys, "verify", "--python", "")
    assert "loss=" in completed(capsys, "import", "log.csv", "--column", "")


BASH = """
source "$1"
shift
COMP_WORDS=(xframe "$@")
COMP_CWORD=$#
_xframe
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.thorough
@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_in_bash(tmp_path):
    script = tmp_path / "completion.bash"
    script.write_text(cli.app.generate_completion(shell="bash", prog_name="xframe"))
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

    def reply(*words):
        command = ["bash", "-c", BASH, "bash", str(script), *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PATH": path}
        )
        return done.stdout.split()

    assert reply("verify", "--device", "c") == ["cpu", "cuda"]
    assert reply("compare", "a", "b", "--order", "") == ["exact", "coverage"]
    assert reply("verify", "--precision", "f") == ["float32", "float64"]
    assert reply("verify", "--task", "digits") == ["digits-mlp", "digits-cnn"]
    assert reply("verify", "--adapters", "num") == ["numpy", "numpy:eager"]
