"""Runs that go on at once write where no other can name it, and in the end all is in the run's folder."""

import contextlib
import stat

import pytest

import xframe
from xframe.running.folders import apart, take_home
from xframe.running.messages import Done, Failed, Go, Job, Ready, Recorded
from xframe.running.processes import listen, start, stop


def written(place, text="rows"):
    place.write_text(text)
    place.with_suffix(".weights.npz").write_text("weights")


@pytest.mark.parametrize("ends", [None, KeyboardInterrupt, ValueError])
def test_each_of_several_runs_has_a_folder_of_its_own(tmp_path, ends):
    traces = [tmp_path / f"{name}.trace" for name in "abc"]
    with contextlib.suppress(KeyboardInterrupt, ValueError), apart(traces) as places:
        folders = [place.parent for place in places]
        assert [place.name for place in places] == [trace.name for trace in traces]
        assert len(set(folders)) == 3
        (common,) = {folder.parent for folder in folders}
        assert stat.S_IMODE(common.stat().st_mode) == 0o300  # to be gone through, and not to be listed
        assert all(len(folder.name) >= 32 for folder in folders)
        for place in places[:2]:  # the third has not begun
            written(place)
        assert [file.name for file in tmp_path.iterdir()] == [common.name]
        if ends is not None:
            raise ends
    left = sorted(file.name for file in tmp_path.iterdir())
    assert left == ["a.trace", "a.weights.npz", "b.trace", "b.weights.npz"]


def test_no_two_names_are_alike(tmp_path):
    drawn = []
    for _ in range(2):
        with apart([tmp_path / "a.trace", tmp_path / "b.trace"]) as places:
            drawn += [place.parent.name for place in places]
    assert len(set(drawn)) == 4


def test_a_run_alone_writes_where_its_trace_is_to_be(tmp_path):
    with apart([tmp_path / "a.trace"]) as places:
        assert places == [tmp_path / "a.trace"]
        written(places[0])
    take_home(tmp_path / "a.trace", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.trace", "a.weights.npz"]


def test_a_worker_may_have_taken_its_trace_home_before(tmp_path):
    """As it does when its harness is gone."""
    with apart([tmp_path / "a.trace", tmp_path / "b.trace"]) as places:
        written(places[0], "kept")
        take_home(places[0], tmp_path)
    assert (tmp_path / "a.trace").read_text() == "kept"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.trace", "a.weights.npz"]


def test_a_worker_takes_its_trace_home_when_its_harness_is_gone(tmp_path):
    with contextlib.ExitStack() as stack:
        own, _ = stack.enter_context(apart([tmp_path / "a.trace", tmp_path / "b.trace"]))
        plan = {"batch_size": 64, "epochs": 100_000}
        job = Job("numpy", "numpy", None, plan, "digits-mlp", {"threads": 1}, str(own), str(tmp_path))
        kinds = (Ready, Recorded, Done, Failed)
        child = start("xframe.running.worker", job, label="numpy", log=tmp_path / "a.log", kinds=kinds)
        stack.callback(stop, [child])
        for _, message in listen([child], seconds=60):
            if isinstance(message, Ready):
                child.send(Go("cpu"))
            if isinstance(message, Recorded):
                child.process.stdin.close()
                break
        child.process.wait(30)
        trace = xframe.Trace.open(tmp_path / "a.trace")
        assert trace.num_rows >= 1000
        assert trace.ending == "interrupted by KeyboardInterrupt"
