"""The torch side: loops over a DataLoader, over slices of a permutation, over an endless stream."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler as schedules
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler, Subset, TensorDataset, WeightedRandomSampler
from xframe_torch import UpdateCounter

import xframe
from pairs import drawing
from pairs.noting import Notes
from pairs.script import Script, data, weights

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


class Rows(nn.Module):
    """Reads a digit row by row. Keras' LSTM has one bias where torch has two, so the second one is not trained."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.kept, self.state = script.state == "kept", None
        self.lstm = nn.LSTM(8, 32, batch_first=script.batch_first)
        self.dense = nn.Linear(32, 10)
        self.lstm.bias_hh_l0.requires_grad_(False).zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output, state = self.lstm(x.reshape(-1, 8, 8), self.state)
        if self.kept:
            self.state = tuple(one.detach() for one in state)
        return self.dense(output[:, -1])


class Training:
    """Model, loss, optimizer, schedule: what all torch loops share, with the step."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.model = model_of(script)
        self.tensors = tensors_of(self.model)
        start = weights(script)
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(torch.from_numpy(start[name].T))
        self.loss_fn = nn.CrossEntropyLoss(reduction=script.reduction, label_smoothing=script.smoothing)
        self.optimizer = optimizer_of(script, self.model)
        self.scheduler = scheduler_of(script, self.optimizer)
        self.counter = UpdateCounter(self.optimizer) if script.closure else None
        for _ in range(script.early):
            self.scheduler.step()
        self.steps = self.updates = 0
        self.begun = script.window - 1 if script.late else 0
        self.open = self.begun  # steps in the window

    @property
    def rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self, notes: Notes, x: Any, y: Any, ids: Any, *, epoch: int, last: bool) -> None:
        """One training step, recorded; ``last`` of its epoch."""
        script, rate, before = self.script, self.rate, self.updates
        if script.closure:
            loss = self.optimizer.step(lambda: self.backward(x, y))
            accuracy = None
            self.updates += 1
        else:
            output = self.model(x)
            loss = self.loss_fn(output, y)
            (loss / script.window if script.divisor == "window" else loss).backward()
            accuracy = float((output.argmax(1) == y).float().mean())
            if self.due(last):
                self.update()
        if script.clock == "steps":
            self.scheduler.step()
        self.steps += 1
        now = self.counter if self.counter is not None else self.updates
        notes.step(
            ids=ids,
            loss=loss,
            updates=(before, now),
            rate=(rate, self.rate),
            epoch=epoch,
            accuracy=accuracy,
        )

    def backward(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.loss_fn(self.model(x), y)
        loss.backward()
        return loss

    def due(self, last: bool) -> bool:
        """Whether the window is over."""
        script = self.script
        self.open += 1
        due = self.open == script.window or (last and script.leftover == "flush")
        if due:
            self.open = 0
        if last and script.leftover != "carry":
            self.open = self.begun
        if last and not due and script.leftover == "drop":
            self.optimizer.zero_grad()
        return due

    def update(self) -> None:
        script = self.script
        if self.steps == script.skipped:
            self.optimizer.zero_grad()
            return
        parameters = list(self.model.parameters())
        if script.clip == "global":
            nn.utils.clip_grad_norm_(parameters, script.norm)
        for parameter in parameters if script.clip == "tensor" else ():
            nn.utils.clip_grad_norm_([parameter], script.norm)
        for _ in range(2 if self.steps == script.doubled else 1):
            self.optimizer.step()
            self.updates += 1
            if script.clock == "updates":
                self.scheduler.step()
        if script.zeroes:
            self.optimizer.zero_grad()

    def end(self, notes: Notes) -> None:
        notes.weights({name: tensor.detach().numpy().T for name, tensor in self.tensors.items()})


def model_of(script: Script) -> nn.Module:
    if script.model == "lstm":
        return Rows(script)
    model = nn.Sequential(nn.Linear(64, 32), ACTIVATIONS[script.activation](), nn.Linear(32, 10))
    return model.append(nn.Softmax(dim=1)) if script.softmax else model


def tensors_of(model: Any) -> dict[str, torch.Tensor]:
    """The tensors of each weight; torch keeps matrices the other way round."""
    if isinstance(model, Rows):
        lstm, last = model.lstm, model.dense
        first = {
            "lstm/kernel": lstm.weight_ih_l0,
            "lstm/recurrent": lstm.weight_hh_l0,
            "lstm/bias": lstm.bias_ih_l0,
        }
    else:
        last = model[2]
        first = {"dense_0/kernel": model[0].weight, "dense_0/bias": model[0].bias}
    return {**first, "dense_1/kernel": last.weight, "dense_1/bias": last.bias}


def optimizer_of(script: Script, model: nn.Module) -> torch.optim.Optimizer:
    betas = (script.beta, 0.999)
    parameters = [one for one in model.parameters() if one.requires_grad]
    if script.optimizer == "adam":
        return torch.optim.Adam(parameters, script.rate, betas=betas, eps=script.epsilon, weight_decay=script.decay)
    if script.optimizer == "adamw":
        return torch.optim.AdamW(parameters, script.rate, betas=betas, eps=script.epsilon, weight_decay=script.decay)
    return torch.optim.SGD(
        parameters, script.rate, momentum=script.momentum, nesterov=script.nesterov, weight_decay=script.decay
    )


def scheduler_of(script: Script, optimizer: torch.optim.Optimizer) -> Any:
    ticks, rate = script.ticks, script.rate
    warm = max(ticks // 5, 1)
    kinds: dict[str, Callable[[], Any]] = {
        "constant": lambda: schedules.LambdaLR(optimizer, lambda tick: 1.0),
        "step": lambda: schedules.StepLR(optimizer, ticks, gamma=script.factor),
        "exponential": lambda: schedules.ExponentialLR(optimizer, gamma=script.factor ** (1 / ticks)),
        "piecewise": lambda: schedules.MultiStepLR(optimizer, [ticks // 2, ticks], gamma=script.factor),
        "polynomial": lambda: schedules.PolynomialLR(optimizer, ticks, power=2.0),
        "inverse time": lambda: schedules.LambdaLR(optimizer, lambda tick: 1 / (1 + script.factor * tick / ticks)),
        "cosine": lambda: schedules.CosineAnnealingLR(optimizer, ticks),
        "restarts": lambda: schedules.CosineAnnealingWarmRestarts(optimizer, ticks),
        "warmup": lambda: schedules.SequentialLR(
            optimizer,
            [
                schedules.LinearLR(optimizer, 0.1, total_iters=warm),
                schedules.CosineAnnealingLR(optimizer, ticks - warm),
            ],
            [warm],
        ),
        "one cycle": lambda: schedules.OneCycleLR(optimizer, rate, ticks, cycle_momentum=False),
        "linear warmup": lambda: schedules.LambdaLR(optimizer, lambda tick: min((tick + 1) / ticks, 1.0)),
        "sine": lambda: schedules.LambdaLR(optimizer, lambda tick: 0.5 + 0.5 * math.cos(math.pi * tick / ticks)),
    }
    return kinds[script.schedule]()


def tensors(script: Script) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All samples and their ids: the training samples first."""
    x, y, _, _ = data(script)
    return torch.from_numpy(x), torch.from_numpy(y), torch.arange(len(x))


