"""The adapters' optimizers, each driven the same way: set to a state, one update, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from xframe_numpy import optimizers as reference

from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.tasks.builders import Parameter
from xframe.tasks.lookup import find_task
from xframe.tasks.optimizers import Rule

Arrays = dict[str, Any]
LAYOUTS = {  # canonical shapes, and the axes that torch has them in
    "conv2d_0/kernel": ((2, 3, 2, 4), (3, 2, 0, 1)),
    "dense_0/kernel": ((7, 5), (1, 0)),
    "dense_0/bias": ((5,), None),
    "norm_0/scale": ((1,), None),
}


class Driver:
    """An adapter's optimizers in one precision."""

    adapter: str
    kind = ""  # what the rule was lowered to

    def __init__(self, precision: str) -> None:
        self.precision, self.runtime = precision, Runtime(device="cpu", precision=precision, threads=1)  # type: ignore[arg-type]
        self.native: Any = registry.load(self.adapter)
        self.native.probe()
        self.native.configure(self.runtime)

    def refusals(self, rule: Rule) -> list[str]:
        """The reasons why the adapter cannot do it."""
        task = replace(find_task("digits-mlp"), optimizer=rule)
        runtime = replace(self.runtime, loop=self.native.loops[0])
        reasons: list[str] = self.native.check(TrainingPlan(batch_size=8, steps=4), task, runtime)
        return reasons

    def begin(self, rule: Rule) -> None:
        """A new optimizer of that rule; what it stands at is ``set``."""
        raise NotImplementedError

    def set(self, state: Any, weights: Arrays) -> None:
        """Goes on from there."""
        raise NotImplementedError

    def update(self, gradients: Arrays, rate: float) -> None:
        """One update at that rate."""
        raise NotImplementedError

    def outcome(self) -> Arrays:
        """Weights, slots and averages."""
        raise NotImplementedError


class Torch(Driver):
    adapter = "torch"

    def begin(self, rule: Rule) -> None:
        import torch
        from xframe_torch import optimizers

        self.made, self.rule, dtype = optimizers, rule, getattr(torch, self.precision)
        self.parameters = {
            name: Parameter(torch.nn.Parameter(self._native(name, np.zeros(shape)).to(dtype)), axes)
            for name, (shape, axes) in LAYOUTS.items()
        }
        self.optimizer, self.clip = optimizers.lower(rule, self.parameters), optimizers.clipping(rule)
        self.averaged = None
        if rule.average is not None:
            self.averaged = optimizers.Averaged(rule.average, self.optimizer, self.parameters)
        self.kind = _kind(self.optimizer, "torch.optim")

    def _native(self, name: str, values: Any) -> Any:
        import torch

        axes = LAYOUTS[name][1]
        return torch.tensor(np.ascontiguousarray(values if axes is None else values.transpose(axes)))

    def set(self, state: Any, weights: Arrays) -> None:
        slots, numbers = reference.read_slots(state), reference.read_numbers(state)
        for name, w in weights.items():
            self.parameters[name].tensor.data.copy_(self._native(name, w))
        self.made.write_slots(self.rule, self.optimizer, self.parameters, slots, numbers)
        if self.averaged is not None:
            self.averaged.begun = state.updates.applied > 0
            for name, values in state.average.items():
                self.averaged.parameters[name].tensor.copy_(self._native(name, values))

    def update(self, gradients: Arrays, rate: float) -> None:
        for name, g in gradients.items():
            tensor = self.parameters[name].tensor
            tensor.grad = self._native(name, g).to(tensor.dtype)
        self.made.set_rate(self.optimizer, rate)
        if self.clip is not None:
            self.clip([parameter.tensor for parameter in self.parameters.values()])
        self.optimizer.step()

    def outcome(self) -> Arrays:
        def canonical(parameters: Mapping[str, Parameter]) -> Arrays:
            return {
                name: one.tensor.detach().numpy()
                if one.axes is None
                else one.tensor.detach().numpy().transpose(np.argsort(one.axes))
                for name, one in parameters.items()
            }

        slots = self.made.read_slots(self.rule, self.optimizer, self.parameters)
        found = {f"{slot} of {name}": v.numpy() for slot, held in slots.items() for name, v in held.items()}
        averages = {} if self.averaged is None else canonical(self.averaged.parameters)
        return canonical(self.parameters) | found | {f"average of {name}": v for name, v in averages.items()}


class TensorFlow(Driver):
    adapter = "tensorflow"

    def begin(self, rule: Rule) -> None:
        import keras
        import tensorflow as tf
        from xframe_tensorflow import optimizers

        self.made, self.rule = optimizers, rule
        self.variables = {
            name: keras.Variable(np.zeros(shape, self.precision), dtype=self.precision)
            for name, (shape, _) in LAYOUTS.items()
        }
        self.parameters = {name: Parameter(variable) for name, variable in self.variables.items()}
        self.optimizer = optimizers.lower(rule, self.precision, self.parameters, slots_are_exact=True)
        self.optimizer.build([*self.variables.values()])
        self.kind = _kind(self.optimizer, "keras.")
        self.apply = tf.function(lambda *gradients: self.optimizer.apply(gradients), autograph=False)

    def set(self, state: Any, weights: Arrays) -> None:
        for name, w in weights.items():
            self.variables[name].assign(w)
        slots = {
            slot: {name: v.astype(self.precision) for name, v in held.items()}
            for slot, held in reference.read_slots(state).items()
        }
        self.made.write_slots(self.rule, self.optimizer, self.parameters, slots)
        self.made.write_numbers(self.rule, self.optimizer, reference.read_numbers(state))
        if self.rule.average is not None:
            self.made.write_average(self.optimizer, self.parameters, state.average)

    def update(self, gradients: Arrays, rate: float) -> None:
        import tensorflow as tf

        self.made.set_rate(self.optimizer, tf.constant(rate, self.precision))
        self.apply(*(tf.constant(g, self.precision) for g in gradients.values()))

    def outcome(self) -> Arrays:
        slots = self.made.read_slots(self.rule, self.optimizer, self.parameters)
        found = {f"{slot} of {name}": v for slot, held in slots.items() for name, v in held.items()}
        averages = self.made.read_average(self.optimizer, self.parameters)
        weights = {name: variable.numpy() for name, variable in self.variables.items()}
        return weights | found | {f"average of {name}": v for name, v in averages.items()}


def _kind(optimizer: Any, native: str) -> str:
    """The class; of one that the adapter made, in italics."""
    kinds = [kind for kind in type(optimizer).__mro__ if not kind.__name__.startswith("_")]
    own = f"{type(optimizer).__module__}.".startswith(native)
    return kinds[0].__name__ if own else f"*{kinds[0].__name__}*"


DRIVERS: Mapping[str, Callable[[str], Driver]] = {"torch": Torch, "tensorflow": TensorFlow}
