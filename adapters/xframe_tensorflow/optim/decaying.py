"""What the optimizers have in common: weight decay, gradients, and numbers that are computed once an update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


class Decaying(keras.optimizers.Optimizer):  # type: ignore[misc]
    """An optimizer whose weight decay comes after clipping, from within the update of each variable.

    Attributes:
        decoupled: whether the weights decay by the learning rate, as in AdamW; otherwise ``weight_decay · w`` is added
            to the gradient. Keras' own optimizers always do the first.
    """

    decoupled = False

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """One update. An embedding's gradient is taken whole, as PyTorch has it: a row looked up twice is in it once.

        As slices, each look-up would be squared, clipped and measured alone.
        """
        whole = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in grads]
        super().apply(whole, trainable_variables)

    def decayed(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Makes a variable decay; returns its gradient and its learning rate, in its own type."""
        gradient, rate = tf.cast(gradient, variable.dtype), tf.cast(learning_rate, variable.dtype)
        if decay := self.decay_of(variable):
            if self.decoupled:
                variable.assign_sub(variable * (rate * decay))
            else:
                gradient += variable * decay
        return gradient, rate

    def decay_of(self, variable: tf.Variable) -> float:
        """The weight decay of that variable, of which ``exclude_from_weight_decay`` may have made none."""
        return self.weight_decay if self.weight_decay and self._use_weight_decay(variable) else 0.0

    def count(self) -> tf.Tensor:
        """Which update this is, from 1, in float64, so that no power of it is rounded early."""
        return tf.cast(self.iterations + 1, tf.float64)

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """What Keras calls between clipping and update; ``decayed`` does it then."""

    def _backend_update_step(self, grads: Sequence[Any], trainable_variables: Any, learning_rate: Any) -> None:
        self.prepare()
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def prepare(self) -> None:
        """Computes what an update needs once for all variables."""
