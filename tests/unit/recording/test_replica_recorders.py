"""Which replica a process is, and where it records."""

import contextlib
import json
import sys
import types

import numpy as np
import pytest

import xframe
from xframe.recording.replicas import ALONE, which
from xframe.recording.several import record_replicas

CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "TF_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "torch.distributed", raising=False)


def group(*, there=True, rank=1, size=3):
    answers = {"is_available": True, "is_initialized": there, "get_rank": rank, "get_world_size": size}
    return types.SimpleNamespace(**{name: (lambda answer=answer: answer) for name, answer in answers.items()})


def task(kind, index):
    return json.dumps({"cluster": CLUSTER, "task": {"type": kind, "index": index}})


def test_by_itself_it_is_one_process():
    assert which() == ALONE == (0, 1)


def test_a_launcher_says_which(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert which() == ALONE
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert which() == (1, 4)
    monkeypatch.setenv("WORLD_SIZE", "many")
    assert which() == ALONE


@pytest.mark.parametrize(
    ("kind", "index", "place"),
    [("chief", 0, (0, 3)), ("worker", 0, (1, 3)), ("worker", 1, (2, 3)), ("ps", 0, ALONE), ("worker", 7, ALONE)],
)
def test_tensorflow_counts_chief_and_workers(monkeypatch, kind, index, place):
    monkeypatch.setenv("TF_CONFIG", task(kind, index))
    assert which() == place


@pytest.mark.parametrize("config", ["", "no JSON", "[]", "{}", '{"cluster": {"worker": 3}, "task": {}}'])
def test_a_config_that_says_nothing(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    assert which() == ALONE


def test_a_process_group_knows_better_than_a_launcher_and_the_caller_best(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", task("worker", 1))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert which() == (0, 2)
    monkeypatch.setitem(sys.modules, "torch.distributed", group(there=False))
    assert which() == (0, 2)
    monkeypatch.setitem(sys.modules, "torch.distributed", group())
    assert which() == (1, 3)
    assert which((4, 5)) == (4, 5)
    assert which((0, 1)) == ALONE


@pytest.mark.parametrize("replica", [(2, 2), (-1, 2), (0, 0), (0,), 1, "01", (0.0, 2), (True, 2)])
def test_what_is_no_replica(tmp_path, replica):
    with pytest.raises(xframe.UsageError, match=r"^the replica: got .* expected \(index, of how many\)"):
        xframe.record(tmp_path / "run.trace", replica=replica)
    assert not list(tmp_path.iterdir())


def test_each_rank_has_its_file(tmp_path):
    path, plan = tmp_path / "run.trace", xframe.TrainingPlan(batch_size=4, epochs=1, replicas=2)
    for rank in (1, 0):
        with xframe.record(path, plan=plan, num_samples=4, replica=(rank, 2)) as rec:
            rec.step(ids=[rank], updates=1, weights_mark=0.5)
            rec.weights({"w": np.ones(1, np.float32)})
    names = ["0.trace", "0.weights.safetensors", "1.trace", "1.weights.safetensors"]
    assert sorted(file.name for file in path.iterdir()) == names
    rank = xframe.Trace.open(path / "1.trace")
    assert rank.metadata["replica"] == {"index": 1, "of": 2, "split": "slices", "gradients": "rows"}
    assert (rank.column("weights_mark").tolist(), rank.column("ids").tolist()) == ([0.5], [1])
    with pytest.raises(xframe.UsageError, match=r"the trace exists already: got '.*run\.trace/1\.trace'"):
        xframe.record(path, replica=(1, 2))
    with pytest.raises(xframe.UsageError, match="the trace exists already"):
        xframe.record(path)


def test_the_plan_of_other_replicas_says_nothing_of_these(tmp_path):
    with xframe.record(tmp_path / "a", plan=xframe.TrainingPlan(batch_size=4, epochs=1), replica=(0, 3)) as rec:
        rec.step(ids=[0])
    stated = xframe.Trace.open(tmp_path / "a" / "0.trace").metadata["replica"]
    assert stated == {"index": 0, "of": 3, "split": None, "gradients": None}


@pytest.mark.parametrize("losses", ["mean", 1, ["sum"]])
def test_losses_are_put_together_in_no_other_way(tmp_path, losses):
    with pytest.raises(xframe.UsageError, match=r"^the metadata's replica_losses: got .* expected 'sum', or nothing"):
        xframe.record(tmp_path / "run.trace", replica=(0, 2), metadata={"replica_losses": losses})
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run.trace").write_text("mine")
    with pytest.raises(xframe.UsageError, match="the trace exists already"):
        xframe.record(tmp_path / "run.trace", replica=(0, 2))
    with pytest.raises(xframe.UsageError, match="cannot make the folder"):
        xframe.record(tmp_path / "nowhere" / "run.trace", replica=(0, 2))
    assert (tmp_path / "run.trace").read_text() == "mine"


def test_a_launchers_rank_is_found_and_a_run_of_one_process_stays_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name, options in (("a", {}), ("b", {"replica": (0, 1)})):
        with xframe.record(tmp_path / name, **options) as rec:
            rec.step(ids=[0])
    assert (tmp_path / "a" / "0.trace").is_file()
    assert (tmp_path / "b").is_file()
    assert "replica" not in xframe.Trace.open(tmp_path / "b").metadata


def test_a_recorder_without_a_step_leaves_no_folder(tmp_path):
    rec = xframe.record(tmp_path / "run.trace", replica=(0, 2))
    del rec
    assert not list(tmp_path.iterdir())


def test_marks_are_taken_in_blocks_too(tmp_path):
    with xframe.record(tmp_path / "run.trace", replica=(0, 2)) as rec:
        rec.step(ids=[0], also={"training": 1}, weights_mark=np.float32(0.25))
        rec.block(ids=[1, 2], batch_sizes=[1, 1], weights_mark=[1.0, np.nan])
        rec.step(ids=[0])
    trace = xframe.Trace.open(tmp_path / "run.trace" / "0.trace")
    np.testing.assert_array_equal(trace.column("weights_mark"), [0.25, 1.0, np.nan, np.nan])
    assert trace.known("weights_mark").tolist() == [True, True, True, False]
    assert trace.known("training").tolist() == [True, False, False, False]


def test_several_recorders_as_one(tmp_path):
    path, calls = tmp_path / "run.trace", []
    with record_replicas(path, 3, num_samples=9) as rec:
        rec.on_flush, rec.evidence = lambda *at: calls.append(at), "the optimizer's own counter"
        rec.settings({"optimizer.lr": 0.5})
        for rank, part in enumerate(rec.parts):
            part.step(ids=[rank], updates=1, loss=1.0)
        assert rec.num_steps == 1
        rec.parts[0].block(ids=[3, 4], batch_sizes=[1, 1], updates=[2, 3])
        assert rec.num_steps == 1
        rec.validation(loss=0.5)
        rec.weights({"w": np.zeros(2, np.float32)})
    assert calls
    ranks = [xframe.Trace.open(path / f"{rank}.trace") for rank in range(3)]
    assert [rank.metadata["replica"]["index"] for rank in ranks] == [0, 1, 2]
    assert [rank.column("ids").tolist() for rank in ranks] == [[0, 3, 4], [1], [2]]
    assert [rank.end["evidence"] for rank in ranks] == ["the optimizer's own counter"] * 3
    assert all(rank.complete and rank.settings and len(rank.validations) == 1 for rank in ranks)
    assert [rank.weights()["w"].tolist() for rank in ranks] == [[0, 0]] * 3


def test_each_replicas_own_weights_and_an_exception(tmp_path):
    with contextlib.suppress(ZeroDivisionError), record_replicas(tmp_path / "run.trace", 2) as rec:
        for part in rec.parts:
            part.step(ids=[0])
        rec.weights(*({"w": np.full(1, rank, np.float32)} for rank in range(2)))
        with pytest.raises(xframe.UsageError, match="final weights: got 3"):
            rec.weights({}, {}, {})
        raise ZeroDivisionError
    ranks = [xframe.Trace.open(tmp_path / "run.trace" / f"{rank}.trace") for rank in range(2)]
    assert [rank.ending for rank in ranks] == ["interrupted by ZeroDivisionError"] * 2
    assert [rank.weights()["w"].tolist() for rank in ranks] == [[0], [1]]
    with pytest.raises(xframe.UsageError, match="replicas to record: got 1, expected 2 or more"):
        record_replicas(tmp_path / "other.trace", 1)


# What tells a run from others


class Store:
    """A process group's store, which ``processes`` share."""

    def __init__(self):
        self.kept = {}

    def compare_set(self, key, expected, desired):
        if self.kept.get(key, "") == expected:
            self.kept[key] = desired
        return self.kept[key].encode()


def stated_by(path, rank, of=2, **metadata):
    with xframe.record(path, replica=(rank, of), metadata=metadata) as rec:
        rec.step(ids=[rank])
    return xframe.Trace.open(path / f"{rank}.trace").metadata["replica"].get("run")


def grouped(monkeypatch, store, rank):
    one = group(rank=rank, size=2)
    one.distributed_c10d = types.SimpleNamespace(_get_default_store=lambda: store)
    monkeypatch.setitem(sys.modules, "torch.distributed", one)


def test_a_process_group_is_one_run_and_another_one_another(tmp_path, monkeypatch):
    stores, told = (Store(), Store()), {}
    for number, store in enumerate(stores):
        for rank in (1, 0):
            grouped(monkeypatch, store, rank)
            told[number, rank] = stated_by(tmp_path / f"{number}.trace", rank)["token"]
    assert told[0, 0] == told[0, 1] != told[1, 0] == told[1, 1]
    (tmp_path / "0.trace" / "1.trace").write_bytes((tmp_path / "1.trace" / "1.trace").read_bytes())
    assert xframe.Trace.open(tmp_path / "1.trace").num_rows == 1
    with pytest.raises(xframe.TraceError, match="of another one, by its token"):
        xframe.Trace.open(tmp_path / "0.trace")


@pytest.mark.parametrize("broken", [None, types.SimpleNamespace(), types.SimpleNamespace(compare_set=lambda *_: b"")])
def test_a_group_without_such_a_store_says_nothing(tmp_path, monkeypatch, broken):
    grouped(monkeypatch, broken, 0)
    assert stated_by(tmp_path / "run.trace", 0) is None


def test_a_group_of_others_than_the_replicas_says_nothing(tmp_path, monkeypatch):
    grouped(monkeypatch, Store(), 0)
    assert stated_by(tmp_path / "run.trace", 1) is None


def test_a_launcher_is_what_it_set_alike_for_all(tmp_path, monkeypatch):
    launched = {"WORLD_SIZE": "2", "MASTER_PORT": "2900", "MASTER_ADDR": "me", "TORCHELASTIC_RUN_ID": "job"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANK", "0")
    told = {"launcher": "TORCHELASTIC_RUN_ID=job MASTER_PORT=2900"}
    assert stated_by(tmp_path / "run.trace", 0) == told
    monkeypatch.setenv("MASTER_ADDR", "host-0")
    assert stated_by(tmp_path / "run.trace", 1) is None  # it is not what the launcher says
    (tmp_path / "run.trace" / "1.trace").unlink()
    monkeypatch.setenv("RANK", "1")
    assert stated_by(tmp_path / "run.trace", 1) == told
    assert xframe.Trace.open(tmp_path / "run.trace").num_rows == 1


def test_of_tensorflows_cluster_the_ports_count(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", task("worker", 0))
    assert stated_by(tmp_path / "run.trace", 1, of=3) == {"launcher": "TF_CONFIG=1,1,1"}


def test_a_token_may_be_given_and_those_of_one_process_have_one(tmp_path):
    assert stated_by(tmp_path / "given.trace", 0, replica_run="job 7") == {"token": "job 7"}
    tokens = set()
    for name in ("a.trace", "b.trace"):
        with record_replicas(tmp_path / name, 2) as rec:
            for part in rec.parts:
                part.step(ids=[0])
        tokens |= {one.metadata["replica"]["run"]["token"] for one in xframe.Trace.open(tmp_path / name).replicas}
    assert len(tokens) == 2


@pytest.mark.parametrize("token", ["", 7, "x" * 201])
def test_what_is_no_token(tmp_path, token):
    with pytest.raises(xframe.UsageError, match=r"^the metadata's replica_run: got .* expected a text of up to 200"):
        xframe.record(tmp_path / "run.trace", replica=(0, 2), metadata={"replica_run": token})
    assert not list(tmp_path.iterdir())
