"""Which replica of a run a process is, and where it records: each has its own file in the run's folder.

What a caller says beats all. Without it the process group of ``torch.distributed`` is asked if one is there, then what
``torchrun`` and other launchers set (``RANK``, ``WORLD_SIZE``), then ``TF_CONFIG``. So ranks never share one file.

Each also states what tells its run from others, as far as it is known: a token that the caller gives, or that whoever
comes first puts into the process group's store; and what the launcher set alike for all, addresses apart, since a
process may know another one by a name of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xframe.errors import UsageError, Verbatim, unwritable
from xframe.trace.ranks import rank_path
from xframe.trace.source import exists_already
from xframe.trace.stated import MOST_CHARACTERS

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan

Place = tuple[int, int]  # a replica's index, and of how many
ALONE: Place = (0, 1)


def which(replica: Place | None = None) -> Place:
    """Which replica this process is: as it is said, else as it can be found; ``ALONE`` where there is one.

    Raises:
        UsageError: what is said is no index of that many.
    """
    if replica is None:
        return _of_torch() or _of_launcher(os.environ) or _of_tensorflow(os.environ) or ALONE
    try:
        index, of = replica
        if type(index) is int and type(of) is int and 0 <= index < of:
            return index, of
    except (TypeError, ValueError):
        pass
    expected = "(index, of how many), the index from 0, as (0, 2) and (1, 2); (0, 1) is a run of one process"
    raise UsageError("the replica", got=Verbatim(replica), expected=expected)


def _of_torch() -> Place | None:
    """As the process group says, where there is one."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return int(distributed.get_rank()), int(distributed.get_world_size())


def _of_launcher(environment: Mapping[str, str]) -> Place | None:
    index, of = environment.get("RANK", ""), environment.get("WORLD_SIZE", "")
    if not (index.isdecimal() and of.isdecimal()) or int(index) >= int(of):
        return None
    return int(index), int(of)


def _of_tensorflow(environment: Mapping[str, str]) -> Place | None:
    """The place of this task among chief and workers; None for one that does not train."""
    try:
        config = json.loads(environment.get("TF_CONFIG") or "{}")
        tasks = [
            (kind, index) for kind in ("chief", "worker") for index, _ in enumerate(config["cluster"].get(kind, ()))
        ]
        return tasks.index((config["task"]["type"], int(config["task"]["index"]))), len(tasks)
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def own_path(path: Path) -> Path:
    """Where this process records: a replica to its own file in the folder of that name."""
    index, of = which()
    return path if of == 1 else rank_path(path, index)


def file_of(path: Path, replica: Place) -> Path:
    """The file that a replica records to, in a folder that is made if need be; of one process the path itself.

    Raises:
        UsageError: the folder is no folder, or cannot be made.
    """
    if replica[1] == 1:
        return path
    try:
        path.mkdir(exist_ok=True)
    except FileExistsError:
        raise exists_already(path) from None
    except OSError as error:
        raise unwritable("make the folder of the replicas' traces", path, error) from None
    return rank_path(path, replica[0])


def told_apart(replica: Place, token: Any = None) -> dict[str, str]:
    """What replicas of one run state alike, and those of another one hardly: a token, the launcher's words, or nothing.

    Raises:
        UsageError: the token that is given is no short text.
    """
    if token is not None and not (type(token) is str and 0 < len(token) <= MOST_CHARACTERS):
        expected = f"a text of up to {MOST_CHARACTERS} characters that is this run's alone"
        raise UsageError("the metadata's replica_run", got=Verbatim(token), expected=expected)
    found = {"token": token or _token_of_group(replica), "launcher": _launch(os.environ, replica)}
    return {name: one for name, one in found.items() if one}


def _token_of_group(replica: Place) -> str | None:
    """What all of torch's group agree on without waiting for each other; None where the replicas are no such group."""
    if _of_torch() != replica:
        return None
    try:
        store = sys.modules["torch.distributed"].distributed_c10d._get_default_store()
        token = store.compare_set("xframe run", "", secrets.token_hex(16)).decode()
    except (AttributeError, LookupError, RuntimeError, ValueError):  # a version, or a store, without it
        return None
    return token[:MOST_CHARACTERS] or None


def _launch(environment: Mapping[str, str], replica: Place) -> str | None:
    """What the launcher that has started this replica set for all of them."""
    if _of_launcher(environment) == replica:
        told = [f"{name}={environment[name]}" for name in ("TORCHELASTIC_RUN_ID", "MASTER_PORT") if name in environment]
    elif _of_tensorflow(environment) == replica:
        cluster = json.loads(environment["TF_CONFIG"])["cluster"]
        ports = [str(one).rpartition(":")[2] for kind in ("chief", "worker") for one in cluster.get(kind, ())]
        told = [f"TF_CONFIG={','.join(ports)}"]
    else:
        return None
    return " ".join(told).encode(errors="replace").decode()[:MOST_CHARACTERS] or None


def stated(
    replica: Place,
    plan: TrainingPlan | None,
    split: str | None = None,
    losses: str | None = None,
    token: str | None = None,
) -> dict[str, Any]:
    """What the trace of a replica states of it; nothing where there is one.

    Args:
        replica, plan: those.
        split: how a step's rows are dealt, where no plan says it.
        losses: ``sum`` where a step's loss is the sum of its replicas'; None: their mean by rows.
        token: a text that all replicas of the run are given, and those of no other run.

    Raises:
        UsageError: losses are put together in no way that there is; the token is no short text.
    """
    if losses not in (None, "sum"):
        expected = "'sum', or nothing for their mean by rows"
        raise UsageError("the metadata's replica_losses", got=losses, expected=expected)
    index, of = replica
    if of == 1:
        return {}
    planned = plan is not None and plan.replicas == of
    told = told_apart(replica, token)
    return {
        "replica": {
            "index": index,
            "of": of,
            "split": plan.replica_split if plan is not None and planned else split,
            "gradients": plan.replica_gradients if plan is not None and planned else None,
            **({} if losses is None else {"losses": losses}),
            **({"run": told} if told else {}),
        }
    }
