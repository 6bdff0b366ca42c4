"""Replicas of a run: the process group they meet in, the rows of a step that each has, and their common gradient.

Each replica cuts the plan's whole batches and takes its own rows of them, as DistributedSampler does, and computes its
own loss. DistributedDataParallel makes the mean of the replicas' gradients of that. What a plan calls ``rows``, the
gradient over all rows of the step, is then R · own rows / rows of the step times each replica's mean, and R times its
sum where the loss is a sum.

In the loop ``fsdp`` each replica keeps its part of each parameter, of its gradient and of what the optimizer keeps, by
``fully_shard``; the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from numpy.typing import NDArray
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from xframe.errors import UsageError, Verbatim
from xframe.plan.replicas import share
from xframe.plan.training_plan import TrainingPlan
from xframe.running.drive import Batch, Seen
from xframe.running.launch import host_and_port
from xframe.running.runtime import Replica, Runtime
from xframe.tasks import losses
from xframe.tasks.task import Task
from xframe_torch.evidence import weights_mark
from xframe_torch.layers.dropout import Dropout
from xframe_torch.model import Model
from xframe_torch.optim import base
from xframe_torch.pipeline import Gathered, Pipeline
from xframe_torch.step import TrainStep

_OVER_THE_BATCH = (nn.modules.batchnorm._BatchNorm,)
_DRAWING = (nn.modules.dropout._DropoutNd, nn.RReLU)


@contextmanager
def together(runtime: Runtime) -> Iterator[None]:
    """Meanwhile this process is one of the run's replicas; one that raises leaves the others without a word."""
    replica, cuda = runtime.replica, runtime.device == "cuda"
    if replica is None:
        yield
        return
    if cuda:
        _take_device(replica)
    replica.arrive()
    patience = timedelta(seconds=replica.patience)
    store = _store(replica, patience)
    distributed.init_process_group(
        "nccl" if cuda else "gloo", store=store, rank=replica.index, world_size=replica.of, timeout=patience
    )
    yield
    _wait(runtime)
    distributed.destroy_process_group()


def _store(replica: Replica, patience: timedelta) -> Any:
    """Where they exchange addresses."""
    if replica.here is None:
        return distributed.FileStore(replica.meeting, replica.of)  # type: ignore[attr-defined]
    host, port = host_and_port(replica.addresses[0])
    first = replica.index == 0  # says who listens: under torchrun nobody would, by tcp://
    return distributed.TCPStore(host, port, replica.of, is_master=first, timeout=patience)  # type: ignore[attr-defined]


def _wait(runtime: Runtime) -> None:
    """Until all replicas have come here."""
    assert runtime.replica is not None
    index, _ = runtime.replica.on_this_machine
    distributed.barrier(device_ids=[index] if runtime.device == "cuda" else None)


def _take_device(replica: Replica) -> None:
    """Makes the device of its index on this machine the process's."""
    index, of = replica.on_this_machine
    if torch.cuda.device_count() < of:
        raise UsageError(
            "each replica needs a CUDA device of its own",
            got=torch.cuda.device_count(),
            expected=f"{of} of them",
            remedy="Use fewer replicas, or --device cpu.",
        )
    torch.cuda.set_device(index)


def left_alone(error: Exception) -> bool:
    """Whether an error only says that another replica is gone, or was not heard of for too long."""
    text = str(error)
    return isinstance(error, distributed.DistError) or "gloo/transport" in text or "NCCL" in text


class Dealt(Gathered):
    """Of each batch a replica's own rows, with the number of all its rows beside them."""

    def __init__(self, samples: Any, plan: TrainingPlan, index: int) -> None:
        super().__init__(samples)
        self.plan, self.index = plan, index

    def __getitem__(self, indices: list[torch.Tensor]) -> tuple[tuple[Any, ...], ...]:
        own = [index[share(self.plan, len(index), self.index)] for index in indices]
        if any(map(len, own)):
            gathered = super().__getitem__(own)
        else:  # not all that reads samples can read none
            (one,) = super().__getitem__([indices[0][:1]])
            gathered = (tuple(values[:0] for values in one),) * len(own)
        return tuple((*batch, len(index)) for batch, index in zip(gathered, indices, strict=True))


class ReplicaPipeline(Pipeline):
    """Iterates over a replica's own rows of the batches of a run."""

    def gathered(self, data: Any) -> Gathered:
        assert self.replica is not None
        return Dealt(data, self.plan, self.replica.index)

    @staticmethod
    def rows(batch: tuple[Any, ...]) -> int:
        return int(batch[-1])

    @staticmethod
    def kind(place: Any, *batch: Any) -> Batch:
        return Batch(place, *batch[:-1])


