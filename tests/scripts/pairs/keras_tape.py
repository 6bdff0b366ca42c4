"""Handwritten digits with a GradientTape, over tf.data."""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

features, targets = load_digits(return_X_y=True)
features = (features / 16).astype("float32")
start = np.load("start.npz")
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
model.set_weights([start["kernel"], start["bias"], start["kernel_1"], start["bias_1"]])

dataset = tf.data.Dataset.from_tensor_slices((features, targets)).batch(64)
optimizer = keras.optimizers.SGD(0.1)
criterion = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@tf.function
def train_step(inputs, labels):
    with tf.GradientTape() as tape:
        loss = criterion(labels, model(inputs, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return loss


for _ in range(3):
    for inputs, labels in dataset:
        loss = train_step(inputs, labels)
