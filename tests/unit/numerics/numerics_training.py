"""A small training in NumPy, of which tests make what two sides may do differently; and its steps as records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xframe.state.record import Record
from xframe.state.state import State

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Training:
    """A perceptron with one hidden layer, cross-entropy, SGD with momentum; ``terms`` is the order of its sums.

    ``wrong`` multiplies: ``rate``, ``momentum``, ``gradient``, of one tensor ``slope``.
    """

    precision: str = "float64"
    rate: float = 0.1
    momentum: float = 0.9
    backwards: bool = False
    wrong: dict[str, float] = field(default_factory=dict)

    @property
    def kind(self) -> Any:
        return np.float64 if self.precision == "float64" else np.float32

    def start(self, inputs: int = 12, hidden: int = 16, classes: int = 10, seed: int = 0) -> State:
        draws = np.random.default_rng(seed)
        sizes = {"dense_0": (inputs, hidden), "dense_1": (hidden, classes)}
        made: Arrays = {}
        for name, shape in sizes.items():
            made[f"{name}/kernel"] = (draws.standard_normal(shape) / np.sqrt(shape[0])).astype(self.kind)
            made[f"{name}/bias"] = np.zeros(shape[1], self.kind)
        slots = {"velocity": {name: np.zeros_like(values) for name, values in made.items()}}
        return State(made, slots=slots, numbers={"updates": 0}, precision=self.precision)

    def _product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a[:, ::-1] @ b[::-1]) if self.backwards else a @ b

    def stages(self, before: State, x: np.ndarray, y: np.ndarray, fed: Record | None = None) -> dict[str, Arrays]:
        w, x = before.parameters, x.astype(self.kind)
        given = {} if fed is None else fed.stages
        z = self._product(x, w["dense_0/kernel"]) + w["dense_0/bias"]
        h = np.maximum(z, 0)
        out = self._product(h, w["dense_1/kernel"]) + w["dense_1/bias"]
        stages: dict[str, Arrays] = {"batch": {"features": x, "targets": y}, "forward": {"outputs": out}}
        out = given.get("forward", stages["forward"])["outputs"]
        e = np.exp(out - out.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
        top = out.max(1)
        loss = np.mean(np.log(e.sum(1)) + top - out[np.arange(len(y)), y])
        stages["loss"] = {"loss": np.asarray(loss, self.kind)}
        slope = p
        slope[np.arange(len(y)), y] -= 1
        slope = (slope / len(y)).astype(self.kind) * self.kind(self.wrong.get("gradient", 1.0))
        back = (slope @ w["dense_1/kernel"].T) * (z > 0)
        gradient = {
            "dense_0/kernel": self._product(x.T, back),
            "dense_0/bias": back.sum(0) * self.kind(self.wrong.get("slope", 1.0)),
            "dense_1/kernel": self._product(h.T, slope),
            "dense_1/bias": slope.sum(0),
        }
        stages["gradient"] = gradient
        stages["clipping"] = given.get("gradient", gradient)
        return stages

    def step(self, step: int, before: State, x: np.ndarray, y: np.ndarray, fed: Record | None = None) -> Record:
        """One step, whole; with its stages where it is ``fed``, itself for one that is not another's."""
        stages = self.stages(before, x, y, fed)
        rate, momentum = self.rate * self.wrong.get("rate", 1.0), self.momentum * self.wrong.get("momentum", 1.0)
        velocity, made = {}, {}
        for name, w in before.parameters.items():
            g = stages["clipping"][name] if fed is None else fed.stages.get("clipping", stages["clipping"])[name]
            velocity[name] = self.kind(momentum) * before.slots["velocity"][name] + g
            made[name] = w - self.kind(rate) * velocity[name]
        numbers = {"updates": before.numbers["updates"] + 1}
        after = State(made, slots={"velocity": velocity}, numbers=numbers, precision=self.precision)
        whole = {"loss": stages["loss"]}
        apart = {**stages, "update": made, "buffers": {}}
        return Record(step, before, whole if fed is None else apart, after)

    def run(self, x: np.ndarray, y: np.ndarray, start: State, batches: list[np.ndarray]) -> list[float]:
        """The losses of a training of its own."""
        return self.run_by([self] * len(batches), x, y, start, batches)

    @staticmethod
    def run_by(
        trainings: list[Training], x: np.ndarray, y: np.ndarray, start: State, batches: list[np.ndarray]
    ) -> list[float]:
        """The losses of a run of which each step is made by a training of its own."""
        losses, state = [], start
        for i, (training, rows) in enumerate(zip(trainings, batches, strict=True)):
            made = training.step(i, state, x[rows], y[rows])
            losses.append(float(made.stages["loss"]["loss"]))
            state = made.after
        return losses
