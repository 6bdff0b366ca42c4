"""Compiled by XLA."""

import keras
import numpy as np

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((120, 6), dtype=np.float32)
y = np.random.default_rng(1).random((120, 1), dtype=np.float32)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(0.05, clipvalue=0.01), "mse", jit_compile=True)
history = model.fit(x, y, batch_size=40, epochs=2, shuffle=False, verbose=0).history
steps = [(40, step + 1, step // 3, None, 0.05) for step in range(6)]
ids = [np.arange(40 * (step % 3), 40 * (step % 3) + 40) for step in range(6)]
means = [([0, 1, 2], history["loss"][0]), ([3, 4, 5], history["loss"][1])]
weights = model.get_weights()
