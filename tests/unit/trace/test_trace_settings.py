"""Settings: kept as they were given, readable of a run that was killed, and bounded."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from by_hand import framed, frames_of

import xframe
from xframe.errors import NotATraceError, TraceError, UsageError

GIVEN = {
    "optimizer.learning_rate": 1e-3,
    "optimizer.class": "Adam",
    "optimizer.amsgrad": False,
    "optimizer.clip_norm": None,
    "weights.0.shape": [64, 10],
    "seed.torch": 2**64 - 1,
}


def _recorded(path, *settings, steps=1):
    with xframe.record(path) as rec:
        for given in settings:
            rec.settings(given)
        for k in range(steps):
            rec.step(ids=[k], loss=0.5)
    return xframe.Trace.open(path)


def test_settings_are_read_as_they_were_given(tmp_path):
    assert _recorded(tmp_path / "a.trace", GIVEN).settings == GIVEN
    assert _recorded(tmp_path / "b.trace").settings == {}


def test_later_settings_add_and_replace(tmp_path):
    trace = _recorded(tmp_path / "a.trace", {"a": 1, "b": 2}, {"b": None, "c": [True, "x"]})
    assert trace.settings == {"a": 1, "b": None, "c": [True, "x"]}


def test_numbers_of_numpy_are_numbers(tmp_path):
    given = {"rate": np.float64(0.5), "shape": (np.int64(3), 4), "weights": np.arange(3.0), "on": np.bool_(True)}
    settings = _recorded(tmp_path / "a.trace", given).settings
    assert settings == {"rate": 0.5, "shape": [3, 4], "weights": [0.0, 1.0, 2.0], "on": True}


def test_settings_survive_a_killed_script_at_once(tmp_path):
    path = tmp_path / "killed.trace"
    script = (
        "import os, sys, xframe\n"
        "rec = xframe.record(sys.argv[1])\n"
        "rec.step(ids=[0], loss=0.5)\n"
        "rec.settings({'loader.drop_last': True})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False, env={**os.environ})
    trace = xframe.Trace.open(path)
    assert (trace.ending, trace.num_rows, trace.settings) == ("truncated", 1, {"loader.drop_last": True})


def test_settings_alone_leave_no_file(tmp_path):
    rec = xframe.record(tmp_path / "none.trace")
    rec.settings({"backend": "torch"})
    del rec
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given",
    [
        {"a": {"b": 1}},
        {"a": [[1]]},
        {"": 1},
        {"a" * 201: 1},
        {3: 1},
        {"a": object()},
        {"a": 2**64},
        {"a": "x" * 20_000},
    ],
)
def test_what_a_trace_cannot_hold_is_refused_and_the_rest_kept(tmp_path, given):
    with xframe.record(tmp_path / "a.trace") as rec:
        with pytest.raises(UsageError, match="the settings"):
            rec.settings(given)
        rec.settings({"a": 1})
        rec.step(ids=[0])
    assert xframe.Trace.open(tmp_path / "a.trace").settings == {"a": 1}


def test_settings_after_the_end_are_refused(tmp_path):
    with xframe.record(tmp_path / "a.trace") as rec:
        rec.step(ids=[0])
    with pytest.raises(UsageError, match="closed"):
        rec.settings({"a": 1})


def _with_frame(path, kind, payload):
    data = path.read_bytes()
    frames = [(k, data[start + 49 : stop]) for k, start, stop in frames_of(data)]
    frames.insert(1, (kind, payload))
    path.write_bytes(framed(frames))
    return path


def test_an_unknown_frame_is_passed_over_in_lower_case_and_refused_in_upper_case(small, as_journal):
    journal = as_journal(small)
    assert xframe.Trace.open(_with_frame(journal, b"x", b"what a later version adds")).num_rows == 3
    with pytest.raises(NotATraceError, match="kind"):
        xframe.Trace.open(_with_frame(journal, b"X", b"what a later version adds"))


@pytest.mark.parametrize("facts", [{"a": {"b": 1}}, {"a": 1 << 70}, [1], {"a" * 300: 1}])
def test_settings_that_no_recorder_writes_are_damage(small, as_journal, facts):
    with pytest.raises(TraceError, match="damaged"):
        xframe.Trace.open(_with_frame(as_journal(small), b"s", json.dumps(facts).encode()))
