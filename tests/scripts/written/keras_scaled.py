"""A scaled loss that overflows at first: updates are skipped until the scale is small enough."""

import keras
import numpy as np

keras.utils.set_random_seed(0)
x = 64 * np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = np.random.default_rng(1).random(150, dtype=np.float32)
steps = []
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05, momentum=0.9), initial_scale=2.0**127)
model.compile(optimizer, keras.losses.MeanAbsoluteError())


class Count(keras.callbacks.Callback):
    """Writes down each step."""

    def on_train_batch_end(self, batch, logs=None):
        steps.append((50, int(optimizer.iterations), len(steps) // 3, None, 0.05))


model.fit(x, y, batch_size=50, epochs=3, shuffle=True, callbacks=[Count()], verbose=0)
attempts = list(range(1, 10))
weights = model.get_weights()
assert 0 < steps[-1][1] < 9
