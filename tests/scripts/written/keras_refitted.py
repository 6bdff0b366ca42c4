"""fit for each permutation, one that goes on where it says, and a second model's: epochs count on for each model."""

import keras
import numpy as np

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((80, 6), dtype=np.float32)
y = np.random.default_rng(1).random((80, 1), dtype=np.float32)


def made():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


model, other = made(), made()
for seed in range(3):
    order = np.random.default_rng(seed).permutation(80)
    model.fit(x[order], y[order], batch_size=40, shuffle=False, verbose=0)
model.fit(x, y, batch_size=40, initial_epoch=5, epochs=7, shuffle=False, verbose=0)
model.fit(x, y, batch_size=40, initial_epoch=2, epochs=4, shuffle=False, verbose=0)
other.fit(x, y, batch_size=40, epochs=2, shuffle=False, verbose=0)
epochs = np.repeat([0, 1, 2, 5, 6, 7, 8, 0, 1], 2).tolist()
steps = [(40, step + 1, epoch, None, 0.05) for step, epoch in enumerate(epochs)]
weights = [*model.get_weights(), *other.get_weights()]
