"""One training step with its stages apart, see ``xframe.running.stages``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from xframe.running.drive import Batch
from xframe.running.stages import Stages
from xframe.tasks.builders import Parameter
from xframe_torch.state import array, write

if TYPE_CHECKING:
    from xframe_torch.step import TrainStep


def staged(step: TrainStep, batch: Batch, stages: Stages) -> None:
    """Makes the step."""
    model, window = step.model, step.window
    batch = _batch(batch, stages)
    step.begin(batch)
    rows = len(batch.ids) if window.by_rows else 1
    if "forward" in stages.given:
        _backward_from(step, batch, stages, rows)
    else:
        loss, outputs = step.forward(batch.features, batch.targets)
        stages.outcome("forward", {"outputs": array(outputs)})
        stages.outcome("loss", {"loss": array(loss)})
        step.backward(loss, rows)
    divisor = window.close(batch.place, rows)
    if divisor is not None:
        step.divide(divisor)
    gradients = {
        name: one._replace(tensor=one.tensor.grad) for name, one in model.trained.items() if one.tensor.grad is not None
    }
    _passed(stages, "gradient", gradients)
    if divisor is not None and step.clip is not None:
        step.clip(step.parameters)
    _passed(stages, "clipping", {} if divisor is None else gradients)
    if divisor is not None:
        step.optimizer.step()
    if step.averaged is not None:
        step.averaged.close()
    _passed(stages, "update", {} if divisor is None else model.trained)
    _passed(stages, "buffers", {name: one for name, one in model.parameters.items() if name not in model.trained})


def _batch(batch: Batch, stages: Stages) -> Batch:
    """The batch, or what was given in its place."""
    own = {"features": batch.features, "targets": batch.targets, "ids": batch.ids}
    held = stages.outcome("batch", {name: array(values) for name, values in own.items()})
    for name in stages.given.get("batch", ()):
        own[name] = _like(held[name], own[name])
    return batch._replace(**own)


def _backward_from(step: TrainStep, batch: Batch, stages: Stages, rows: int) -> None:
    """Loss and gradients as of the outputs that were given."""
    outputs = step.model.module(batch.features)
    held = stages.outcome("forward", {"outputs": array(outputs)})["outputs"]
    fed = _like(held, outputs).requires_grad_()
    loss = step.loss(fed, batch.targets)
    stages.outcome("loss", {"loss": array(loss)})
    step.backward(loss, rows)
    outputs.backward(fed.grad)


def _like(values: NDArray[Any], own: torch.Tensor) -> torch.Tensor:
    fed = torch.empty_like(own, requires_grad=False)
    write(Parameter(fed), values)
    return fed


def _passed(stages: Stages, stage: str, own: Mapping[str, Parameter]) -> None:
    """What a stage has by name, with what was given written into its tensors."""
    held = stages.outcome(stage, {name: array(*one) for name, one in own.items()})
    for name in stages.given.get(stage, ()):
        with torch.no_grad():
            write(own[name], held[name])
