"""One training step with its stages apart, see ``xframe.running.stages``. Each is a graph of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from xframe.running.drive import Batch
from xframe.running.stages import Stages
from xframe.tasks.builders import Inner, Parameter
from xframe_tensorflow.model import assign, canonical
from xframe_tensorflow.optimizers import set_rate

if TYPE_CHECKING:
    from xframe_tensorflow.loops.function import FunctionStep


class Apart:
    """The graphs of a step's stages."""

    def __init__(self, step: FunctionStep, jit_compile: bool | None) -> None:
        self.step = step
        computed = self._computed if jit_compile is None else step.computed  # XLA fuses what is not asked for
        functions = computed, step.add_up, step.divided, self._clipped, self._updated, step.leave
        graphs = [
            tf.function(one, autograph=False, reduce_retracing=True, jit_compile=jit_compile) for one in functions
        ]
        self.computed, self.add_up, self.divided, self.clipped, self.updated, self.leave = graphs

    def _computed(self, features: tf.Tensor, targets: tf.Tensor) -> tuple[Any, ...]:
        """What ``computed`` has, and the slope at the outputs and each layer's outputs."""
        step, inside = self.step, dict[str, tf.Tensor]()
        with tf.GradientTape() as tape:
            with watched(step.model.layers, lambda name, outputs: inside.setdefault(name, outputs)):
                outputs = step.model.module(features, training=True)
            with tf.GradientTape() as of_loss:
                of_loss.watch(outputs)
                loss = step.loss(targets, outputs)
            scaled = step.optimizer.scale_loss(loss)
        gradients = list(map(tf.convert_to_tensor, tape.gradient(scaled, step.model.module.trainable_variables)))
        return loss, gradients, outputs, of_loss.gradient(loss, outputs), inside

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
    gradients = _computed_from(step, batch, stages) if stages.feeds() else _computed(step, batch, stages)
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
    loss, gradients, outputs, *more = step.apart.computed(batch.features, batch.targets)
    made = {"loss": canonical(loss, None)}
    if more:
        slope, inside = more
        made["slope"] = canonical(slope, None)
        for name, one in step.model.layers.items():
            if name in inside:
                stages.layer(name, canonical(inside[name], one.axes))
    stages.outcome("forward", {"outputs": canonical(outputs, None)})
    stages.outcome("loss", made)
    return list(gradients)


def _computed_from(step: FunctionStep, batch: Batch, stages: Stages) -> list[tf.Tensor]:
    """The gradients as of the outputs, of layers or all, and the slope there, that were given; step by step."""
    module, layers = step.model.module, step.model.layers

    def seen(name: str, own: tf.Tensor) -> tf.Tensor:
        held = stages.layer(name, canonical(own, layers[name].axes), last=layers[name].last)
        return own if held is None else _fed(own, _native(held, layers[name].axes))

    with tf.GradientTape() as tape, watched(layers, seen):
        own = module(batch.features, training=True)
    outputs = tf.cast(stages.outcome("forward", {"outputs": canonical(own, None)})["outputs"], own.dtype)
    with tf.GradientTape() as of_loss:
        of_loss.watch(outputs)
        loss = step.loss(batch.targets, outputs)
    slope = of_loss.gradient(loss, outputs)
    held = stages.outcome("loss", {"loss": canonical(loss, None), "slope": canonical(slope, None)})
    slope = tf.cast(held["slope"], slope.dtype)
    return list(map(tf.convert_to_tensor, tape.gradient(own, module.trainable_variables, output_gradients=slope)))


@contextmanager
def watched(layers: Mapping[str, Inner], seen: Callable[[str, tf.Tensor], tf.Tensor]) -> Iterator[None]:
    """Meanwhile what each layer gives goes through ``seen``, of its name; what that returns goes on."""
    own = list[tuple[Any, str, Any]]()
    try:
        for name, one in layers.items():
            attribute = one.through or "call"
            own.append((one.part, attribute, one.part.__dict__.get(attribute)))
            through = _before if one.through else _after
            setattr(one.part, attribute, through(getattr(one.part, attribute), name, seen))
        yield
    finally:
        for part, attribute, function in reversed(own):
            if function is None:
                delattr(part, attribute)  # its class has it
            else:
                setattr(part, attribute, function)


def _after(call: Callable[..., tf.Tensor], name: str, seen: Callable[[str, tf.Tensor], tf.Tensor]) -> Any:
    def called(*args: Any, **kwargs: Any) -> tf.Tensor:
        return seen(name, call(*args, **kwargs))

    return called


def _before(function: Callable[..., tf.Tensor], name: str, seen: Callable[[str, tf.Tensor], tf.Tensor]) -> Any:
    def called(x: tf.Tensor) -> tf.Tensor:
        return function(seen(name, x))

    return called


def _fed(own: tf.Tensor, given: Any) -> tf.Tensor:
    """What was given in the place of a tensor, whose gradient is the tensor's."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def fed(_: tf.Tensor) -> tuple[tf.Tensor, Any]:
        return tf.cast(given, own.dtype), lambda gradient: gradient

    return fed(own)


def _native(values: Any, axes: tuple[int, ...] | None) -> Any:
    return values if axes is None else values.transpose(axes)


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