def loaders(script: Script) -> Iterator[DataLoader[Any]]:
    """A DataLoader for each epoch."""
    dataset = TensorDataset(*tensors(script))
    of_batch = {"batch_size": script.batch, "drop_last": script.last == "drop"}
    if script.order == "saved" or (script.order == "plan" and script.drawn) or script.last == "pad":
        for order in drawing.orders(script):
            yield DataLoader(dataset, sampler=order.tolist(), **of_batch)
    if script.order == "plan":
        loader: DataLoader[Any] = DataLoader(
            dataset, sampler=xframe.sampler(drawing.order_of(script), script.n), **of_batch
        )
        while True:
            yield loader
    torch.manual_seed(script.seed)
    name, *numbers = script.drawn or ("",)
    training = Subset(dataset, range(numbers[0] if name == "subset" else script.n + sum(numbers)))
    loader = own_loader(script, name, training, of_batch)
    for epoch in itertools.count():
        if isinstance(loader.sampler, DistributedSampler):
            loader.sampler.set_epoch(epoch)
        yield loader


def own_loader(script: Script, name: str, training: Any, of_batch: dict[str, Any]) -> DataLoader[Any]:
    """A loader that shuffles by itself."""
    if name in ("", "subset", "foreign"):
        return DataLoader(training, shuffle=True, **of_batch)
    if name == "sequential":
        return DataLoader(training, **of_batch)
    samplers: dict[str, Callable[[], Any]] = {
        "replacement": lambda: RandomSampler(training, replacement=True),
        "weighted": lambda: WeightedRandomSampler((1.0 + np.arange(script.n) % 10).tolist(), script.n),
        "rank": lambda: DistributedSampler(training, num_replicas=2, rank=0, seed=script.seed),
    }
    if name in samplers:
        return DataLoader(training, sampler=samplers[name](), **of_batch)
    passes = drawing.orders(script)
    return DataLoader(training, sampler=Again(passes), **of_batch)


