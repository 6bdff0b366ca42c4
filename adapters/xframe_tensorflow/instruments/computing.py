"""Models' calls, tapes and losses."""

from __future__ import annotations

import functools
import math
import threading
import weakref
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras.src.losses import loss as losses
from keras.src.trainers.compile_utils import CompileLoss
from tensorflow.python import pywrap_tfe

from xframe.errors import UsageError, Verbatim
from xframe.recording.attach.patches import Patches, harmless
from xframe.recording.identity import leaves
from xframe_tensorflow import settings
from xframe_tensorflow.instruments.noting import Noting
from xframe_tensorflow.instruments.steps import Steps

_MEANS = "sum_over_batch_size", "mean"


class Computing:
    """What is computed with a batch: by the outermost layer, by losses, by tapes."""

    def __init__(self, steps: Steps, noting: Noting) -> None:
        self.steps = steps
        self.machine = steps.machine
        self.noting = noting
        self._inside = threading.local()
        self._averaged: tuple[Any, Any] = (None, None)  # the last loss that is a mean, and of how many rows
        self._scaled: tuple[Any, Any] = (None, None)  # the last scaled loss, and what it was before

    def attach(self, patches: Patches) -> None:
        """From now on."""
        patches.replace(keras.layers.Layer, "__call__", self._seen_call)
        patches.replace(tf.GradientTape, "_push_tape", self._seen_push)
        patches.replace(tf.GradientTape, "gradient", self._seen_gradient)
        patches.replace(losses, "reduce_values", self._seen_reduction)
        patches.replace(losses.Loss, "__call__", self._seen_loss)
        functions = {getattr(owner, name): (owner, name) for owner, name in settings.LOSSES}  # two spaces have the same
        for owner, name in functions.values():
            patches.replace_function(owner, name, functools.partial(self._seen_function, name))
        for owner in (tf, tf.math):
            patches.replace(owner, "reduce_mean", self._seen_mean)
        for kind in (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer):
            patches.replace(kind, "scale_loss", self._seen_scaling)

    def _seen_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        inside, no_tape, capturing = self._inside, pywrap_tfe.TFE_Py_TapeSetIsEmpty, self.steps.capturing

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(inside, "layer", False):
                returned = original(layer, *args, **kwargs)
                if capturing is not None:
                    capturing.within(layer, args, returned)
                return returned
            inside.layer = True
            try:
                if no_tape():
                    self.steps.used_untaped(args)
                    return original(layer, *args, **kwargs)
                self._take_call(layer, args, kwargs)
                if capturing is None:
                    return original(layer, *args, **kwargs)
                given = args if len(args) == 1 else (args, kwargs)
                capturing.begins(layer, given[0] if given is args else given, _training(layer, args, kwargs))
                returned = original(layer, *args, **kwargs)
                capturing.ended(layer, args, returned)
                return returned
            finally:
                inside.layer = False

        return call

    @harmless
    def _take_call(self, layer: Any, args: Any, kwargs: dict[str, Any]) -> None:
        given = with_rows((args, kwargs))
        if given:
            self.steps.used(given, _training(layer, args, kwargs))
            self.noting.model(layer)

    def _seen_push(self, original: Callable[..., Any]) -> Callable[..., Any]:
        no_tape = pywrap_tfe.TFE_Py_TapeSetIsEmpty

        def _push_tape(tape: Any) -> None:
            if no_tape():
                self.steps.tape = weakref.ref(tape)
            original(tape)
            tape._xframe_since = self.steps.gradients

        return _push_tape

    def _seen_gradient(self, original: Callable[..., Any]) -> Callable[..., Any]:
        capturing = self.steps.capturing

        def gradient(tape: Any, target: Any, sources: Any, *args: Any, **kwargs: Any) -> Any:
            trained = any(isinstance(one, (tf.Variable, keras.Variable)) for one in tf.nest.flatten(sources))
            outputs = capturing.outputs() if trained and capturing is not None else None
            if outputs:  # computed on the way, whether anybody asks for them or not
                returned, slopes = original(tape, target, (sources, outputs), *args, **kwargs)
            else:
                returned, slopes = original(tape, target, sources, *args, **kwargs), []
            if trained:
                self._taken(tape, target, returned, slopes)
            return returned

        return gradient

    @harmless
    def _taken(self, tape: Any, target: Any, gradients: Any, slopes: list[Any]) -> None:
        refuse_replicas(tf.distribute.get_strategy())
        since = getattr(tape, "_xframe_since", 0)
        loss, rows = self._loss(target)
        if self.steps.capturing is not None:
            self.steps.capturing.backward(loss, gradients, slopes if loss is target else [])
        self.steps.backward(loss, rows, gradients, fresh=since == self.steps.gradients)

    def _loss(self, target: Any) -> tuple[Any, Any]:
        """The loss as it was before it was scaled, and the rows that it is the mean of; None where not known."""
        if self._scaled[0] is target:
            target = self._scaled[1]
        if not isinstance(target, tf.Tensor) or target.shape.rank != 0:
            return None, None
        rows = self._averaged[1] if self._averaged[0] is target else _mean_of(target)
        return target, rows

    def _seen_loss(self, original: Callable[..., Any]) -> Callable[..., Any]:
        no_tape = pywrap_tfe.TFE_Py_TapeSetIsEmpty

        def call(loss: Any, y_true: Any, y_pred: Any, *args: Any, **kwargs: Any) -> Any:
            if no_tape() or isinstance(loss, CompileLoss):
                return original(loss, y_true, y_pred, *args, **kwargs)
            self.noting.loss(loss, y_true, y_pred, args[0] if args else kwargs.get("sample_weight"))
            self.steps.compared(with_rows(y_true))
            self._inside.loss = True
            try:
                value = original(loss, y_true, y_pred, *args, **kwargs)
            finally:
                self._inside.loss = False
            if (capturing := self.steps.capturing) is not None:
                weights = args[0] if args else kwargs.get("sample_weight")
                capturing.compared(lambda: settings.loss(loss, y_true, y_pred), (y_true, y_pred, weights), value)
            return value

        return call

    def _seen_function(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        no_tape, inside = pywrap_tfe.TFE_Py_TapeSetIsEmpty, self._inside

        def function(*args: Any, **kwargs: Any) -> Any:
            if no_tape() or getattr(inside, "loss", False):
                return original(*args, **kwargs)
            self._take_function(name, args, kwargs)
            inside.loss = True
            try:
                value = original(*args, **kwargs)
            finally:
                inside.loss = False
            if (capturing := self.steps.capturing) is not None:
                given = kwargs.get("labels", kwargs.get("y_true")), kwargs.get("logits", kwargs.get("y_pred"))
                left = iter(args)
                capturing.compared(
                    lambda: settings.loss_function(name, kwargs),
                    [next(left, None) if one is None else one for one in given],
                    value,
                )
            return value

        return function

    @harmless
    def _take_function(self, name: str, args: Any, kwargs: dict[str, Any]) -> None:
        target = next((kwargs[one] for one in ("labels", "y_true") if one in kwargs), args[0] if args else None)
        self.steps.compared(with_rows(target))
        self.noting.loss_function(name, kwargs)

    def _seen_mean(self, original: Callable[..., Any]) -> Callable[..., Any]:
        no_tape = pywrap_tfe.TFE_Py_TapeSetIsEmpty

        def reduce_mean(input_tensor: Any, *args: Any, **kwargs: Any) -> Any:
            mean = original(input_tensor, *args, **kwargs)
            if not no_tape() and tf.executing_eagerly():
                self._take_mean_of(mean, input_tensor)
            return mean

        return reduce_mean

    @harmless
    def _take_mean_of(self, mean: Any, given: Any) -> None:
        if isinstance(given, tf.Tensor) and mean.shape.rank == 0:
            self._averaged = mean, math.prod(given.shape)

    def _seen_reduction(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def reduce_values(
            values: Any, sample_weight: Any = None, reduction: Any = "sum_over_batch_size", **kwargs: Any
        ) -> Any:
            reduced = original(values, sample_weight, reduction, **kwargs)
            if reduction in _MEANS and reduced is not values:
                if no_tape():
                    self.steps.tested(reduced)
                else:
                    self._take_mean(reduced, values)
            return reduced

        no_tape = pywrap_tfe.TFE_Py_TapeSetIsEmpty
        return reduce_values

    @harmless
    def _take_mean(self, reduced: Any, values: Any) -> None:
        self._averaged = reduced, tf.size(values, tf.int64)

    def _seen_scaling(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def scale_loss(optimizer: Any, loss: Any, *args: Any, **kwargs: Any) -> Any:
            scaled = original(optimizer, loss, *args, **kwargs)
            if scaled is not loss:
                self._scaled = scaled, loss
            return scaled

        return scale_loss


def with_rows(data: Any) -> list[Any]:
    """The tensors and arrays in nested arguments that have rows."""
    return [one for one in leaves([data]) if len(getattr(one, "shape", ())) > 0]


def refuse_replicas(strategy: Any) -> None:
    """Refuses a training whose replicas are all in this process; those that have processes of their own are recorded.

    Raises:
        UsageError: there are several here.
    """
    here = strategy.num_replicas_in_sync
    if here > 1 and (here := len(strategy.extended.worker_devices)) > 1:
        raise UsageError(
            "several replicas in one process cannot be recorded",
            got=Verbatim(f"{here} replicas of {type(strategy).__name__}"),
            expected="one in each process, as under MultiWorkerMirroredStrategy with one device each",
            remedy="Record in the loop itself, with xframe.recording.several.record_replicas: docs/howto/replicas.md.",
        )


def _mean_of(loss: Any) -> Any:
    """How many values a graph's operation took the mean of."""
    operation = None if tf.executing_eagerly() else loss.op
    if operation is None or operation.type != "Mean":
        return None
    return tf.size(operation.inputs[0], tf.int64)


def _training(layer: Any, args: Any, kwargs: dict[str, Any]) -> bool | None:
    """Whether the model is called in training mode; None: that is not known before it runs."""
    value = kwargs.get("training")
    if value is None and args[1:] and getattr(layer, "_call_has_training_arg", False):
        names = list(layer._call_signature.parameters)
        places = dict(zip(names, args, strict=False))
        value = places.get("training")
    if value is None:
        parameter = getattr(layer, "_call_signature", None) and layer._call_signature.parameters.get("training")
        value = parameter.default if parameter is not None and parameter.default is not parameter.empty else None
    return bool(value) if value is None or isinstance(value, (bool, int)) else None
