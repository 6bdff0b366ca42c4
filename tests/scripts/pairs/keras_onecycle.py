"""Handwritten digits with Keras' fit; the rate goes up and down once."""

import keras
import numpy as np
from sklearn.datasets import load_digits


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Up in three tenths of the updates, down in the rest, along cosines."""

    def __init__(self, peak, total_steps):
        self.peak, self.total_steps = peak, total_steps

    def get_config(self):
        return {"peak": self.peak, "total_steps": self.total_steps}

    def __call__(self, step):
        ops, step = keras.ops, keras.ops.cast(step, "float32")
        turn, end = 0.3 * self.total_steps - 1, self.total_steps - 1.0

        def along(start, stop, share):
            return stop + (start - stop) / 2 * (1 + ops.cos(np.pi * share))

        up = along(self.peak / 25, self.peak, step / turn)
        down = along(self.peak, self.peak / 25e4, (step - turn) / (end - turn))
        return ops.where(step <= turn, up, down)


features, targets = load_digits(return_X_y=True)
features = (features / 16).astype("float32")
start = np.load("start.npz")
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
model.set_weights([start["kernel"], start["bias"], start["kernel_1"], start["bias_1"]])

optimizer = keras.optimizers.SGD(OneCycle(0.01, 87))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer, loss)
model.fit(features, targets, batch_size=64, epochs=3, shuffle=False, verbose=0)
