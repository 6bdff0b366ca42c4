"""PyTorch's optimizers with two moments."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from xframe_tensorflow.optim.decaying import Decaying


@keras.saving.register_keras_serializable("xframe")
class TorchAdam(Decaying, keras.optimizers.Adam):  # type: ignore[misc]
    """``torch.optim.Adam``: ``w ← w − learning_rate · m̂ / (√v̂ + epsilon)``, with epsilon on the corrected root.

    Keras adds it to the root before that is corrected. Weight decay goes through the gradient, unlike Keras'.
    """

    corrects_first = True  # False is Keras' formula, with its correction in float64

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        amsgrad: bool = False,
        weight_decay: float = 0.0,
        **others: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, **others)

    def prepare(self) -> None:
        t = self.count()
        root = tf.sqrt(1.0 - self.beta_2**t)
        self._correction = root / (1.0 - self.beta_1**t)
        # √(v / root²) + epsilon is (√v + epsilon · root) / root.
        self._epsilon = root * self.epsilon if self.corrects_first else tf.constant(self.epsilon, tf.float64)

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        gradient, rate = self.decayed(gradient, variable, learning_rate)
        i, kind = self._get_variable_index(variable), gradient.dtype
        m, v = _moved(self, i, gradient)
        if self.amsgrad:
            largest = self._velocity_hats[i].value
            v = largest.assign(tf.maximum(largest, v))
        step = m * (rate * tf.cast(self._correction, kind))
        self.assign_sub(variable, step / (tf.sqrt(v) + tf.cast(self._epsilon, kind)))


@keras.saving.register_keras_serializable("xframe")
class TorchAdamW(TorchAdam):
    """``torch.optim.AdamW``: ``w ← w − learning_rate · weight_decay · w``, then TorchAdam's update."""

    decoupled = True

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        amsgrad: bool = False,
        weight_decay: float = 0.01,
        **others: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, **others)


@keras.saving.register_keras_serializable("xframe")
class TorchNAdam(Decaying, keras.optimizers.Nadam):  # type: ignore[misc]
    """``torch.optim.NAdam``, whose momentum warms up by ``0.96^(t · momentum_decay)``. Keras' momentum_decay is 1."""

    def __init__(
        self,
        learning_rate: Any = 2e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        momentum_decay: float = 4e-3,
        weight_decay: float = 0.0,
        **others: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **others)
        self.momentum_decay = momentum_decay

    def build(self, variables: Any) -> None:
        built = self.built
        super().build(variables)
        if not built:  # Keras keeps the product of momenta in the variables' type
            self._u_product = keras.Variable(1.0, dtype="float64", trainable=False)

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        self.prepare()  # Keras' Nadam would move the product here by its own momentum_decay
        keras.optimizers.Optimizer._backend_update_step(self, grads, trainable_variables, learning_rate)

    def prepare(self) -> None:
        t = self.count()
        now, following = (self._warmed(at) for at in (t, t + 1.0))
        product = self._u_product.value * now
        self.assign(self._u_product, product)
        self._of_moment, self._of_gradient = following / (1.0 - product * following), (1.0 - now) / (1.0 - product)
        self._root = tf.sqrt(1.0 - self.beta_2**t)

    def _warmed(self, t: tf.Tensor) -> tf.Tensor:
        return (1.0 - 0.5 * 0.96 ** (t * self.momentum_decay)) * self.beta_1

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        gradient, rate = self.decayed(gradient, variable, learning_rate)
        kind = gradient.dtype
        m, v = _moved(self, self._get_variable_index(variable), gradient)
        root = tf.cast(self._root, kind)
        ahead = m * (rate * root * tf.cast(self._of_moment, kind))
        ahead += gradient * (rate * root * tf.cast(self._of_gradient, kind))
        self.assign_sub(variable, ahead / (tf.sqrt(v) + root * self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum_decay": self.momentum_decay}


@keras.saving.register_keras_serializable("xframe")
class TorchAdamax(Decaying, keras.optimizers.Adamax):  # type: ignore[misc]
    """``torch.optim.Adamax``: ``u ← max(beta_2 · u, |g| + epsilon)``, where Keras adds epsilon to u when it divides."""

    def __init__(
        self,
        learning_rate: Any = 2e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        **others: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, **others)

    def prepare(self) -> None:
        self._correction = 1.0 / (1.0 - self.beta_1 ** self.count())

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        gradient, rate = self.decayed(gradient, variable, learning_rate)
        i = self._get_variable_index(variable)
        m, u = self._m[i].value, self._u[i].value
        m.assign_add((gradient - m) * (1.0 - self.beta_1))
        u.assign(tf.maximum(u * self.beta_2, tf.abs(gradient) + self.epsilon))
        self.assign_sub(variable, m * (rate * tf.cast(self._correction, m.dtype)) / u)


def _moved(optimizer: Any, i: int, gradient: tf.Tensor) -> tuple[tf.Variable, tf.Variable]:
    """Both moments of a variable after this update."""
    m, v = optimizer._momentums[i].value, optimizer._velocities[i].value
    m.assign_add((gradient - m) * (1.0 - optimizer.beta_1))
    v.assign_add((tf.square(gradient) - v) * (1.0 - optimizer.beta_2))
    return m, v
