"""Which replica of a run a process is, and where it records: each has its own file in the run's folder.

What a caller says beats all. Without it the process group of ``torch.distributed`` is asked if one is there, then what
``torchrun`` and other launchers set (``RANK``, ``WORLD_SIZE``), then ``TF_CONFIG``. So ranks never share one file.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xframe.errors import UsageError, Verbatim, unwritable
from xframe.trace.ranks import rank_path
from xframe.trace.source import exists_already

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


def stated(
    replica: Place, plan: TrainingPlan | None, split: str | None = None, losses: str | None = None
) -> dict[str, Any]:
    """What the trace of a replica states of it; nothing where there is one.

    Args:
        replica, plan: those.
        split: how a step's rows are dealt, where no plan says it.
        losses: ``sum`` where a step's loss is the sum of its replicas'; None: their mean by rows.

    Raises:
        UsageError: losses are put together in no way that there is.
    """
    if losses not in (None, "sum"):
        expected = "'sum', or nothing for their mean by rows"
        raise UsageError("the metadata's replica_losses", got=losses, expected=expected)
    index, of = replica
    if of == 1:
        return {}
    planned = plan is not None and plan.replicas == of
    return {
        "replica": {
            "index": index,
            "of": of,
            "split": plan.replica_split if plan is not None and planned else split,
            "gradients": plan.replica_gradients if plan is not None and planned else None,
            **({} if losses is None else {"losses": losses}),
        }
    }
