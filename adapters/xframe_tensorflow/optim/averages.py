"""PyTorch's optimizers that divide by the root of an average, or a sum, of squared gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import ml_dtypes
import tensorflow as tf

from xframe_tensorflow.optim.decaying import Decaying


@keras.saving.register_keras_serializable("xframe")
class TorchRMSprop(Decaying, keras.optimizers.RMSprop):  # type: ignore[misc]
    """``torch.optim.RMSprop``: divides by ``√s + epsilon``, Keras by ``√(s + epsilon)``; ``rho`` is PyTorch's alpha.

    Its momentum is of what was divided, free of the learning rate; Keras' is of steps.
    """

    inside = False  # True: epsilon is under the root, as in Keras
    of_steps = False  # True: the momentum is of steps, as in Keras

    def __init__(
        self,
        learning_rate: Any = 0.01,
        rho: float = 0.99,
        momentum: float = 0.0,
        epsilon: float = 1e-8,
        centered: bool = False,
        weight_decay: float = 0.0,
        **others: Any,
    ) -> None:
        super().__init__(learning_rate, rho, momentum, epsilon, centered, weight_decay, **others)

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        gradient, rate = self.decayed(gradient, variable, learning_rate)
        i = self._get_variable_index(variable)
        s = self._velocities[i].value * self.rho + tf.square(gradient) * (1.0 - self.rho)
        self.assign(self._velocities[i], s)
        if self.centered:
            mean = self._average_gradients[i].value * self.rho + gradient * (1.0 - self.rho)
            self.assign(self._average_gradients[i], mean)
            s -= tf.square(mean)
        step = gradient / (tf.sqrt(s + self.epsilon) if self.inside else tf.sqrt(s) + self.epsilon)
        if self.of_steps:
            step *= rate
        if self.momentum:
            step += self._momentums[i].value * self.momentum
            self.assign(self._momentums[i], step)
        self.assign_sub(variable, step if self.of_steps else step * rate)


@keras.saving.register_keras_serializable("xframe")
class TorchAdagrad(Decaying, keras.optimizers.Adagrad):  # type: ignore[misc]
    """``torch.optim.Adagrad``: divides by ``√s + epsilon``, Keras by ``√(s + epsilon)``, and s begins at 0.

    The rate of update t is ``learning_rate / (1 + (t − 1) · lr_decay)``.
    """

    inside = False  # True: epsilon is under the root, as in Keras

    def __init__(
        self,
        learning_rate: Any = 0.01,
        initial_accumulator_value: float = 0.0,
        epsilon: float = 1e-10,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        **others: Any,
    ) -> None:
        super().__init__(learning_rate, initial_accumulator_value, epsilon, weight_decay, **others)
        self.lr_decay = lr_decay

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the sums. Keras' own would begin them with a value rounded to float32."""
        if not self.built:
            keras.optimizers.Optimizer.build(self, variables)

            def begin(shape: Any, dtype: str) -> tf.Tensor:
                return tf.fill(shape, tf.constant(self.initial_accumulator_value, dtype))

            self._accumulators = self.add_optimizer_variables(variables, "accumulator", initializer=begin)

    def prepare(self) -> None:
        self._share = 1.0 / ((self.count() - 1.0) * self.lr_decay + 1.0) if self.lr_decay else None

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        gradient, rate = self.decayed(gradient, variable, learning_rate)
        s = self._accumulators[self._get_variable_index(variable)].value
        s.assign_add(tf.square(gradient))
        if self.lr_decay:
            rate *= tf.cast(self._share, rate.dtype)
        root = tf.sqrt(s + self.epsilon) if self.inside else tf.sqrt(s) + self.epsilon
        self.assign_sub(variable, gradient * rate / root)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "lr_decay": self.lr_decay}


@keras.saving.register_keras_serializable("xframe")
class TorchAdafactor(Decaying, keras.optimizers.Adafactor):  # type: ignore[misc]
    """``torch.optim.Adafactor``: small averages are raised to ``epsilon_1``, where Keras adds it to each square.

    ``epsilon_1`` of None is the machine epsilon of each variable's type. The size of a step is that of the weights
    before they decay. Of a variable with two axes or more only averages by row and by column are kept.
    """

    decoupled = True

    def __init__(
        self,
        learning_rate: Any = 0.01,
        beta_2_decay: float = -0.8,
        epsilon_1: float | None = None,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        weight_decay: float = 0.0,
        **others: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_2_decay,
            epsilon_1,
            epsilon_2,
            clip_threshold,
            weight_decay=weight_decay,
            **others,
        )

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the averages."""
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        self._r, self._c, self._v = [], [], []
        for variable in variables:
            shape, factored = tuple(variable.shape), len(variable.shape) > 1
            self._r.append(self._average(variable, shape[:-1]) if factored else None)
            self._c.append(self._average(variable, (*shape[:-2], shape[-1])) if factored else None)
            self._v.append(None if factored else self._average(variable, shape))

    def _average(self, variable: Any, shape: Any) -> Any:
        return self.add_variable(shape=shape, dtype=variable.dtype, name=variable.name)

    def prepare(self) -> None:
        t = self.count()
        self._new, self._most = t**self.beta_2_decay, 1.0 / tf.sqrt(t)

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        size = tf.maximum(_rms(variable), tf.constant(self.epsilon_2, variable.dtype))
        gradient, rate = self.decayed(gradient, variable, learning_rate)
        i, kind = self._get_variable_index(variable), gradient.dtype
        new, squares = tf.cast(self._new, kind), tf.square(gradient)
        least = self.epsilon_1
        if least is None:
            least = float(ml_dtypes.finfo(kind.as_numpy_dtype).eps)  # type: ignore[no-untyped-call]

        def moved(held: Any, values: tf.Tensor) -> tf.Tensor:
            mean = held.value + (values - held.value) * new
            self.assign(held, mean)
            return mean

        if len(variable.shape) < 2:
            s = moved(self._v[i], squares)
        else:
            r, c = moved(self._r[i], tf.reduce_mean(squares, -1)), moved(self._c[i], tf.reduce_mean(squares, -2))
            r /= tf.maximum(tf.reduce_mean(r, -1, keepdims=True), least)
            s = r[..., None] * c[..., None, :]
        step = gradient * tf.math.rsqrt(tf.maximum(s, least * least))
        share = size * tf.minimum(rate, tf.cast(self._most, kind)) / tf.maximum(_rms(step) / self.clip_threshold, 1.0)
        self.assign_sub(variable, step * share)


def _rms(values: Any) -> tf.Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(values)))
