"""One training step with its stages apart, see ``xframe.running.stages``. Each is a graph of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xframe.running.drive import Batch
from xframe.running.stages import Stages
from xframe.tasks.builders import Parameter
from xframe_tensorflow.model import assign, canonical
from xframe_tensorflow.optimizers import set_rate

if TYPE_CHECKING:
    from xframe_tensorflow.loops.function import FunctionStep


class Apart:
    """The graphs of a step's stages."""

    def __init__(self, step: FunctionStep, jit_compile: bool | None) -> None:
        self.step = step
        functions = step.computed, step.add_up, step.divided, self._clipped, self._updated, step.leave
        graphs = [tf.function(one, reduce_retracing=True, jit_compile=jit_compile) for one in functions]
        self.computed, self.add_up, self.divided, self.clipped, self.updated, self.leave = graphs

    def _clipped(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        return list(self.step.optimizer._clip_gradients(gradients))

    def _updated(self, gradients: list[tf.Tensor]) -> Any:
        with _unclipped(self.step.optimizer):
            return self.step.update(gradients)


@contextmanager
def _unclipped(optimizer: Any) -> Iterator[None]:
    """While an update is traced, the optimizer clips nothing: that is done."""
    before = {name: getattr(optimizer, name) for name in ("clipnorm", "global_clipnorm", "clipvalue")}
    try:
        for name in before:
            setattr(optimizer, name, None)
        yield
    finally:
        for name, value in before.items():
            setattr(optimizer, name, value)


def staged(step: FunctionStep, batch: Batch, stages: Stages) -> None:
    """Makes the step."""
    apart, model, window = step.apart, step.model, step.window
    batch = _batch(batch, stages)
    rows = len(batch.ids)
    if step.rule.scheduled:
        step.rate = step.rule.rate(window.tick(batch.place))
        set_rate(step.optimizer, step.number(step.rate))
    gradients = _computed_from(step, batch, stages) if "forward" in stages.given else _computed(step, batch, stages)
    weight, fresh = step.number(window.weight(rows)), tf.constant(window.fresh)
    divisor = window.close(batch.place, rows)
    if step.accumulates:
        apart.add_up(gradients, weight, fresh)
        gradients = list(step.summed) if divisor is None else apart.divided(step.number(divisor))
    gradients = _passed(step, stages, "gradient", gradients)
    if divisor is not None:
        apart.updated(_passed(step, stages, "clipping", apart.clipped(gradients)))
    else:
        stages.outcome("clipping", {})
        for total, gradient in zip(step.summed, gradients, strict=True):
            total.assign(gradient)
        if step.averages_steps:
            apart.leave()
    _written(stages, "update", {} if divisor is None else model.trained)
    _written(stages, "buffers", {name: one for name, one in model.parameters.items() if name not in model.trained})


def _batch(batch: Batch, stages: Stages) -> Batch:
    """The batch, or what was given in its place."""
    own = {"features": batch.features, "targets": batch.targets, "ids": batch.ids}
    held = stages.outcome("batch", {name: canonical(values, None) for name, values in own.items()})
    given = {name: tf.cast(held[name], own[name].dtype) for name in stages.given.get("batch", ())}
    return batch._replace(**{**own, **given})


def _computed(step: FunctionStep, batch: Batch, stages: Stages) -> list[tf.Tensor]:
    """The gradients of this batch."""
    loss, gradients, outputs = step.apart.computed(batch.features, batch.targets)
    stages.outcome("forward", {"outputs": canonical(outputs, None)})
    stages.outcome("loss", {"loss": canonical(loss, None)})
    return list(gradients)


def _computed_from(step: FunctionStep, batch: Batch, stages: Stages) -> list[tf.Tensor]:
    """The gradients as of the outputs that were given."""
    module = step.model.module
    with tf.GradientTape() as tape:
        own = module(batch.features, training=True)
    outputs = tf.cast(stages.outcome("forward", {"outputs": canonical(own, None)})["outputs"], own.dtype)
    with tf.GradientTape() as of_loss:
        of_loss.watch(outputs)
        loss = step.loss(batch.targets, outputs)
    stages.outcome("loss", {"loss": canonical(loss, None)})
    slope = of_loss.gradient(loss, outputs)
    return list(map(tf.convert_to_tensor, tape.gradient(own, module.trainable_variables, output_gradients=slope)))


def _passed(step: FunctionStep, stages: Stages, stage: str, tensors: list[Any]) -> list[tf.Tensor]:
    """What a stage has of what is trained, in its order, with what was given in its place."""
    pairs = list(zip(step.model.trained.items(), tensors, strict=True))
    held = stages.outcome(stage, {name: canonical(tensor, one.axes) for (name, one), tensor in pairs})
    passed = list[tf.Tensor]()
    for (name, one), tensor in pairs:
        if name in stages.given.get(stage, ()):
            values = held[name] if one.axes is None else held[name].transpose(one.axes)
            passed.append(tf.cast(values, tensor.dtype))
        else:
            passed.append(tf.convert_to_tensor(tensor))
    return passed


def _written(stages: Stages, stage: str, own: Mapping[str, Parameter]) -> None:
    """What a stage has by name, with what was given written into its variables."""
    held = stages.outcome(stage, {name: canonical(*one) for name, one in own.items()})
    for name in stages.given.get(stage, ()):
        assign(own[name].tensor, held[name], own[name].axes)
