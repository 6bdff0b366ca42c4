"""Replicas of a launcher meet in a shared folder, and each learns how the others end."""

import contextlib
import threading
import time
from types import SimpleNamespace

import pytest

from xframe.errors import UsageError, WorkerError
from xframe.running.launch import Launch
from xframe.running.meeting import Meeting
from xframe.running.replicas import deserted
from xframe.running.runtime import Replica
from xframe.running.workers import LeftError, Worker

PATIENCE = 20.0


def meeting(folder, index, of=2, patience=PATIENCE, addresses=()):
    launch = Launch(index, of, "a test", "127.0.0.1", (index, of), addresses)
    return Meeting.beside(folder / "out", launch, patience)


class Party:
    """Replicas, each in a thread of its own; what each learnt and how it ended."""

    def __init__(self, meetings, *, asked="the same", labels=("torch",), listens=None, prepare=lambda: None):
        self.meetings, self.ends, self.replicas, self.prepared = meetings, {}, {}, []
        self.asked, self.labels, self.listens, self.prepare = asked, labels, listens, prepare
        self.train = lambda one: None

    def run(self, *, asked=None):
        """Has all of them meet and train; returns how each ended, by its index."""

        def one(meeting):
            index = meeting.launch.index
            own = (asked or {}).get(index, self.asked)

            def prepare():
                self.prepared.append(index)
                self.prepare()

            try:
                with meeting.held(own, self.labels, self.listens, prepare):
                    self.replicas[index] = [meeting.replica(label) for label in self.labels]
                    self.train(meeting)
                self.ends[index] = None
            except Exception as error:
                self.ends[index] = error

        threads = [threading.Thread(target=one, args=(meeting,)) for meeting in self.meetings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return self.ends


def test_all_meet_and_leave_nothing(tmp_path):
    party = Party([meeting(tmp_path, index, 3) for index in (2, 1, 0)], labels=("torch", "tensorflow"))
    party.train = lambda one: one.gather([]) if one.launch.index == 0 else None
    assert party.run() == {0: None, 1: None, 2: None}
    assert party.prepared == [0], "replica 0 alone makes way"
    for number, label in enumerate(party.labels):
        each = [party.replicas[index][number] for index in range(3)]
        assert [one.index for one in each] == [0, 1, 2]
        assert {one.addresses for one in each} == {each[0].addresses}, label
        assert len(set(each[0].addresses)) == 3
        assert len({one.meeting for one in each}) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_launchers_addresses_go_to_who_listens_there(tmp_path):
    chosen = ("127.0.0.1:1001", "127.0.0.1:1002")
    party = Party(
        [meeting(tmp_path, index, addresses=chosen) for index in (0, 1)],
        labels=("torch", "tensorflow"),
        listens="tensorflow",
    )
    party.run()
    torch, tensorflow = party.replicas[1]
    assert tensorflow.addresses == chosen
    assert not set(torch.addresses) & set(chosen)


@pytest.mark.parametrize("present", [0, 1])
def test_one_that_does_not_come_is_named(tmp_path, present):
    (end,) = Party([meeting(tmp_path, present, patience=0.5)]).run().values()
    assert isinstance(end, WorkerError)
    assert f"replica {1 - present} of 2 did not come" in str(end)
    assert "in a folder that all hosts share" in str(end)


def test_the_others_end_with_the_one_that_waits_for_a_third(tmp_path):
    began = time.monotonic()
    ends = Party([meeting(tmp_path, 0, 3, patience=1), meeting(tmp_path, 1, 3)]).run()
    assert {str(end) for end in ends.values()} == {str(ends[0])}
    assert "replica 2 of 3 did not come" in str(ends[1])
    assert time.monotonic() - began < PATIENCE


def test_folders_that_are_not_one(tmp_path):
    ends = Party([meeting(tmp_path / f"host{index}", index, patience=0.5) for index in (0, 1)]).run()
    assert all("in a folder that all hosts share" in str(ends[index]) for index in (0, 1))


def test_another_request_is_refused_by_all(tmp_path):
    ends = Party([meeting(tmp_path, index, 3) for index in range(3)]).run(asked={1: "another"})
    assert {type(end) for end in ends.values()} == {UsageError}
    assert all("replica 1 was not asked for the same as replica 0" in str(end) for end in ends.values())


def test_what_replica_0_cannot_prepare_ends_all(tmp_path):
    def refuse():
        raise UsageError("cannot make the folder", got="out")

    ends = Party([meeting(tmp_path, index) for index in (0, 1)], prepare=refuse).run()
    assert {(type(end), str(end)) for end in ends.values()} == {(UsageError, "cannot make the folder: got 'out'")}


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (end,) = Party([meeting(tmp_path / "file", 0)]).run().values()
    assert isinstance(end, UsageError)
    assert "cannot meet the other replicas" in str(end)


def test_what_an_earlier_run_left_is_not_taken_for_this_ones(tmp_path):
    killed = Party([meeting(tmp_path, index) for index in (0, 1)])
    killed.train = lambda one: (_ for _ in ()).throw(LeftError("left")) if one.launch.index else None
    place = meeting(tmp_path, 0).place
    with contextlib.suppress(WorkerError):
        killed.run()
    place.mkdir(exist_ok=True)
    for name in ("0.json", "1.json", "all.json"):
        (place / name).write_text('{"asked": "older", "addresses": {}, "number": "1", "said": [], "refused": null}')
    (place / "1-1.end").write_text('{"error": "of the older run", "left": false}')
    party = Party([meeting(tmp_path, index) for index in (0, 1)])
    party.train = lambda one: one.gather([]) if one.launch.index == 0 else None
    assert party.run() == {0: None, 1: None}
    assert not place.exists()


def until(true, seconds=10):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert true()


def test_the_one_at_fault_is_named_by_all(tmp_path):
    def train(one):
        if one.launch.index == 2:
            raise WorkerError("replica 2 of worker 'torch' was killed by SIGKILL")
        if one.launch.index == 1:
            raise LeftError("replica 1 of worker 'torch' failed: connection reset")
        until(lambda: one.look() and False)  # as the harness does while its worker trains

    party = Party([meeting(tmp_path, index, 3) for index in range(3)])
    party.train = train
    ends = party.run()
    assert {str(end) for end in ends.values()} == {"replica 2 of worker 'torch' was killed by SIGKILL"}
    assert {type(end) for end in ends.values()} == {WorkerError}


def test_a_fault_that_names_no_replica_gets_its_index(tmp_path):
    def train(one):
        if one.launch.index:
            raise UsageError("torch: device 'cuda' is not there")
        one.gather([])

    party = Party([meeting(tmp_path, index) for index in (0, 1)])
    party.train = train
    ends = party.run()
    assert (type(ends[1]), str(ends[0])) == (UsageError, "replica 1: torch: device 'cuda' is not there")


@pytest.mark.costly
def test_one_that_ends_without_a_word_is_named(tmp_path):
    """As when its host is lost: the others were left alone, and none says that the fault is its own."""
    party = Party([meeting(tmp_path, index, 3, patience=1.0) for index in range(3)])

    def train(one):
        if one.launch.index == 2:
            one.report = lambda error: None
            raise WorkerError("its host is lost")
        raise LeftError(f"replica {one.launch.index} of worker 'torch' failed: connection reset")

    party.train = train
    ends = party.run()
    assert all("replica 2 of 3 ended without a word" in str(ends[index]) for index in (0, 1))
    assert list(tmp_path.iterdir()) == []


def test_replica_0_waits_for_the_others_and_for_their_traces(tmp_path):
    late = threading.Event()

    def train(one):
        if one.launch.index:
            late.wait(10)
            (tmp_path / "torch.trace").mkdir()
            (tmp_path / "torch.trace" / "1.trace").touch()
        else:
            threading.Timer(0.5, late.set).start()
            one.gather([tmp_path / "torch.trace"])
            assert late.is_set()

    party = Party([meeting(tmp_path, index) for index in (0, 1)])
    party.train = train
    assert party.run() == {0: None, 1: None}


@pytest.mark.parametrize(
    ("lacks", "says"), [("end", "replica 1 of 2 ended without a word"), ("trace", "its trace is not to be seen here")]
)
def test_replica_0_does_not_wait_without_end(tmp_path, lacks, says):
    def train(one):
        if one.launch.index == 0:
            one.gather([tmp_path / "torch.trace"])
        elif lacks == "end":
            one.report = lambda error: None

    party = Party([meeting(tmp_path, index, patience=1.0) for index in (0, 1)])
    party.train = train
    ends = party.run()
    assert ends[1] is None
    assert isinstance(ends[0], WorkerError)
    assert says in str(ends[0])


def test_they_train_on_a_device_that_all_have_once_all_are_ready(tmp_path):
    has = {0: ["cuda", "tpu", "cpu"], 1: ["tpu", "cpu"], 2: ["cpu", "tpu"]}
    chosen, all_ready = {}, threading.Barrier(3)

    def train(one):
        if one.launch.index == 0:
            assert one.devices() is None, "it is not ready itself"
            one.ready(has[0])
            assert one.devices() is None
        all_ready.wait(10)
        if one.launch.index:
            one.ready(has[one.launch.index])
        until(lambda: chosen.update({one.launch.index: one.devices()}) or chosen[one.launch.index])

    party = Party([meeting(tmp_path, index, 3) for index in range(3)])
    party.train = train
    assert party.run() == {0: None, 1: None, 2: None}
    assert chosen == {index: ["tpu", "cpu"] for index in range(3)}


def test_one_that_is_never_ready_is_named_and_so_is_what_each_has(tmp_path):
    never = Party([meeting(tmp_path, index, patience=1.0) for index in (0, 1)])

    def waits(one):
        if one.launch.index == 0:
            one.ready(["cpu"])
            until(one.devices)
        else:
            until(lambda: one.look())

    never.train = waits
    ends = never.run()
    assert "replica 1 of 2 did not begin to train" in str(ends[1])
    apart = Party([meeting(tmp_path, index) for index in (0, 1)])

    def differs(one):
        one.ready(["cuda", "cpu"][one.launch.index :][:1])
        until(one.devices)

    apart.train = differs
    assert "got replica 0: cuda; replica 1: cpu" in str(apart.run()[0])


def test_one_that_others_wait_for_where_their_framework_meets(tmp_path):
    def train(one):
        if one.launch.index == 0:
            one.arrived(["tensorflow"])
            assert one.awaited() == {}
        until(lambda: one.launch.index == 0 or one.awaited().get("tensorflow", 0) > 0.2)
        assert "torch" not in one.awaited()

    party = Party([meeting(tmp_path, index) for index in (0, 1)])
    party.train = train
    assert party.run() == {0: None, 1: None}


@pytest.mark.parametrize(
    ("silence", "arrived", "awaited", "given_up", "says"),
    [
        (30, None, {"torch": 30.0}, False, "has said nothing for 30 s, while the others wait for it"),
        (30, None, {"tensorflow": 30.0}, False, None),
        (30, None, {"torch": 5.0}, False, None),
        (5, None, {"torch": 30.0}, True, None),
        (30, 1.0, {"torch": 30.0}, False, None),
        (30, 1.0, {"torch": 30.0}, True, "has said nothing for 30 s, and the others have given up waiting for it"),
    ],
)
def test_who_is_silent_too_long(tmp_path, silence, arrived, awaited, given_up, says):
    child = SimpleNamespace(label="torch", log=tmp_path / "log", process=SimpleNamespace(pid=-1))
    worker = Worker(child, tmp_path / "trace", Replica(1, 2, "", patience=20.0), arrived=arrived)
    worker.heard = time.monotonic() - silence
    error = deserted([worker], awaited, given_up)
    assert (error is None) == (says is None)
    assert says is None or f"replica 1 of worker 'torch' {says}" in str(error)
