"""Update rules lowered to Keras optimizers, which clip too; learning rates; the scaling of a loss in float16."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xframe.tasks.optimizers import SGD


def lower(rule: SGD, precision: str, *, window: int = 1) -> Any:
    """The optimizer of that rule, which clips first and decays then; under mixed_float16 with a scaled loss.

    With a window of more than a step Keras itself sums gradients up and means them.
    """
    optimizer = _LOWER[type(rule)](rule, partial(_exact, precision), window if window > 1 else None)
    if precision != "mixed_float16":
        return optimizer
    # It calls the inner optimizer only where all gradients are finite, so the inner one's ``iterations``, which its
    # own property of that name returns, stand still when an update is skipped: they count what was applied.
    return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000)


def _exact(precision: str, value: float | None) -> Any:
    # Keras casts Python floats through float32; NumPy's keep their precision.
    return np.float64(value) if precision == "float64" and value is not None else value


def _sgd(rule: SGD, exact: Callable[[float | None], Any], window: int | None) -> Any:
    return keras.optimizers.SGD(
        learning_rate=exact(rule.rate(0)),
        momentum=exact(rule.momentum) if rule.momentum else 0.0,
        weight_decay=exact(rule.weight_decay) if rule.weight_decay else None,
        clipvalue=exact(rule.clip_value),
        clipnorm=exact(rule.clip_norm),
        global_clipnorm=exact(rule.clip_global_norm),
        gradient_accumulation_steps=window,
    )


def set_rate(optimizer: Any, rate: tf.Tensor) -> None:
    """Gives the optimizer that learning rate. In graph.

    Keras' velocity holds −rate·v for the rule's v, the sum of gradients. So when the rate changes, it must change
    with it; at an equal rate it is multiplied by 1. From a rate of 0 no velocity comes back, so ``check`` refuses it.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    change = tf.math.divide_no_nan(rate, tf.convert_to_tensor(inner.learning_rate))
    for velocity in inner.momentums:
        velocity.assign(velocity * tf.cast(change, velocity.dtype))
    inner.learning_rate.assign(rate)


_LOWER: dict[type[SGD], Callable[[Any, Callable[[float | None], Any], int | None], Any]] = {SGD: _sgd}
