"""A training as Keras' tutorials write it: fit on arrays. Nothing here is written for xframe."""

import keras
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
features, targets = load_digits(return_X_y=True)
features = (features / 16).astype("float32")
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(features, targets, batch_size=64, epochs=3, verbose=0)
