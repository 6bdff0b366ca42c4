"""The state of a training step, taken from its model and optimizer, and put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from xframe.errors import StateError, Verbatim
from xframe.precision import storage
from xframe.state.state import Arrays, State, check_like
from xframe.tasks.builders import Parameter
from xframe_tensorflow.model import assign, canonical
from xframe_tensorflow.optimizers import (
    native_slots,
    read_average,
    read_numbers,
    read_slots,
    set_rate,
    write_average,
    write_numbers,
    write_slots,
)

if TYPE_CHECKING:
    from xframe.running.steering import Window
    from xframe.tasks.optimizers.rule import Rule
    from xframe_tensorflow.evidence import UpdateCounter
    from xframe_tensorflow.model import Model

_OWN = "tensorflow/"


class StatefulStep:
    """A training step whose state can be taken and set between two calls, see ``xframe.state.state.Stateful``.

    Attributes:
        rate: of the last step.
        summed: what an open window's gradients are summed up in; empty where none is.
    """

    model: Model
    rule: Rule
    optimizer: Any
    window: Window
    updates: UpdateCounter
    precision: str
    rate: float
    summed: list[Any]
    accumulates: bool

    def state(self) -> State:
        """What the step is now."""
        return taken(self)

    def restore(self, state: State) -> None:
        """Goes on from there."""
        put(self, state)

    def native(self) -> Arrays:
        """What Keras alone can go on from, see ``State``."""
        return natively_taken(self)

    def restore_native(self, arrays: Arrays) -> None:
        """Goes on from that, after ``restore``; what another framework left is passed over."""
        put_natively(self, arrays)

    def number(self, value: float) -> tf.Tensor:
        """In the type that numbers are held in."""
        return tf.constant(value, storage(self.precision))


def taken(step: StatefulStep) -> State:
    """A copy of what the step is between two calls."""
    model, rule, optimizer = step.model, step.rule, step.optimizer
    trained, numbers = model.trained, read_numbers(step.rule, step.optimizer)
    attempts = step.updates.attempts
    numbers |= {"attempts": numbers["updates"] if attempts is None else int(attempts), "rate": step.rate}
    if step.precision == "mixed_float16":
        numbers |= {"loss_scale": float(optimizer.dynamic_scale), "loss_scale_growth": int(optimizer.step_counter)}
    summed = [] if step.window.fresh else step.summed
    return State(
        parameters={name: canonical(*one) for name, one in trained.items()},
        buffers={name: canonical(*one) for name, one in model.parameters.items() if name not in trained},
        slots=read_slots(rule, optimizer, trained),
        gradients={
            name: canonical(total, one.axes) for (name, one), total in zip(trained.items(), summed, strict=False)
        },
        average=read_average(optimizer, trained),
        numbers=numbers,
        rule=rule.to_dict(),
        precision=step.precision,
    )


def natively_taken(step: StatefulStep) -> Arrays:
    """Slots that Keras holds times the learning rate, as it holds them, and the states of its random generators."""
    return {name: canonical(*one) for name, one in _native(step).items()}


def put_natively(step: StatefulStep, arrays: Arrays) -> None:
    """Puts those of Keras' own back; those of others are passed over, so that the slots are converted ones."""
    native = _native(step)
    own = {name: values for name, values in arrays.items() if name.startswith(_OWN)}
    held = {name: canonical(*one) for name, one in native.items()}
    if own and {name: one.shape for name, one in own.items()} != {name: one.shape for name, one in held.items()}:
        got, expected = (Verbatim(", ".join(each) or "none") for each in (own, held))
        raise StateError("what only Keras knows does not fit", got=got, expected=expected)
    for name, values in own.items():
        variable, axes = native[name]
        assign(variable, values.astype(held[name].dtype), axes)


def _native(step: StatefulStep) -> dict[str, Parameter]:
    """The variables of that, and their axes, by name."""
    held = native_slots(step.rule, step.optimizer, step.model.trained)
    drawn = [variable for variable in step.model.module.variables if variable.path.endswith("seed_generator_state")]
    random = {f"random_{i}": Parameter(variable) for i, variable in enumerate(drawn)}
    return {_OWN + name: one for name, one in {**held, **random}.items()}


def put(step: StatefulStep, state: State) -> None:
    """Makes the step go on from that state, if it fits."""
    check_like(state, taken(step))
    if state.gradients and not step.accumulates:
        raise StateError("the state has an open window's gradients", expected="none, as the plan does not accumulate")
    model, optimizer, numbers = step.model, step.optimizer, state.numbers
    weights = {**state.parameters, **state.buffers}
    for name, (variable, axes) in model.parameters.items():
        assign(variable, weights[name], axes)
    for (name, one), total in zip(model.trained.items(), step.summed, strict=False):
        assign(total, state.gradients.get(name, np.zeros_like(weights[name])), one.axes)
    write_slots(step.rule, optimizer, model.trained, state.slots)
    write_average(optimizer, model.trained, state.average)
    write_numbers(step.rule, optimizer, numbers)
    if step.updates.attempts is not None:
        step.updates.attempts.assign(int(numbers["attempts"]))
    step.rate = numbers["rate"]
    set_rate(optimizer, step.number(step.rate))
    if step.precision == "mixed_float16":
        optimizer.dynamic_scale.assign(numbers["loss_scale"])
        optimizer.step_counter.assign(int(numbers["loss_scale_growth"]))
