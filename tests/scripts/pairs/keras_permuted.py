"""Handwritten digits with Keras' train_on_batch, over permutations."""

import keras
import numpy as np
from sklearn.datasets import load_digits

features, targets = load_digits(return_X_y=True)
features = (features / 16).astype("float32")
start = np.load("start.npz")
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
model.set_weights([start["kernel"], start["bias"], start["kernel_1"], start["bias_1"]])

loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(0.1), loss)
rng = np.random.default_rng(7)
for _ in range(3):
    order = rng.permutation(len(features))
    for first in range(0, len(order), 64):
        rows = order[first : first + 64]
        model.train_on_batch(features[rows], targets[rows])
