"""A loop by hand that leaves a batch out after its loss: no gradient is taken of it."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((80, 6), dtype=np.float32)
y = np.random.default_rng(1).random((80, 1), dtype=np.float32)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
optimizer, mean_square = keras.optimizers.SGD(0.05), keras.losses.MeanSquaredError()
steps = []
for batch in range(8):
    rows = slice(10 * batch, 10 * batch + 10)
    with tf.GradientTape() as tape:
        loss = mean_square(y[rows], model(x[rows], training=True))
    if batch % 4 == 2:
        continue
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    steps.append((10, len(steps) + 1, None, float(loss), 0.05))
weights = model.get_weights()