class Again:
    """A sampler of a user's own: each iteration takes the next order."""

    def __init__(self, passes: Iterator[Any]) -> None:
        self.passes = passes

    def __iter__(self) -> Iterator[int]:
        return iter(next(self.passes).tolist())


def slices(script: Script) -> Iterator[Iterable[Any]]:
    """The batches of each epoch, cut out of a permutation by hand."""
    x, y, ids = tensors(script)
    for order in drawing.orders(script):
        yield ((x[i], y[i], ids[i]) for i in map(torch.from_numpy, drawing.sizes(script, order)))


def by_epochs(script: Script, path: str) -> None:
    """The loop over epochs and batches, with validation and early stopping where the script has them."""
    training = Training(script)
    batches = drawing.Batches(script)
    best, waited, kept = math.inf, 0, None
    passes = loaders(script) if script.loop == "loader" else slices(script)
    with Notes(script, path) as notes:
        for epoch, one_pass in zip(range(script.epochs), passes, strict=False):
            for (x, y, ids), last in with_last(itertools.islice(batches.of(one_pass), script.per_epoch)):
                if training.steps == script.steps:
                    break
                training.step(notes, x, y, ids, epoch=epoch, last=last)
            if script.clock == "epochs":
                training.scheduler.step()
            if script.patience is None:
                continue
            loss = validate(training, notes)
            waited = 0 if loss < best else waited + 1
            if loss < best:
                best, kept = loss, {name: one.clone() for name, one in training.model.state_dict().items()}
            if waited >= script.patience:
                break
        if script.restore and kept is not None:
            training.model.load_state_dict(kept)
        training.end(notes)


def validate(training: Training, notes: Notes) -> float:
    """The loss over the validation samples, and their accuracy."""
    script = training.script
    _, _, x, y = map(torch.from_numpy, data(script))
    losses, right, sizes = [], [], []
    with torch.no_grad():
        for start in range(0, len(x), script.batch):
            output, targets = training.model(x[start : start + script.batch]), y[start : start + script.batch]
            losses.append(float(nn.functional.cross_entropy(output, targets)))
            right.append(float((output.argmax(1) == targets).float().mean()))
            sizes.append(len(targets))
    weighting = sizes if script.averaged == "sample" else None
    loss = float(np.average(losses, weights=weighting))
    notes.validation(loss, float(np.average(right, weights=weighting)))
    return loss


def by_stream(script: Script, path: str) -> None:
    """Batches from an iterator without end, for a number of steps."""
    training = Training(script)
    batches = drawing.Batches(script).of(endless(script))
    assert script.steps is not None
    with Notes(script, path) as notes:
        for x, y, ids in itertools.islice(batches, script.steps):
            training.step(notes, x, y, ids, epoch=0, last=False)
        training.end(notes)


def endless(script: Script) -> Iterator[Any]:
    """Pass after pass; under ``carry`` a batch goes on into the next."""
    if script.last != "carry":
        for one_pass in loaders(script):
            yield from one_pass
    x, y, ids = tensors(script)
    samples = itertools.chain.from_iterable(order.tolist() for order in drawing.orders(script))
    while True:
        at = torch.tensor(list(itertools.islice(samples, script.batch)))
        yield x[at], y[at], ids[at]


def with_last(batches: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Each, and whether it is the last."""
    held: list[Any] = []
    for batch in batches:
        if held:
            yield held.pop(), False
        held.append(batch)
    for batch in held:
        yield batch, True


def run(script: Script, path: str) -> None:
    """Trains and records."""
    torch.set_num_threads(1)
    (by_stream if script.loop == "stream" else by_epochs)(script, path)
