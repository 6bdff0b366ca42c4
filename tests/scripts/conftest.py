"""Commands to record, in a folder with a framework of a few lines."""

import os
import sys
import textwrap

import pytest

from scripts.toys import FRAMEWORK, INSTRUMENT, PYTHON, Done
from xframe.cli.app import execute


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A framework, and the folder that a command runs in."""
    home, work = tmp_path / "home", tmp_path / "work"
    (home / "toy-0.dist-info").mkdir(parents=True)
    (home / "toyframe.py").write_text(FRAMEWORK)
    (home / "toy_instrument.py").write_text(INSTRUMENT)
    (home / "toy-0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 0\n")
    (home / "toy-0.dist-info" / "entry_points.txt").write_text(
        "[xframe.instruments]\ntoyframe = toy_instrument:Instrument\n"
    )
    work.mkdir()
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH")])))
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def record(toy, capfd):
    def run(*command, out="a.trace", flags=()):
        capfd.readouterr()
        code = execute(["record", "--out", str(out), *flags, "--", *map(str, command)])
        return Done(code, capfd.readouterr(), toy)

    return run


@pytest.fixture
def script(toy, record):
    """Runs a script under ``xframe record``."""

    def run(text, *arguments, options=(), **kwargs):
        (toy / "script.py").write_text(textwrap.dedent(text))
        return record(PYTHON, *options, "script.py", *arguments, **kwargs)

    return run


@pytest.fixture
def frame(toy):
    for name in ("toyframe", "toy_instrument"):
        sys.modules.pop(name, None)
    import toyframe

    yield toyframe
    for name in ("toyframe", "toy_instrument"):
        sys.modules.pop(name, None)
