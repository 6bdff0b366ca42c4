"""One training step with its stages apart, see ``xframe.running.stages``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from xframe.running.drive import Batch
from xframe.running.stages import Stages
from xframe.tasks.builders import Inner, Parameter
from xframe_torch.state import array, write

if TYPE_CHECKING:
    from xframe_torch.step import TrainStep


def staged(step: TrainStep, batch: Batch, stages: Stages) -> None:
    """Makes the step."""
    model, window = step.model, step.window
    batch = _batch(batch, stages)
    step.begin(batch)
    rows = len(batch.ids) if window.by_rows else 1
    if step.runtime.loop in ("compile", "graph") and not stages.feeds():
        loss, outputs = step.forward(batch.features, batch.targets)
        stages.outcome("forward", {"outputs": array(outputs)})
        stages.outcome("loss", {"loss": array(loss)})
        step.backward(loss, rows)
    else:
        _computed(step, batch, stages, rows)
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


def _computed(step: TrainStep, batch: Batch, stages: Stages, rows: int) -> None:
    """Outputs, layer by layer, loss and gradients, each going on from what was given."""
    with _watched(step.model.layers, stages):
        outputs: torch.Tensor = step.model.module(batch.features)
    held = stages.outcome("forward", {"outputs": array(outputs)})
    if "outputs" in stages.given.get("forward", ()):
        outputs = _fed(outputs, _like(held["outputs"], outputs))
    loss = step.loss(outputs, batch.targets)
    (slope,) = torch.autograd.grad(loss, outputs, retain_graph=True, materialize_grads=True)
    given = stages.outcome("loss", {"loss": array(loss), "slope": array(slope)})
    if "slope" in stages.given.get("loss", ()):
        outputs.backward(_like(given["slope"], slope) * rows)  # type: ignore[no-untyped-call]
    else:
        step.backward(loss, rows)


class _Fed(torch.autograd.Function):
    """Something given in the place of a tensor, whose gradient is the tensor's."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        return given.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


def _fed(own: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    outputs: torch.Tensor = _Fed.apply(own, given)  # type: ignore[no-untyped-call]
    return outputs


@contextmanager
def _watched(layers: Mapping[str, Inner], stages: Stages) -> Iterator[None]:
    """Meanwhile what each layer gives is an outcome, and what was given in its place goes on."""

    def hook(layer: str, inner: Inner, outputs: torch.Tensor) -> torch.Tensor | None:
        given = stages.layer(layer, array(outputs, inner.axes), last=inner.last)
        return None if given is None else _fed(outputs, _like(given, outputs, inner.axes))

    hooks = [
        inner.part.register_forward_hook(lambda _, __, outputs, name=name, inner=inner: hook(name, inner, outputs))
        for name, inner in layers.items()
    ]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


def _like(values: NDArray[Any], own: torch.Tensor, axes: tuple[int, ...] | None = None) -> torch.Tensor:
    fed = torch.empty_like(own, requires_grad=False)
    write(Parameter(fed, axes), values)
    return fed


def _passed(stages: Stages, stage: str, own: Mapping[str, Parameter]) -> None:
    """What a stage has by name, with what was given written into its tensors."""
    held = stages.outcome(stage, {name: array(*one) for name, one in own.items()})
    for name in stages.given.get(stage, ()):
        with torch.no_grad():
            write(own[name], held[name])
