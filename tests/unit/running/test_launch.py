"""What launchers' variables say of a process: which replica it is, and how others reach it."""

import json
import re
import socket

import pytest

from xframe.errors import UsageError
from xframe.plan.training_plan import TrainingPlan
from xframe.running.launch import address_of, host_and_port, launched

RANKS = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
CLUSTER = {"chief": ["a:1"], "worker": ["b:2", "b:3"], "ps": ["c:4"]}


def cluster(kind, index, cluster=CLUSTER):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"RANK": "1"},
        {"WORLD_SIZE": "4"},
        {"RANK": "0", "WORLD_SIZE": "1"},
        {"SLURM_PROCID": "1", "SLURM_NTASKS": "4", "LOCAL_RANK": "0"},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": "{}"},
        {"TF_CONFIG": '{"cluster": {}}'},
        cluster("worker", 0, {"worker": ["a:1"]}),
        cluster("chief", 0, {"chief": ["a:1"], "evaluator": ["b:1"]}),
    ],
)
def test_no_other_process(variables):
    assert launched(variables) is None


def test_ranks():
    launch = launched(RANKS)
    assert (launch.index, launch.of, launch.host, launch.here, launch.addresses) == (1, 4, "127.0.0.1", (0, 1), ())
    local = launched({**RANKS, "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"})
    assert local.here == (1, 2)
    assert launched({**RANKS, "LOCAL_RANK": "3"}).here == (3, 4)
    assert launched({**RANKS, **cluster("worker", 1)}).of == 4, "ranks come before a cluster"


def test_the_first_rank_is_reached_as_its_master():
    assert launched({**RANKS, "RANK": "0", "MASTER_ADDR": "not.a.host.invalid"}).host == "not.a.host.invalid"
    with pytest.raises(UsageError, match=r"MASTER_ADDR: got 'not\.a\.host\.invalid'"):
        launched({**RANKS, "MASTER_ADDR": "not.a.host.invalid"})


def test_another_rank_is_reached_where_its_way_to_the_master_begins(monkeypatch):
    class Probe(socket.socket):
        def connect(self, address):
            assert address == ("192.0.2.1", 9)

        def getsockname(self):
            return ("192.0.2.7", 40000)

    monkeypatch.setattr(socket, "socket", Probe)
    assert launched({**RANKS, "MASTER_ADDR": "192.0.2.1"}).host == "192.0.2.7"


def test_a_cluster():
    found = [launched(cluster(kind, index)) for kind, index in (("chief", 0), ("worker", 0), ("worker", 1))]
    assert [(one.index, one.of, one.host, one.here) for one in found] == [
        (0, 3, "a", (0, 1)),
        (1, 3, "b", (0, 2)),
        (2, 3, "b", (1, 2)),
    ]
    assert {one.addresses for one in found} == {("a:1", "b:2", "b:3")}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({**RANKS, "RANK": "4"}, "RANK and WORLD_SIZE: got 4 and 4"),
        ({**RANKS, "RANK": "one"}, "RANK and WORLD_SIZE: got one and 4"),
        ({**RANKS, "MASTER_ADDR": ""}, "MASTER_ADDR is not: expected the host of the process with RANK 0"),
        ({**RANKS, "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "2"}, "LOCAL_RANK and LOCAL_WORLD_SIZE: got 2 and 2"),
        ({**RANKS, "LOCAL_RANK": "x"}, "got x and 4"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG: got '{', expected a JSON object"),
        ({"TF_CONFIG": "[]"}, "expected a JSON object"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}}'}, "expected a JSON object"),
        (cluster("ps", 0), "got task ps 0, expected a chief or a worker"),
        (cluster("worker", 2), "got task worker 2, expected a chief or a worker"),
        (cluster("worker", 0, {"worker": ["a", "b:1"]}), "an address in TF_CONFIG: got 'a', expected host:port"),
    ],
)
def test_what_makes_no_sense_is_refused(variables, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        launched(variables)


def test_a_plan_of_another_number_of_replicas_is_refused():
    launch = launched(RANKS)
    launch.check(TrainingPlan(batch_size=8, epochs=1, replicas=4))
    with pytest.raises(UsageError, match=r"\(RANK and WORLD_SIZE\): got replicas = 1, expected 4\. Set --replicas 4"):
        launch.check(TrainingPlan(batch_size=8, epochs=1))


@pytest.mark.parametrize("host", ["a.b", "10.0.0.1", "::1"])
def test_addresses(host):
    assert host_and_port(address_of(host, 80)) == (host, 80)
    both = {"worker": [address_of(host, 80), address_of(host, 81)]}
    assert launched(cluster("worker", 1, both)).host == host
