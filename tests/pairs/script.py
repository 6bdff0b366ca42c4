"""Everything that a training script may do, as one value; the data, the starting weights, the saved permutations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits


@dataclass(frozen=True)
class Script:
    """The settings of one script. A mistake is a change to some of them.

    Attributes:
        loop: ``loader``, ``indices`` or ``stream`` in torch; ``fit``, ``tape`` or ``tape stream`` in TensorFlow.
        n, batch, epochs: samples, batch size, epochs; ``steps`` ends a stream, ``per_epoch`` an epoch.
        order: ``saved`` permutations, those of a ``plan``, or the script's ``own`` shuffling by ``seed``.
        drawn: how the script departs from that order; see ``drawing``.
        batches: what happens to its batches at some step; see ``drawing``.
        last: of the samples left at the end of a pass: ``keep``, ``drop``, ``pad``; a stream also has ``carry``.
        window, leftover: steps of an accumulation window, and what an epoch's end does with an unfinished one.
        divisor: what the loss of a step in a window is divided by: ``window`` or ``nothing``.
        schedule, ticks, clock: the learning rate's, its length, and what it ticks by; ``early`` ticks are taken
            before the first step.
        patience: of early stopping by the validation loss.
        averaged: how a validation's mean is taken: by ``sample`` or by ``batch``.
        restore: end with the weights of the best validation.
        skipped, doubled: the step whose update is skipped or applied twice.
        late: the first window of an epoch has one step only.
        closure: ``optimizer.step(closure)``, counted by ``xframe_torch.UpdateCounter``.
        zeroes: gradients are zeroed after an update.
        model: what is trained; an lstm reads the rows of a digit, from a ``state`` that is fresh in each batch or kept.
        planned: the fields of the plan that the run is recorded under; empty: recorded under none.
        note_*: what is recorded, and how; see ``noting``.
    """

    loop: str
    n: int = 1797
    batch: int = 64
    epochs: int = 3
    steps: int | None = None
    per_epoch: int | None = None
    order: Literal["saved", "plan", "own"] = "saved"
    seed: int = 0
    drawn: tuple[Any, ...] = ()
    batches: tuple[Any, ...] = ()
    last: Literal["keep", "drop", "pad", "carry"] = "keep"

    window: int = 1
    leftover: Literal["flush", "drop", "leak", "carry"] = "flush"
    divisor: Literal["window", "nothing"] = "window"
    skipped: int | None = None
    doubled: int | None = None
    late: bool = False
    closure: bool = False
    zeroes: bool = True

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    rate: float = 0.05
    momentum: float = 0.9
    nesterov: bool = False
    beta: float = 0.9
    epsilon: float = 1e-7
    decay: float = 0.0
    clip: Literal["", "global", "tensor"] = ""
    norm: float = 1.0

    schedule: str = "constant"
    ticks: int = 0
    clock: Literal["updates", "epochs", "steps"] = "updates"
    early: int = 0
    factor: float = 0.5

    model: Literal["perceptron", "lstm"] = "perceptron"
    state: Literal["fresh", "kept"] = "fresh"
    batch_first: bool = True
    activation: Literal["relu", "tanh", "gelu"] = "relu"
    start: int = 0
    scale: float = 16.0
    labels: Literal["right", "shifted", "features shifted"] = "right"
    smoothing: float = 0.0
    reduction: Literal["mean", "sum"] = "mean"
    softmax: bool = False

    patience: int | None = None
    averaged: Literal["sample", "batch"] = "sample"
    restore: bool = False
    validated: int = 300

    planned: tuple[tuple[str, Any], ...] = ()
    note_n: bool = True
    note_ids: bool = True
    note_loss: str = "step"
    note_rate: str = "used"
    note_epoch: int | None = 0
    note_updates: str = "after"
    note_weights: str = "trained"
    note_accuracy: str = ""
    note_metadata: tuple[tuple[str, str], ...] = ()
    by_block: bool = False

    @property
    def framework(self) -> str:
        """What it is written in."""
        return "torch" if self.loop in ("loader", "indices", "stream") else "tensorflow"

    @property
    def in_pass(self) -> int:
        """Steps of a pass of all samples."""
        return self.n // self.batch if self.last == "drop" else -(-self.n // self.batch)

    @property
    def rest(self) -> int:
        """Samples left at the end of a pass that are trained on."""
        return 0 if self.last == "drop" else self.n % self.batch

    @property
    def total(self) -> int:
        """Steps of the whole run, without early stopping."""
        return self.steps if self.steps is not None else self.epochs * self.in_pass

    def plan_fields(self) -> dict[str, Any]:
        """The plan that the script follows."""
        fields: dict[str, Any] = {"batch_size": self.batch, "epochs": self.epochs, "seed": self.seed}
        if self.window > 1:
            fields |= {"gradient_accumulation_steps": self.window, "accumulation_remainder": self.leftover}
        if self.patience is not None:
            fields |= {"validation_every": 1, "early_stopping_patience": self.patience, "restore_best": self.restore}
        return fields


class Data(NamedTuple):
    """What a script trains on, and validates on."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    validation_x: NDArray[np.float32]
    validation_y: NDArray[np.int64]


def data(script: Script) -> Data:
    """The handwritten digits: the first ``n`` to train on, the last ones to validate on."""
    x, y = _digits()
    features = (x / script.scale).astype("float32")
    targets = np.roll(y, 1) if script.labels == "shifted" else y
    if script.labels == "features shifted":
        features = np.roll(features, 1, axis=1)
    first = len(x) - script.validated
    return Data(features, targets, features[first:], targets[first:])


@cache
def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    x, y = load_digits(return_X_y=True)
    return x, y.astype(np.int64)


def weights(script: Script) -> dict[str, NDArray[np.float32]]:
    """The starting weights, the same in both scripts."""
    random = np.random.default_rng(script.start)
    first = {"dense_0/kernel": (64, 32), "dense_0/bias": (32,)}
    if script.model == "lstm":
        first = {"lstm/kernel": (8, 128), "lstm/recurrent": (32, 128), "lstm/bias": (128,)}
    shapes = {**first, "dense_1/kernel": (32, 10), "dense_1/bias": (10,)}
    return {name: random.uniform(-0.2, 0.2, shape).astype("float32") for name, shape in shapes.items()}


def saved_order(n: int, index: int) -> NDArray[np.int64]:
    """The permutation of a pass that both scripts load."""
    return np.random.RandomState(100 + index).permutation(n).astype(np.int64)


def rate_of(script: Script, tick: int) -> float:
    """The rate of a tick, for loops that set it by hand."""
    if script.schedule == "step":
        return float(script.rate * script.factor ** (tick // script.ticks))
    raise ValueError(f"no loop sets {script.schedule} by hand")
