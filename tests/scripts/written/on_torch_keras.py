"""Keras computing on torch: dropout, clipping by a global norm, a part kept for validation, two batches an update."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((120, 6)).astype("float32")
y = np.random.default_rng(1).integers(0, 3, 120)
model = keras.Sequential(
    [keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(3)]
)
model.compile(
    optimizer=keras.optimizers.Adam(0.01, global_clipnorm=0.5, gradient_accumulation_steps=2),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
updates = []


class Counting(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs):
        updates.append(int(model.optimizer.iterations))


history = model.fit(x, y, batch_size=32, epochs=2, validation_split=0.25, verbose=0, callbacks=[Counting()])
print(history.history["val_loss"])
