"""Handwritten digits as images, batch normalisation, with Keras' fit."""

import keras
import numpy as np
from sklearn.datasets import load_digits

features, targets = load_digits(return_X_y=True)
features = (features / 16).astype("float32").reshape(-1, 8, 8, 1)
start = np.load("start.npz")
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(8, 3, padding="same"),
        keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-5),
        keras.layers.ReLU(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10),
    ]
)
model.layers[0].set_weights([start["conv"], start["bias_8"]])
model.layers[-1].set_weights([start["conv_out"], start["bias_1"]])

loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(0.1), loss)
validation = (features[:360], targets[:360])
model.fit(features, targets, batch_size=64, epochs=3, shuffle=False, validation_data=validation, verbose=0)
