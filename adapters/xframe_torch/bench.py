"""The loops people use with PyTorch, for ``xframe bench``: written as their tutorials write them.

None records anything. Each is a function of a workload and a gate that trains for ever and meets the gate after each
epoch. What they import they import when they run, since the list of them is made where no framework may be loaded.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

from xframe.bench.worker import THREADS, Gate, Loop, Workload
from xframe.tasks.builtin import bench_mlp
from xframe.tasks.optimizers import SGD
from xframe.tasks.task import Task


def loops(task: Task) -> tuple[Loop, ...]:
    """The loops that can train this task: all of them the perceptron, the bare ones what has a model here."""
    if task.name not in _MODELS:
        return ()
    return tuple(loop for loop in _LOOPS if loop.bare or task.name == bench_mlp.task.name)


def _mlp() -> Any:
    from torch import nn

    inputs, hidden, outputs = bench_mlp.SIZES
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def _cnn() -> Any:
    from torch import nn

    class Images(nn.Module):
        """From channels last, as the data have them, and back."""

        def __init__(self, *modules: nn.Module) -> None:
            super().__init__()
            self.modules_ = nn.Sequential(*modules)

        def forward(self, images: Any) -> Any:
            return self.modules_(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    first = nn.Conv2d(1, 16, 3, padding="same", bias=False), nn.BatchNorm2d(16), nn.Tanh(), nn.AvgPool2d(2)
    second = nn.Conv2d(16, 32, 3, padding="same"), nn.Tanh(), nn.AvgPool2d(2)
    return nn.Sequential(Images(*first, *second), nn.Flatten(), nn.Linear(2 * 2 * 32, 10))


_MODELS = {bench_mlp.task.name: _mlp, "digits-cnn": _cnn}  # by task


def _parts(workload: Workload) -> tuple[Any, ...]:
    """Features, targets, model, optimizer and loss."""
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    x, y = map(torch.from_numpy, workload.data())
    model = _MODELS[workload.task.name]()
    rule = workload.task.optimizer
    assert isinstance(rule, SGD)
    optimizer = torch.optim.SGD(model.parameters(), lr=rule.rate(0), momentum=rule.momentum)
    return x, y, model, optimizer, torch.nn.CrossEntropyLoss()


def _loader(workload: Workload, *tensors: Any) -> Any:
    from torch.utils.data import DataLoader, TensorDataset

    return DataLoader(TensorDataset(*tensors), batch_size=workload.batch_size, shuffle=True)


def _indexed(workload: Workload, gate: Gate) -> None:
    import torch

    x, y, model, optimizer, loss_fn = _parts(workload)
    while True:
        order = torch.randperm(workload.num_samples)
        for start in workload.starts:
            chosen = order[start : start + workload.batch_size]
            optimizer.zero_grad()
            loss_fn(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
        gate.meet(len(workload.starts))


def _slices(workload: Workload, gate: Gate) -> None:
    x, y, model, optimizer, loss_fn = _parts(workload)
    while True:
        for start in workload.starts:
            end = start + workload.batch_size
            optimizer.zero_grad()
            loss_fn(model(x[start:end]), y[start:end]).backward()
            optimizer.step()
        gate.meet(len(workload.starts))


def _dataloader(workload: Workload, gate: Gate) -> None:
    x, y, model, optimizer, loss_fn = _parts(workload)
    loader = _loader(workload, x, y)
    while True:
        for features, targets in loader:
            optimizer.zero_grad()
            loss_fn(model(features), targets).backward()
            optimizer.step()
        gate.meet(len(workload.starts))


def _accelerate(workload: Workload, gate: Gate) -> None:
    from accelerate import Accelerator

    x, y, model, optimizer, loss_fn = _parts(workload)
    accelerator = Accelerator(cpu=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, _loader(workload, x, y))
    while True:
        for features, targets in loader:
            optimizer.zero_grad()
            accelerator.backward(loss_fn(model(features), targets))
            optimizer.step()
        gate.meet(len(workload.starts))


def _ignite(workload: Workload, gate: Gate) -> None:
    from ignite.engine import Events, create_supervised_trainer

    x, y, model, optimizer, loss_fn = _parts(workload)
    trainer = create_supervised_trainer(model, optimizer, loss_fn)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: gate.meet(len(workload.starts)))
    trainer.run(_loader(workload, x, y), max_epochs=10**9)


def _lightning(workload: Workload, gate: Gate) -> None:
    import lightning

    x, y, model, optimizer, loss_fn = _parts(workload)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # of workers and of max_epochs

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, index: int) -> Any:
            return loss_fn(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return optimizer

        def on_train_epoch_end(self) -> None:
            gate.meet(len(workload.starts))

    trainer = lightning.Trainer(
        max_epochs=-1,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=workload.folder,
    )
    trainer.fit(Module(), _loader(workload, x, y))


def _transformers(workload: Workload, gate: Gate) -> None:
    import torch
    import transformers

    x, y, model, optimizer, loss_fn = _parts(workload)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: Any = None, labels: Any = None) -> dict[str, Any]:
            return {"loss": loss_fn(self.model(features), labels)}

    class Samples(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"features": x[index], "labels": y[index]}

    class AtGate(transformers.TrainerCallback):  # type: ignore[misc]
        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            gate.meet(len(workload.starts))

    arguments = transformers.TrainingArguments(
        str(workload.folder),
        per_device_train_batch_size=workload.batch_size,
        num_train_epochs=10**6,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,  # no clipping: the same work as in the other loops
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(
        Model(), arguments, train_dataset=Samples(), optimizers=(optimizer, None), callbacks=[AtGate()]
    )
    trainer.train()


_LOOPS = (
    Loop("torch-indexed", "bare loop, shuffled index batches", _indexed, base=True, bare=True, twin_of=("eager",)),
    Loop("torch-slices", "bare loop, slices in order", _slices, bare=True),
    Loop("torch-dataloader", "DataLoader over a TensorDataset", _dataloader, bare=True, twin_of=("loader",)),
    Loop("ignite", "Ignite's supervised trainer", _ignite, ("ignite",), twin_of=("ignite",)),
    Loop("accelerate", "Accelerate", _accelerate, ("accelerate",), twin_of=("accelerate",)),
    Loop("lightning", "Lightning's Trainer", _lightning, ("lightning",), twin_of=("lightning",)),
    Loop(
        "transformers",
        "Transformers' Trainer",
        _transformers,
        ("transformers", "accelerate"),
        twin_of=("transformers",),
    ),
)
