"""All sweeps have the one protocol, and a sweep that is wrong or empty does not exit as good."""

import inspect

import pytest

import sweeps
from sweeps import Result, __main__, load, names


def test_names():
    of_runs = {"causes", "contract", "counting", "doubles", "features", "inference", "order", "pairs", "replicas"}
    of_runs |= {"replicated"}
    of_files = {"damage", "disks", "forged", "handed", "resumed", "spoiled", "states"}
    of_processes = {"endings", "grids", "killed", "kills", "orphans"}
    of_formulas = {"losses", "numeric", "rules"}
    of_signals = {"instructions", "interrupts", "signals"}
    assert names() == sorted(of_formulas | of_runs | of_files | of_processes | of_signals)


@pytest.mark.parametrize("name", names())
def test_protocol(name):
    run = load(name).run
    assert list(inspect.signature(run).parameters)[:2] == ["size", "seed"]


@pytest.mark.parametrize(
    ("result", "code"), [(Result(3), 0), (Result(0), 1), (Result(3, ["one"]), 1)], ids=["good", "empty", "wrong"]
)
def test_command_line(result, code, monkeypatch, capsys):
    class Sweep:
        def run(self, size, seed):
            assert (size, seed) == (30, 5)
            return result

    monkeypatch.setattr(sweeps.__main__, "load", lambda _: Sweep())
    monkeypatch.setattr("sys.argv", ["sweeps", "counting", "30", "--seed", "5"])
    assert __main__.main() == code
    assert f"{result.cases} cases\n{len(result.mismatches)} mismatches" in capsys.readouterr().out