class _Own(nn.Module):
    """A model, or where a replica has no row, zero as it depends on the model's parameters."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if len(features):
            outputs: torch.Tensor = self.module(features)
            return outputs
        parameters = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        return 0 * torch.stack([parameter.sum() for parameter in parameters]).sum()


class ReplicaStep(TrainStep):
    """The training step of one of several replicas."""

    def __init__(self, model: Model, task: Task, plan: TrainingPlan, runtime: Runtime) -> None:
        assert runtime.replica is not None
        _refuse_what_is_not_the_whole_steps(model, task)
        self.plan, self.replica, self.own_module = plan, runtime.replica, "torch" in task.builders
        self.summed = losses.of(task.loss).reduction == "sum"
        super().__init__(model, task, plan, runtime)
        self.dropouts = [module for module in model.module.modules() if isinstance(module, Dropout)]
        self.factor = 1.0  # of the loss, for the gradient

    def wrapped(self, module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        # A task's own module may leave parameters without a gradient, which are not to get one of zeros.
        return DistributedDataParallel(_Own(module), find_unused_parameters=self.own_module)

    def rows(self, batch: Batch) -> int:
        return batch.place.rows

    def __call__(self, batch: Batch) -> Seen:
        own, rows, replicas = len(batch.ids), batch.place.rows, self.replica.of
        by_rows = self.plan.replica_gradients == "rows"
        self.factor = 1.0 if not by_rows else replicas if self.summed else replicas * own / rows
        for dropout in self.dropouts:
            dropout.rows = torch.arange(rows, device=batch.ids.device)[share(self.plan, rows, self.replica.index)]
        seen = super().__call__(batch)
        # Of a sum, the step's as this replica's rows have it: then the mean by rows over all replicas is the step's.
        scale = rows / own if self.summed and by_rows and own else 1
        loss, accuracy = seen.loss.detach() * scale, seen.accuracy
        if not own:
            accuracy = None if accuracy is None else 0.0
        return seen._replace(loss=loss, accuracy=accuracy, weights_mark=self.mark())

    def outcome(self, features: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.module(features)
        if len(features):
            return self.loss(outputs, targets), outputs
        for dropout in self.dropouts:
            dropout.tick()
        return outputs, targets.new_zeros((*targets.shape, 1))

    def backward(self, loss: torch.Tensor, rows: int) -> None:
        super().backward(loss if self.factor == 1 else loss * self.factor, rows)

    def meet(self) -> None:
        """Waits until all replicas have made as many steps."""
        _wait(self.runtime)

    def native(self) -> Mapping[str, NDArray[Any]]:
        """Nothing: random generators are each process's own."""
        return {}

    def mark(self) -> torch.Tensor | None:
        """See ``Recorder.step``; None where a replica has a part of the weights."""
        return weights_mark(self.parameters)


class ShardedStep(ReplicaStep):
    """The training step of a replica that keeps its part of all parameters."""

    def __init__(self, model: Model, task: Task, plan: TrainingPlan, runtime: Runtime) -> None:
        self.whole = model
        super().__init__(model, task, plan, runtime)
        if isinstance(self.optimizer, base.Optimizer):
            raise UsageError(
                "loop 'fsdp' has no such update rule for parameters of which each replica keeps a part",
                got=task.optimizer,
                expected="one that torch.optim has itself",
                remedy="Use the loop eager.",
            )

    def wrapped(self, module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """All that is trained becomes parts, under the same names."""
        model, names = self.whole, {id(held): name for name, held in module.named_parameters()}
        root = _Own(module)
        fully_shard(root, mesh=init_device_mesh(self.runtime.device, (self.replica.of,)))
        parts = {
            name: one._replace(tensor=module.get_parameter(names[id(one.tensor)]))
            for name, one in model.parameters.items()
            if id(one.tensor) in names
        }
        model.parameters |= parts
        model.final = dict(model.parameters)
        model.trained = {name: parts[name] for name in model.trained}
        model.module = root  # what validates goes through it too
        return root

    def mark(self) -> None:
        """None: there is one of each part."""


def _refuse_what_is_not_the_whole_steps(model: Model, task: Task) -> None:
    """Of a task's own module: what its text does not show before it is made."""
    if "torch" not in task.builders:
        return
    for name, module in model.module.named_modules():
        drawing = isinstance(module, _DRAWING) or getattr(module, "dropout", False)
        if drawing or isinstance(module, _OVER_THE_BATCH):
            what = "draws random numbers, each replica others" if drawing else "has statistics of a replica's own rows"
            raise UsageError(
                f"replicas of task {task.name!r} are not the run that one process makes",
                got=Verbatim(f"{name}, a {type(module).__name__}, which {what}"),
                expected="a model whose outputs for a sample depend on that sample alone",
            )
