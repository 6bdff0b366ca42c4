"""The script that is migrated: handwritten digits as images, with Keras' fit."""

import keras
import numpy as np
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
features, targets = load_digits(return_X_y=True)
features = (features / 16).astype("float32").reshape(-1, 8, 8, 1)
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(8, 3, padding="same"),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
np.savez("start.npz", *model.get_weights())
rate = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=29, decay_rate=0.5)
model.compile(keras.optimizers.SGD(rate, clipnorm=0.5), keras.losses.SparseCategoricalCrossentropy())
model.fit(features, targets, batch_size=64, epochs=3, validation_data=(features[:360], targets[:360]), verbose=0)
