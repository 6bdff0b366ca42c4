"""What the trainers' own engines deal to each of several replicas, beside what the plans of their presets say.

Nothing is trained: the ids are those that come out of each replica's data loader, or distributed data set.
``python dealing.py RANK REPLICAS RENDEZVOUS``, ``python dealing.py worker RANK ADDRESSES`` and ``python dealing.py
mirrored`` are the processes of ``ENGINES``; they read configurations from their input, a JSON list, and print what they
saw.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Arguments = dict[str, Any]
Case = tuple[int, Arguments]  # number of samples, and the arguments of the preset
Dealt = list[list[list[int]]]  # by replica, the ids of each of its steps
PASSES = 2


@dataclass
class Dealing:
    """How often an engine and its preset were compared, and what came of it."""

    engine: str
    compared: int = 0
    refused: int = 0
    mismatches: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return f"{self.engine}: {self.compared} random configurations, {self.refused} more refused by name"


def agree(engine: str, size: int, seed: int) -> Dealing:
    """Draws until that many configurations were compared; those refused must be such that replicas part in steps."""
    import xframe
    from xframe.errors import UsageError

    trainer, draw, watch = ENGINES[engine]
    result, rng, cases, plans = Dealing(engine), random.Random(f"{engine} {seed}"), [], []
    while len(plans) - plans.count(None) < size:
        n, arguments = draw(rng)
        try:
            plans.append(xframe.TrainingPlan.like(trainer, num_samples=n, order="sequential", **arguments))
        except UsageError as error:
            if "empty" in error.what or "no sample" in error.what:
                continue  # the engine has no step at all
            plans.append(None)
        cases.append((n, arguments))
    for plan, (n, arguments), dealt in zip(plans, cases, watch(cases), strict=True):
        result.refused += plan is None
        result.compared += plan is not None
        problem = lengths_agree(dealt) if plan is None else compare(plan, n, dealt)
        if problem:
            result.mismatches.append(f"{engine} with {n} samples and {arguments}: {problem}")
    return result


def lengths_agree(dealt: Dealt) -> str | None:
    """Of what a preset refuses: that all replicas have rows in each step, which a plan could have said."""
    return "refused, though all replicas make the same steps" if len({len(steps) for steps in dealt}) == 1 else None


def compare(plan: Any, num_samples: int, dealt: Dealt) -> str | None:
    """Where the plan and an engine part, or None. An engine may have no step for a replica without rows."""
    from xframe.plan.replicas import share

    planned = list(plan.each_step(num_samples))
    for replica, steps in enumerate(dealt):
        expected = [step.sample_ids[share(plan, len(step.sample_ids), replica)].tolist() for step in planned]
        for index, (mine, theirs) in enumerate(zip(expected, steps, strict=False)):
            if mine != theirs:
                return f"step {index}: replica {replica} is planned {mine}, the engine deals {theirs}"
        if len(expected) != len(steps):
            return f"replica {replica} is planned {len(expected)} steps, the engine deals {len(steps)}"
    return None if len(dealt) == plan.replicas else f"{plan.replicas} replicas are planned, there are {len(dealt)}"


# Configurations


def _sizes(rng: random.Random) -> tuple[int, int, int]:
    """Samples, batch size and replicas; some are fewer samples than replicas, or just a batch of each."""
    replicas, batch = rng.choice([2, 2, 3, 4]), rng.randint(1, 9)
    total = replicas * batch
    samples = rng.choice([rng.randint(1, 70), rng.randint(1, 70), rng.randint(1, 2 * total), total * rng.randint(1, 3)])
    return samples, batch, replicas


def _pytorch(rng: random.Random) -> Case:
    n, b, replicas = _sizes(rng)
    drops = {"drop_last": rng.random() < 0.4, "sampler_drop_last": rng.random() < 0.4}
    return n, {"batch_size": b, "epochs": PASSES, "world_size": replicas, **drops}


def _lightning(rng: random.Random) -> Case:
    n, b, replicas = _sizes(rng)
    return n, {"batch_size": b, "max_epochs": PASSES, "devices": replicas, "drop_last": rng.random() < 0.4}


def _accelerate(rng: random.Random) -> Case:
    n, b, replicas = _sizes(rng)
    split, dispatch = rng.random() < 0.3, rng.random() < 0.3
    arguments = {
        "batch_size": b * replicas if split else b,
        "num_epochs": PASSES,
        "num_processes": replicas,
        "split_batches": split,
        "dispatch_batches": dispatch,
        "even_batches": rng.random() < 0.6,
        "drop_last": rng.random() < 0.3,
    }
    return max(n, replicas) if dispatch else n, arguments


def _mirrored(rng: random.Random) -> Case:
    n, b, replicas = _sizes(rng)
    policy = rng.choice(["AUTO", "DATA", "OFF"])
    size = b * replicas if policy == "OFF" or rng.random() < 0.3 else rng.randint(1, 20)
    arguments = {"batch_size": size, "epochs": 1, "drop_remainder": rng.random() < 0.3}
    return n, {**arguments, "num_replicas_in_sync": replicas, "auto_shard_policy": policy}


def _workers(rng: random.Random) -> Case:
    n, given = _mirrored(rng)
    return n, {**given, "auto_shard_policy": rng.choice(["AUTO", "DATA"])}


# Engines


def _torch_loaders(cases: list[Case]) -> list[Dealt]:
    """PyTorch's ``DistributedSampler`` under a ``DataLoader``."""
    from torch.utils.data import DataLoader, DistributedSampler

    def dealt(n: int, given: Arguments, rank: int) -> list[list[int]]:
        drop = given["sampler_drop_last"]
        sampler = DistributedSampler(range(n), given["world_size"], rank, shuffle=False, drop_last=drop)
        return _ids(DataLoader(range(n), given["batch_size"], sampler=sampler, drop_last=given["drop_last"]))

    return [[dealt(n, given, rank) for rank in range(given["world_size"])] for n, given in cases]


