"""Replicas under a launcher are one run in one folder, whoever started them; what lacks of one is said."""

import json
import os
import signal

import pytest

import xframe
from scripts.toys import PYTHON, TRAIN, said

LAUNCH = """
import json, os, subprocess, sys
def launch(codes, of=None, **more):
    of = of or len(codes)
    running = []
    for rank, code in enumerate(codes):
        ranks = {"RANK": str(rank), "WORLD_SIZE": str(of)}
        cluster = {"cluster": {"worker": ["here"] * of}, "task": {"type": "worker", "index": rank}}
        added = {"TF_CONFIG": json.dumps(cluster)} if more.get("tensorflow") else ranks
        environment = {**os.environ, **added, **more.get("environment", {})}
        running.append(subprocess.Popen([sys.executable, "-c", code], env=environment))
    sys.exit(max(abs(one.wait()) for one in running))
"""


def of(folder, index):
    return xframe.Trace.open(folder / f"{index}.trace")


@pytest.mark.parametrize("tensorflow", [False, True])
def test_ranks_of_a_launcher_share_one_folder_and_one_line(script, toy, tensorflow):
    done = script(LAUNCH + f"launch([{TRAIN!r}] * 3, tensorflow={tensorflow})")
    said(done, "xframe: 5 steps recorded in a.trace, by 3 replicas")
    assert done.code == 0
    assert done.err.count("recorded") == 1
    assert done.traces() == ["a.trace"]
    traces = [of(toy / "a.trace", index) for index in range(3)]
    assert [trace.metadata["replica"]["index"] for trace in traces] == [0, 1, 2]
    assert [(trace.metadata["replica"]["of"], trace.num_rows, trace.ending) for trace in traces] == [
        (3, 5, "complete")
    ] * 3


def test_one_rank_of_one_is_a_file(script, toy):
    done = script(LAUNCH + f"launch([{TRAIN!r}])")
    said(done, "xframe: 5 steps recorded in a.trace")
    assert (toy / "a.trace").is_file()
    assert "replica" not in xframe.Trace.open(toy / "a.trace").metadata


def test_an_evaluator_is_no_replica(script, toy, monkeypatch):
    cluster = {"cluster": {"worker": ["a", "b"], "evaluator": ["c"]}, "task": {"type": "evaluator", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    said(script(TRAIN), "xframe: 5 steps recorded in a.trace")
    assert (toy / "a.trace").is_file()


def test_a_rank_that_never_trains_is_named(script, toy):
    done = script(LAUNCH + f"launch([{TRAIN!r}, 'import toyframe'])")
    said(done, "5 steps recorded in a.trace, by 1 of 2 replicas", "no step of replica 1 is recorded there")
    assert of(toy / "a.trace", 0).num_rows == 5


def test_a_killed_rank_keeps_what_it_had_and_is_said_to_lack_its_end(script, toy):
    killed = "import toyframe, os, signal, time; toyframe.train(3); time.sleep(1.5); os.kill(os.getpid(), 9)"
    done = script(LAUNCH + f"launch([{TRAIN!r}, {killed!r}])")
    assert done.code == signal.SIGKILL
    kept = of(toy / "a.trace", 1)
    assert kept.ending == "truncated"
    said(
        done,
        f"{kept.num_rows} step{'s' * (kept.num_rows > 1)} recorded in a.trace, by 2 replicas",
        "replica 1 was ended before it could close its trace",
        "replica 0 has 5 steps",
    )
    assert of(toy / "a.trace", 0).ending == "complete"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_rank_that_is_killed_as_it_closes_its_trace_leaves_nothing_beside_it(script, toy, number):
    """As torchrun ends the other ranks when one has failed."""
    closes = f"import os, xframe.files.new as new; new.Passing.put = lambda file: os.kill(os.getpid(), {number:d})"
    done = script(LAUNCH + f"launch([{f'{closes}; {TRAIN}'!r}, {TRAIN!r}])")
    said(done, "recorded in a.trace, by 2 replicas", "replica 0 was ended before it could close its trace")
    assert done.code == number
    assert sorted(os.listdir(toy / "a.trace")) == ["0.trace", "1.trace"]
    assert [of(toy / "a.trace", index).num_rows for index in (0, 1)] == [5, 5]


def test_ranks_that_are_started_again_share_the_next_folder(script, toy):
    for again in (0, 1):
        environment = {"TORCHELASTIC_RESTART_COUNT": str(again)}
        codes = [TRAIN, TRAIN] if again else [TRAIN, "import toyframe"]
        done = script(LAUNCH + f"launch({codes}, environment={environment})", out="a.trace" if not again else "b.trace")
    said(done, "5 steps recorded in b-2.trace, by 2 replicas")
    assert sorted(os.listdir(toy / "b-2.trace")) == ["0.trace", "1.trace"]


def test_each_rank_may_be_a_recorded_command_of_its_own(record, toy, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for index in (1, 0):
        monkeypatch.setenv("RANK", str(index))
        done = record(PYTHON, "-c", TRAIN)
        by = "2 replicas" if index == 0 else "1 of 2 replicas"
        said(done, f"5 steps recorded in a.trace, by {by}")
    again = record(PYTHON, "-c", TRAIN)
    assert again.code == 2
    said(again, "a.trace/0.trace", "exists")
    assert [of(toy / "a.trace", index).num_rows for index in (0, 1)] == [5, 5]


def test_a_folder_is_replaced_once_there_is_another(script, toy):
    script(LAUNCH + f"launch([{TRAIN!r}] * 2)")
    kept = script(LAUNCH + "launch(['import toyframe'] * 2)", flags=["--replace"])
    said(kept, "a.trace is the earlier trace, as it was")
    assert xframe.Trace.open(toy / "a.trace").num_rows == 5
    done = script(LAUNCH + "launch(['import toyframe; toyframe.train(7)'] * 2)", flags=["--replace"])
    said(done, "7 steps recorded in a.trace, by 2 replicas")
    assert xframe.Trace.open(toy / "a.trace").num_rows == 7
    assert done.traces() == ["a.trace"]
