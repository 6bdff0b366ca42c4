"""Scripts as tutorials write them, none of which imports xframe, are recorded as they count for themselves.

A recorded run and a bare one end in the same weights, bit by bit.
"""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xframe

WRITTEN = Path(__file__).parent / "written"
TORCH = sorted(path.stem for path in WRITTEN.glob("torch_*.py"))


def run(name):
    return runpy.run_path(str(WRITTEN / f"{name}.py"), run_name="__main__")


@pytest.mark.xdist_group("torch")
@pytest.mark.parametrize("name", TORCH)
def test_a_torch_script_is_recorded_as_it_counts(tmp_path, name):
    bare = run(name)
    with xframe.watch(tmp_path / "a.trace"):
        left = run(name)
    assert all(map(np.array_equal, *([p.detach() for p in one["model"].parameters()] for one in (left, bare))))
    rows = xframe.Trace.open(tmp_path / "a.trace").frame()
    ids, updates, epochs, losses, rates = zip(*left["steps"], strict=True)
    assert [row.tolist() for row in rows.ids] == [[round(150 * value) for value in batch] for batch in ids]
    assert rows.updates.tolist() == list(updates)
    assert rows.epoch.fillna(-1).tolist() == [-1 if epoch is None else epoch for epoch in epochs]
    assert rows.lr.tolist() == list(rates)
    if losses[0] is not None:
        np.testing.assert_allclose(rows.loss, losses, rtol=1e-6)
    assert (WRITTEN / f"{name}.py").read_text().count("xframe") == 0


@pytest.mark.xdist_group("torch")
def test_nothing_is_left_behind(tmp_path):
    import torch

    places = [(torch.Tensor, "__getitem__"), (torch.nn.Module, "__call__"), (torch.autograd, "backward")]
    before = [getattr(owner, name) for owner, name in places]
    with pytest.raises(RuntimeError, match="of the script"), xframe.watch(tmp_path / "a.trace"):
        raise RuntimeError("of the script")
    assert [getattr(owner, name) for owner, name in places] == before
    assert "interrupted by RuntimeError" in xframe.Trace.open(tmp_path / "a.trace").ending


@pytest.fixture(scope="module")
def in_keras(tmp_path_factory):
    """Both scripts in Keras, bare and watched, in a process of its own: what they left, and the rows."""
    folder = tmp_path_factory.mktemp("keras")
    command = [sys.executable, str(WRITTEN.with_name("in_keras.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = json.loads((folder / "left.json").read_text())
    return {name: (facts, xframe.Trace.open(folder / f"{name}.trace").frame()) for name, facts in left.items()}


def test_fit_is_recorded_with_the_rows_it_shuffled(in_keras):
    left, rows = in_keras["keras_fit"]
    assert left["same_weights"]
    assert rows.batch_size.tolist() == [32, 32, 32, 24] * 2
    assert rows.updates.tolist() == list(range(1, 9))
    assert rows.epoch.tolist() == [0] * 4 + [1] * 4
    for epoch in (0, 1):
        assert sorted(np.concatenate(rows.ids[rows.epoch == epoch].tolist())) == list(range(120))
    assert rows.ids[0].tolist() != list(range(32))
    np.testing.assert_allclose(rows.lr, left["rates"], rtol=1e-6)
    means = [np.average(rows.loss[rows.epoch == e], weights=rows.batch_size[rows.epoch == e]) for e in (0, 1)]
    np.testing.assert_allclose(means, left["losses"], rtol=1e-5)


def test_batches_without_an_index_are_recorded_by_size(in_keras):
    left, rows = in_keras["keras_batches"]
    assert left["same_weights"]
    assert rows.ids.isna().all()
    assert rows.batch_size.tolist() == [40, 40, 40, 30] * 2 + [50, 50, 50]
    assert rows.updates.tolist() == list(range(1, 12))
    np.testing.assert_allclose(rows.loss[8:], left["losses"], rtol=1e-5)


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
