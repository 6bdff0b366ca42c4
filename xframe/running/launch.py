"""What a launcher says that started this process: which of a run's replicas it is, and how the others reach its host.

``torchrun``, Kubernetes' PyTorchJob and scripts for ``srun`` set RANK, WORLD_SIZE and MASTER_ADDR, and may set
LOCAL_RANK and LOCAL_WORLD_SIZE; a launcher for TensorFlow sets TF_CONFIG. A launch of one process is none.

The ports are xframe's own, but for those of TF_CONFIG: several runs may go on at once, which cannot share MASTER_PORT,
and under torchrun an agent has that already.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from xframe.errors import UsageError, Verbatim
from xframe.plan.training_plan import TrainingPlan

_ALONE = "To run all of them from this process, unset the variables: env -u RANK -u WORLD_SIZE -u TF_CONFIG xframe ..."


@dataclass(frozen=True, slots=True)
class Launch:
    """A replica that was started beside others.

    Attributes:
        index, of: which one, from 0, and how many there are.
        said_by: the variables that say so.
        host: of this process, as the others reach it.
        here: its index among those on this machine, and how many these are.
        addresses: of each, where the launcher chose them: ``host:port``.
    """

    index: int
    of: int
    said_by: str
    host: str
    here: tuple[int, int]
    addresses: tuple[str, ...] = ()

    def check(self, plan: TrainingPlan) -> None:
        """Refuses a plan of another number of replicas."""
        if plan.replicas != self.of:
            raise UsageError(
                f"the plan has another number of replicas than the launcher has started ({self.said_by})",
                got=Verbatim(f"replicas = {plan.replicas}"),
                expected=f"{self.of}",
                remedy=f"Set --replicas {self.of}, or start {plan.replicas}. {_ALONE}",
            )


def launched(environment: Mapping[str, str]) -> Launch | None:
    """What these variables say; None where they name no other process.

    Raises:
        UsageError: they make no sense.
    """
    return _by_ranks(environment) or _by_cluster(environment)


def _by_ranks(environment: Mapping[str, str]) -> Launch | None:
    if not (environment.get("RANK") and environment.get("WORLD_SIZE")):
        return None
    index, of = _place(environment, "RANK", "WORLD_SIZE")
    if of == 1:
        return None
    master = environment.get("MASTER_ADDR", "")
    if not master:
        expected = "the host of the process with RANK 0, as the others reach it"
        raise UsageError("RANK and WORLD_SIZE are set, and MASTER_ADDR is not", expected=expected, remedy=_ALONE)
    if environment.get("LOCAL_WORLD_SIZE"):
        here = _place({"LOCAL_RANK": "0", **environment}, "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    else:
        local = environment.get("LOCAL_RANK") or "0"
        here = _place({"LOCAL_RANK": local, "WORLD_SIZE": str(of)}, "LOCAL_RANK", "WORLD_SIZE")
        here = here[0], here[0] + 1
    return Launch(index, of, "RANK and WORLD_SIZE", master if index == 0 else _own_host(master), here)


def _place(environment: Mapping[str, str], index: str, of: str) -> tuple[int, int]:
    """An index and of how many, which two variables say."""
    texts = environment[index], environment[of]
    if all(text.isdecimal() for text in texts) and int(texts[0]) < int(texts[1]):
        return int(texts[0]), int(texts[1])
    got = Verbatim(f"{texts[0]} and {texts[1]}")
    raise UsageError(f"{index} and {of}", got=got, expected="whole numbers, the first below the second", remedy=_ALONE)


def _own_host(master: str) -> str:
    """The address of this machine by which it reaches the host ``master``, or that host itself where it is this one."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(master, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # nothing is sent
            own = str(probe.getsockname()[0])
    except OSError as error:
        expected = f"a host that can be reached ({error.strerror or error})"
        raise UsageError("MASTER_ADDR", got=master, expected=expected) from None
    return master if ipaddress.ip_address(own.partition("%")[0]).is_loopback else own


def _by_cluster(environment: Mapping[str, str]) -> Launch | None:
    text = environment.get("TF_CONFIG", "")
    if not text:
        return None
    try:
        config = json.loads(text)
        cluster = {str(kind): [str(one) for one in tasks] for kind, tasks in config.get("cluster", {}).items()}
        own = (str(config["task"]["type"]), int(config["task"]["index"])) if cluster else ("", 0)
    except (AttributeError, LookupError, TypeError, ValueError):
        expected = "a JSON object with cluster and task, as TensorFlow takes it"
        raise UsageError("TF_CONFIG", got=text, expected=expected, remedy=_ALONE) from None
    tasks = [(kind, index) for kind in ("chief", "worker") for index in range(len(cluster.get(kind, ())))]
    if sum(map(len, cluster.values())) < 2:
        return None
    if own not in tasks:
        got, expected = Verbatim(f"task {own[0]} {own[1]}"), "a chief or a worker of its cluster"
        raise UsageError("TF_CONFIG makes this process none that trains", got=got, expected=expected, remedy=_ALONE)
    if len(tasks) == 1:
        return None
    addresses = tuple(cluster[kind][index] for kind, index in tasks)
    hosts, index = [_host(address) for address in addresses], tasks.index(own)
    here = hosts[:index].count(hosts[index]), hosts.count(hosts[index])
    return Launch(index, len(tasks), "TF_CONFIG", hosts[index], here, addresses)


def _host(address: str) -> str:
    """That of ``host:port``, an IPv6 address without its brackets."""
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise UsageError("an address in TF_CONFIG", got=address, expected="host:port")
    return host.strip("[]")


def address_of(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_and_port(address: str) -> tuple[str, int]:
    """What ``address_of`` put together."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
