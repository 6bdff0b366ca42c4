"""A training step of its own, written over fit, on a data set of batches; then single batches."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
x[:, 0] = np.arange(150) / 150  # each sample can be told from its first feature
y = np.random.default_rng(1).integers(0, 3, 150)
model = keras.Sequential(
    [keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dropout(0.2), keras.layers.Dense(3)]
)

model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(40), epochs=2, shuffle=False, verbose=0)
losses = [model.train_on_batch(x[start : start + 50], y[start : start + 50]) for start in (0, 50, 100)]