def _lightning_loaders(cases: list[Case]) -> list[Dealt]:
    """The loader that Lightning makes of a script's; in order, as it does with ``overfit_batches``."""
    from lightning.pytorch.trainer.connectors.data_connector import _get_distributed_sampler
    from lightning.pytorch.utilities.data import _update_dataloader
    from torch.utils.data import DataLoader

    def dealt(n: int, given: Arguments, rank: int) -> list[list[int]]:
        loader = DataLoader(range(n), given["batch_size"], drop_last=given["drop_last"])
        of = {"num_replicas": given["devices"], "rank": rank}
        return _ids(_update_dataloader(loader, _get_distributed_sampler(loader, True, 1, **of)))

    return [[dealt(n, given, rank) for rank in range(given["devices"])] for n, given in cases]


def _ids(loader: Any) -> list[list[int]]:
    return [batch.tolist() for _ in range(PASSES) for batch in loader]


def _accelerate_ranks(cases: list[Case]) -> list[Dealt]:
    """Accelerate's loaders, each rank a process; a group of them for each number of processes."""

    def started(replicas: int, folder: Path) -> list[subprocess.Popen[str]]:
        return [_started(str(rank), str(replicas), str(folder / "rendezvous")) for rank in range(replicas)]

    return _by_replicas(cases, "num_processes", started)


def _workers_replicas(cases: list[Case]) -> list[Dealt]:
    """``experimental_distribute_dataset`` of MultiWorkerMirroredStrategy, each worker a process."""

    def started(replicas: int, _: Path) -> list[subprocess.Popen[str]]:
        with ExitStack() as held:
            ports = [
                held.enter_context(socket.create_server(("localhost", 0))).getsockname()[1] for _ in range(replicas)
            ]
        addresses = ",".join(f"localhost:{port}" for port in ports)
        return [_started("worker", str(rank), addresses) for rank in range(replicas)]

    return _by_replicas(cases, "num_replicas_in_sync", started)


def _by_replicas(
    cases: list[Case], named: str, started: Callable[[int, Path], list[subprocess.Popen[str]]]
) -> list[Dealt]:
    """What each case's replicas are dealt, by a group of processes for each number of replicas."""
    dealt: list[Dealt] = [[] for _ in cases]
    for replicas in {given[named] for _, given in cases}:
        places = [i for i, (_, given) in enumerate(cases) if given[named] == replicas]
        with tempfile.TemporaryDirectory() as folder:
            seen = _answers(started(replicas, Path(folder)), [cases[i] for i in places])
        for place, *of_ranks in zip(places, *seen, strict=True):
            dealt[place] = list(of_ranks)
    return dealt


