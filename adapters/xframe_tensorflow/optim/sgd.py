"""PyTorch's SGD."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from xframe_tensorflow.optim.decaying import Decaying


@keras.saving.register_keras_serializable("xframe")
class TorchSGD(Decaying, keras.optimizers.SGD):  # type: ignore[misc]
    """``torch.optim.SGD``: ``v ← momentum · v + (1 − dampening) · g;  w ← w − learning_rate · v``, first ``v ← g``.

    With ``nesterov``, ``w ← w − learning_rate · (g + momentum · v)``. The velocity is free of the learning rate, so a
    change of that takes effect at once; Keras' holds the rates of the updates it was made in.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        **others: Any,
    ) -> None:
        if nesterov and (not momentum or dampening):
            raise ValueError("nesterov needs momentum above 0 and no dampening")
        super().__init__(learning_rate, float(momentum), nesterov, weight_decay, **others)
        self.dampening = dampening

    def prepare(self) -> None:
        shares = (tf.constant(share, tf.float64) for share in (1.0, 1.0 - self.dampening))  # of the first, and after
        self._share = tf.where(self.iterations == 0, *shares) if self.dampening else None

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        gradient, rate = self.decayed(gradient, variable, learning_rate)
        if self.momentum:
            velocity = self.momentums[self._get_variable_index(variable)]
            new = gradient * tf.cast(self._share, gradient.dtype) if self.dampening else gradient
            moved = velocity.value * self.momentum + new
            self.assign(velocity, moved)
            gradient = gradient + moved * self.momentum if self.nesterov else moved
        self.assign_sub(variable, gradient * rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dampening": self.dampening}
