"""Runs that go on at once write where no other can name it, and in the end all is in the run's folder."""

import contextlib
import stat
import subprocess
import sys
import time

import pytest

import xframe
from xframe.running.folders import apart
from xframe.running.guard import make_place, take_home


def written(place, text="rows"):
    place.write_text(text)
    place.with_suffix(".weights.safetensors").write_text("weights")


@pytest.mark.parametrize("ends", [None, KeyboardInterrupt, ValueError])
def test_each_of_several_runs_has_a_folder_of_its_own(tmp_path, ends):
    traces = [tmp_path / f"{name}.trace" for name in "abc"]
    with contextlib.suppress(KeyboardInterrupt, ValueError), apart(traces) as places:
        for place in places:
            make_place(place)
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
    assert left == ["a.trace", "a.weights.safetensors", "b.trace", "b.weights.safetensors"]


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
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.trace", "a.weights.safetensors"]


def test_a_trace_may_have_been_taken_home_before(tmp_path):
    with apart([tmp_path / "a.trace", tmp_path / "b.trace"]) as places:
        make_place(places[0])
        written(places[0], "kept")
        take_home(places[0], tmp_path)
    assert (tmp_path / "a.trace").read_text() == "kept"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.trace", "a.weights.safetensors"]


STARTS = """
import sys, time
from pathlib import Path
from xframe.running.folders import apart
from xframe.running.messages import Done, Failed, Go, Job, Ready, Recorded
from xframe.running.processes import listen, start

home = Path(sys.argv[1])
with apart([home / "ended.trace", home / "runs.trace"]) as (ended, runs):
    children = []
    plan = {"batch_size": 64, "epochs": 100_000}
    for place, adapter in ((ended, "none"), (runs, "numpy")):
        job = Job(adapter, adapter, None, plan, "digits-mlp", {"threads": 1}, str(place))
        taken = {"place": str(place), "home": str(home), "log": home / f"{adapter}.log"}
        kinds = (Ready, Recorded, Done, Failed)
        children.append(start("xframe.running.worker", job, label=adapter, kinds=kinds, **taken))
    children[0].process.wait()  # there is no such adapter
    ended.write_text("rows")
    for _, message in listen(children):
        if isinstance(message, Ready):
            children[1].send(Go("cpu"))
        if isinstance(message, Recorded):
            print("recorded", flush=True)
            time.sleep(600)
"""


def test_when_the_harness_is_killed_all_is_taken_home(tmp_path):
    """What a run has left that ended before, too."""
    with subprocess.Popen([sys.executable, "-c", STARTS, tmp_path], stdout=subprocess.PIPE) as harness:
        assert harness.stdout.readline() == b"recorded\n"
        (common,) = tmp_path.glob(".running-*")
        harness.kill()
    deadline = time.monotonic() + 10
    while common.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (tmp_path / "ended.trace").read_text() == "rows"
    assert "Traceback" not in (tmp_path / "numpy.log").read_text()
    trace = xframe.Trace.open(tmp_path / "runs.trace")
    assert trace.num_rows >= 1000
    assert trace.ending == "interrupted by KeyboardInterrupt"
