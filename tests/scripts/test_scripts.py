"""Scripts as tutorials write them, none of which imports xframe, are recorded as they count for themselves.

A recorded run and a bare one end in the same weights, bit by bit.
"""

import subprocess
import sys
from pathlib import Path

import pytest

import xframe

WRITTEN = Path(__file__).parent / "written"


def recorded(tmp_path, *command):
    return subprocess.run(
        [sys.executable, "-m", "xframe", "record", "--out", str(tmp_path / "a.trace"), "--", *command],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_command_is_run_as_it_is(tmp_path):
    (tmp_path / "script.py").write_text(
        f"import runpy, sys\nprint(sys.argv[1:])\nrunpy.run_path({str(WRITTEN / 'torch_loader.py')!r})\nsys.exit(7)"
    )
    done = recorded(tmp_path, sys.executable, str(tmp_path / "script.py"), "--lr", "0.1")
    assert done.returncode == 7
    assert done.stdout.startswith("['--lr', '0.1']\n0 ")
    assert "10 steps recorded in" in done.stderr
    assert xframe.Trace.open(tmp_path / "a.trace").num_rows == 10


def test_a_framework_with_which_nothing_is_trained(tmp_path):
    done = recorded(tmp_path, sys.executable, "-c", "import torch")
    assert done.returncode == 4
    assert "torch was imported, and nothing was trained with it" in " ".join(done.stderr.split())
    assert not (tmp_path / "a.trace").exists()


def test_a_version_that_nobody_tried_is_refused():
    from xframe.recording.attach.instruments import refuse_untested

    refuse_untested("torch", "2.13.1+cpu", ("2.13.",))
    with pytest.raises(xframe.UsageError, match=r"this torch cannot be watched: got '2\.14\.0'"):
        refuse_untested("torch", "2.14.0", ("2.13.",))


def test_a_script_that_applies_its_gradients_itself_is_recorded_without_updates(tmp_path):
    (tmp_path / "script.py").write_text(
        "import torch\n"
        "weight = torch.zeros(3, requires_grad=True)\n"
        "for row in torch.rand(4, 3):\n"
        "    (weight * row).sum().backward()\n"
        "    weight.data -= weight.grad\n"
    )
    done = recorded(tmp_path, sys.executable, str(tmp_path / "script.py"))
    assert "4 steps recorded" in done.stderr
    assert xframe.Trace.open(tmp_path / "a.trace").frame().updates.isna().all()
