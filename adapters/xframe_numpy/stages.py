"""One training step with its stages apart, see ``xframe.running.stages``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xframe.running.drive import Batch
from xframe.running.stages import Stages
from xframe_numpy.layers import Array
from xframe_numpy.optimizers import clipped

if TYPE_CHECKING:
    from xframe_numpy.step import TrainStep


def staged(step: TrainStep, batch: Batch, stages: Stages) -> None:
    """Makes the step."""
    model, optimizer = step.model, step.optimizer
    held = stages.outcome("batch", {"features": batch.features, "targets": batch.targets, "ids": batch.ids})
    batch = batch._replace(features=held["features"], targets=held["targets"], ids=held["ids"])
    step.begin(batch)
    last, reached = model.placed[-1].name, batch.features

    def seen(layer: str, own: Array) -> Array:
        nonlocal reached
        given = stages.layer(layer, own, last=layer == last)
        reached = own if given is None else given
        return reached

    passed = model.forward(batch.features, training=True, seen=seen)
    outputs = stages.outcome("forward", {"outputs": reached})["outputs"]
    loss, slope = step.loss(outputs, batch.targets)
    held = stages.outcome("loss", {"loss": np.asarray(loss, slope.dtype), "slope": slope})
    model.move(passed)
    own, due = step.accumulate(batch, model.backward(passed, held["slope"]))
    gradients = stages.outcome("gradient", own)
    if due:
        with np.errstate(all="ignore"):
            final = stages.outcome("clipping", clipped(gradients, optimizer.rule))
        optimizer.update(model.trained, final)
    else:
        stages.outcome("clipping", {})
        step.summed = gradients
        optimizer.accumulated(model.trained)
    for name, values in stages.outcome("update", model.trained if due else {}).items():
        model.trained[name][...] = values
    buffers = {name: values for name, values in model.parameters.items() if name not in model.trained}
    for name, values in stages.outcome("buffers", buffers).items():
        model.parameters[name][...] = values