def _mirrored_replicas(cases: list[Case]) -> list[Dealt]:
    """``experimental_distribute_dataset`` of MirroredStrategy on as many devices, made before all else."""
    return _answers([_started("mirrored")], cases)[0]


def _started(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    environment["LOCAL_RANK"] = arguments[0]
    command = [sys.executable, __file__, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def _answers(processes: list[subprocess.Popen[str]], cases: list[Case]) -> list[Any]:
    """What each of the processes saw of all cases; none of them is left."""
    text = json.dumps(cases)
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(text)
            process.stdin.close()
            process.stdin = None
        ended = [process.communicate(timeout=1800) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for process, (_, errors) in zip(processes, ended, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [json.loads(printed.splitlines()[-1]) for printed, _ in ended]


def _rank(rank: int, replicas: int, rendezvous: str, cases: list[Case]) -> list[list[list[int]]]:
    """What Accelerate deals to one rank."""
    import torch.distributed as dist
    from accelerate import PartialState
    from accelerate.data_loader import prepare_data_loader
    from torch.utils.data import DataLoader

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(replicas), "LOCAL_WORLD_SIZE": str(replicas)}
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=replicas)
    assert PartialState(cpu=True).num_processes == replicas
    seen = []
    for n, given in cases:
        names = ("split_batches", "dispatch_batches", "even_batches")
        loader = DataLoader(range(n), given["batch_size"], drop_last=given["drop_last"])  # type: ignore[arg-type, var-annotated]
        prepared = prepare_data_loader(loader, put_on_device=True, **{name: given[name] for name in names})
        seen.append(_ids(prepared))
    dist.barrier()
    return seen


def _mirror(cases: list[Case]) -> list[Dealt]:
    """What MirroredStrategy deals to its replicas."""
    import tensorflow as tf

    devices = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 4)
    strategies = {r: tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(r)]) for r in (2, 3, 4)}
    return [_shared(strategies[given["num_replicas_in_sync"]], n, given) for n, given in cases]


def _worker(rank: int, addresses: list[str], cases: list[Case]) -> list[list[list[int]]]:
    """What MultiWorkerMirroredStrategy deals to one worker."""
    task = {"type": "worker", "index": rank}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    assert strategy.num_replicas_in_sync == len(addresses)
    return [_shared(strategy, n, given)[0] for n, given in cases]


def _shared(strategy: Any, n: int, given: Arguments) -> Dealt:
    """What a strategy deals to its replicas in this process."""
    import tensorflow as tf

    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy[given["auto_shard_policy"]]
    options.experimental_distribute.auto_shard_policy = policy
    rows = tf.data.Dataset.range(n).batch(given["batch_size"], drop_remainder=given["drop_remainder"])
    shared = strategy.experimental_distribute_dataset(rows.with_options(options))
    steps = [[ids.numpy().tolist() for ids in strategy.experimental_local_results(batch)] for batch in shared]
    here = len(strategy.extended.worker_devices)
    return [[step[replica] for step in steps] for replica in range(here)]


# By name: the preset, how a configuration is drawn, and what its replicas are dealt.
ENGINES: dict[str, tuple[str, Callable[[random.Random], Case], Callable[[list[Case]], list[Dealt]]]] = {
    "DistributedSampler": ("pytorch", _pytorch, _torch_loaders),
    "Lightning": ("lightning", _lightning, _lightning_loaders),
    "Accelerate": ("accelerate", _accelerate, _accelerate_ranks),
    "MirroredStrategy": ("tf_distribute", _mirrored, _mirrored_replicas),
    "MultiWorkerMirroredStrategy": ("tf_distribute", _workers, _workers_replicas),
}


def main() -> None:
    cases = json.load(sys.stdin)
    if sys.argv[1] == "mirrored":
        print(json.dumps(_mirror(cases)))
    elif sys.argv[1] == "worker":
        print(json.dumps(_worker(int(sys.argv[2]), sys.argv[3].split(","), cases)))
    else:
        rank, replicas, rendezvous = sys.argv[1:]
        print(json.dumps(_rank(int(rank), int(replicas), rendezvous, cases)))
    sys.stdout.flush()
    os._exit(0)  # what the frameworks' own threads do at the end says nothing of the samples


if __name__ == "__main__":
    main()
