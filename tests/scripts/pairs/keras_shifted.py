"""Handwritten digits, each shifted at random before each epoch, with Keras' fit."""

import keras
import numpy as np
from sklearn.datasets import load_digits

images, targets = load_digits(return_X_y=True)
images = (images / 16).astype("float32").reshape(-1, 8, 8)
start = np.load("start.npz")
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
model.set_weights([start["kernel"], start["bias"], start["kernel_1"], start["bias_1"]])

loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(0.1), loss)
rng = np.random.default_rng(5)
for epoch in range(3):
    shifted = np.stack([np.roll(image, rng.integers(-2, 3), axis=1).reshape(64) for image in images])
    model.fit(shifted, targets, batch_size=64, epochs=epoch + 1, initial_epoch=epoch, shuffle=False, verbose=0)
