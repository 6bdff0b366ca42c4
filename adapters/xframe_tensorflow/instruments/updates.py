"""Optimizers: updates applied and tried, learning rates, gradients' norms before and after clipping."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.optimizer import TFOptimizer

from xframe.recording.attach.patches import Patches, harmless
from xframe_tensorflow.evidence import weights_mark
from xframe_tensorflow.instruments.graphs import factors, graph_here, plain_variable
from xframe_tensorflow.instruments.noting import Noting
from xframe_tensorflow.instruments.steps import Steps, Update

_CLIPPERS = {"clip_by_global_norm": "clip_global_norm", "clip_by_norm": "clip_norm", "clip_by_value": "clip_value"}
_BOUNDS = "clip_norm", "clip_value_max"
_MOST_GRADIENTS = 8  # taken while one waits to be applied


class Updates:
    """What optimizers do, and when it counts: their own ``iterations``, read before and after."""

    def __init__(self, steps: Steps, noting: Noting) -> None:
        self.steps = steps
        self.machine = steps.machine
        self.noting = noting
        self._inside = threading.local()
        self._applying: tuple[Update, Any] | None = None  # and the graph that it began in
        self._norms: tf.Variable | None = None  # where a branch of a graph leaves them
        self._in_branch = False
        # By the script itself: what came out, what went in, by which rule and bound.
        self._clipped: dict[int, tuple[Any, Any, tuple[str, Any]]] = {}
        self._clipped_until = 0

    def attach(self, patches: Patches) -> None:
        """From now on."""
        for kind in (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer):
            patches.replace(kind, "apply", self._seen_apply)
        patches.replace(keras.optimizers.Optimizer, "_clip_gradients", self._seen_clipping)
        patches.replace(TFOptimizer, "_backend_update_step", self._seen_update)
        for name, rule in _CLIPPERS.items():
            patches.replace(tf, name, functools.partial(self._seen_script_clipping, rule))

    def _seen_apply(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def apply(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if self._applying is not None:
                return original(optimizer, *args, **kwargs)
            variables = args[1] if len(args) > 1 else kwargs.get("trainable_variables")
            self.noting.optimizer(optimizer, variables or optimizer._trainable_variables)
            update = self._begin(optimizer)
            grads = args[0] if args else kwargs.get("grads")
            try:
                returned = original(optimizer, *args, **kwargs)
                if update is not None:
                    self._end(update, grads)
            finally:
                self._applying = None
                for one in grads or () if self._clipped else ():  # others may be for a further optimizer
                    self._clipped.pop(id(one), None)
            return returned

        return apply

    @harmless
    def _begin(self, optimizer: Any) -> Update:
        if (context := tf.distribute.get_replica_context()) is not None and context.num_replicas_in_sync > 1:
            self.machine.losses = "sum"  # for Keras adds up the gradients of all replicas
        known = self.steps.ring.optimizer(optimizer)
        update = Update(known, _read(known.keras._iterations))
        self._applying, self._in_branch = (update, graph_here()), False
        if known.keras is not optimizer or known.window > 1:
            update.reals["lr"] = tf.convert_to_tensor(known.keras.learning_rate)
            if self._norms is None:
                with tf.init_scope():
                    self._norms = plain_variable(tf.constant([0.0, 0.0]))
            if not tf.executing_eagerly():
                self._norms.assign([-1.0, -1.0])
        return update

    @harmless
    def _end(self, update: Update, grads: Any) -> None:
        update.after = _read(update.optimizer.keras._iterations)
        if self._in_branch:
            assert self._norms is not None
            norms = self._norms.read_value()
            update.reals |= {"gradient_norm": norms[0], "clipped_norm": norms[1]}
        if self.machine.replica[1] > 1 and (marked := mark_of(update.optimizer.keras)) is not None:
            update.reals["weights_mark"] = marked
        self.steps.stepped(update, lambda: [self._clipped.get(id(one), (None, one))[1] for one in grads or ()])

    def _seen_clipping(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _clip_gradients(optimizer: Any, grads: Any) -> Any:
            clipped = original(optimizer, grads)
            if self._applying is not None:
                self._take_norms(*self._applying, list(grads), list(clipped))
            return clipped

        return _clip_gradients

    @harmless
    def _take_norms(self, update: Update, graph: Any, grads: list[Any], clipped: list[Any]) -> None:
        held = [self._clipped.get(id(one)) for one in grads]
        given = [one if known is None else known[1] for one, known in zip(grads, held, strict=True)]
        for rule, bound in {known[2] for known in held if known is not None and isinstance(known[2][1], (int, float))}:
            self.noting.clipping(update.optimizer.keras, rule, bound)
        before = _half_square(given)
        after = before if all(a is b for a, b in zip(given, clipped, strict=True)) else _half_square(clipped)
        if before is None or after is None:
            return
        if graph_here() is graph:
            update.reals |= {"gradient_norm": before, "clipped_norm": after}
        elif self._norms is not None:
            self._norms.assign([tf.cast(before, tf.float32), tf.cast(after, tf.float32)])
            self._in_branch = True

    def unclipped(self, gradient: Any) -> tuple[Any, tuple[str, Any] | None]:
        """A gradient as it was before the script clipped it, and by which rule and bound it did."""
        held = self._clipped.get(id(gradient))
        return (gradient, None) if held is None else held[1:]

    def _seen_update(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _backend_update_step(optimizer: Any, grads: Any, variables: Any, learning_rate: Any) -> Any:
            if self._applying is not None and graph_here() is self._applying[1]:
                self._take_rate(self._applying[0], learning_rate)
            return original(optimizer, grads, variables, learning_rate)

        return _backend_update_step

    @harmless
    def _take_rate(self, update: Update, rate: Any) -> None:
        update.reals.setdefault("lr", _read(rate) if isinstance(rate, keras.Variable) else tf.convert_to_tensor(rate))

    def _seen_script_clipping(self, rule: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def clip(given: Any, *args: Any, **kwargs: Any) -> Any:
            returned = original(given, *args, **kwargs)
            self._take_clipping(rule, given, returned, args, kwargs)
            return returned

        return clip

    @harmless
    def _take_clipping(self, rule: str, given: Any, returned: Any, args: Any, kwargs: dict[str, Any]) -> None:
        inside = list(given) if isinstance(given, (list, tuple)) else [given]
        outside = returned[0] if isinstance(given, (list, tuple)) else [returned]
        if self.steps.gradients > self._clipped_until:  # nobody applied those any more
            self._clipped.clear()
            self._clipped_until = self.steps.gradients + _MOST_GRADIENTS
        for one, other in zip(inside, outside, strict=False):
            if one is not None:
                before = self._clipped.get(id(one))
                bound = args[-1] if args else next((kwargs[name] for name in _BOUNDS if name in kwargs), None)
                self._clipped[id(other)] = other, one if before is None else before[1], (rule, bound)


def mark_of(optimizer: Any) -> Any:
    """Of the weights that an optimizer leaves; None if it has none."""
    trained = optimizer._trainable_variables
    return weights_mark([_read(one) for one in trained]) if trained else None


def _read(variable: Any) -> Any:
    return variable.value.read_value()


def _half_square(gradients: list[Any]) -> Any:
    """Half of the square of all gradients' norm, which is one operation for each."""
    parts = []
    for one in gradients:
        if one is None:
            continue
        if isinstance(one, tf.IndexedSlices):  # a row that comes twice is added up
            places, where = tf.unique(one.indices)
            one = tf.math.unsorted_segment_sum(one.values, where, tf.size(places))
        if one.dtype.size < 4:
            one = tf.cast(one, tf.float32)
        parts.append(_half_square_of_product(of) if (of := factors(one))[1:] else tf.raw_ops.L2Loss(t=one))
    if len({one.dtype for one in parts}) > 1:
        parts = [tf.cast(one, tf.float64) for one in parts]
    return tf.add_n(parts) if parts else None


def _half_square_of_product(factors: list[Any]) -> Any:
    """In operations of its own: one that stands in the graph already would be shared."""
    squares = [tf.square(tf.cast(one, tf.float64)) for one in factors]
    return tf.reduce_sum(functools.reduce(tf.multiply, squares)) / 2
