"""The state of a training step, taken from its arrays and put into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from xframe.state.state import State, check_like
from xframe_numpy.layers import Array
from xframe_numpy.optimizers import read_numbers, read_slots, write_numbers, write_slots

if TYPE_CHECKING:
    from xframe_numpy.step import TrainStep


def taken(step: TrainStep) -> State:
    """A copy of what the step is between two calls."""
    optimizer, model = step.optimizer, step.model
    numbers = {**read_numbers(optimizer), "attempts": optimizer.updates.attempts, "rate": optimizer.learning_rate}
    return State(
        parameters=_copies(model.trained),
        buffers=_copies({name: values for name, values in model.parameters.items() if name not in model.trained}),
        slots=read_slots(optimizer),
        gradients={} if step.window.fresh else _copies(step.summed),
        average=_copies(optimizer.average),
        numbers=numbers,
        rule=optimizer.rule.to_dict(),
        precision=next(iter(model.trained.values())).dtype.name,
    )


def put(step: TrainStep, state: State) -> None:
    """Makes the step go on from that state, if it fits."""
    check_like(state, taken(step))
    optimizer, model = step.optimizer, step.model
    for name, values in model.parameters.items():
        values[...] = (state.parameters if name in model.trained else state.buffers)[name]
    write_slots(optimizer, state.slots)
    write_numbers(optimizer, state.numbers)
    optimizer.average.update(_copies(state.average))
    optimizer.updates.attempts = int(state.numbers["attempts"])
    optimizer.learning_rate = state.numbers["rate"]
    step.summed = {name: np.zeros_like(values) for name, values in model.trained.items()} | _copies(state.gradients)


def _copies(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: values.copy() for name, values in arrays.items()}
