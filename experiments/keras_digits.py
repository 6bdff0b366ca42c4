"""Handwritten digits in TensorFlow with Keras and a GradientTape, with the lines that record it (marked +).

Usage: keras_digits.py TRACE
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import xframe  # +

images, labels = load_digits(return_X_y=True)
x = (images / 16).astype("float32")
y = labels

model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)])
random = np.random.default_rng(0)  # both scripts start from the same weights
for layer in model.layers:
    kernel, bias = layer.get_weights()
    layer.set_weights([random.uniform(-0.2, 0.2, kernel.shape), np.zeros_like(bias)])
optimizer = keras.optimizers.SGD(learning_rate=0.05, momentum=0.9)
loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@tf.function(reduce_retracing=True)
def train_step(features, targets):
    with tf.GradientTape() as tape:
        loss = loss_fn(targets, model(features, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss


plan = xframe.TrainingPlan(epochs=3, batch_size=64)
ids = xframe.index_dataset(plan, len(x))  # and see the samples in the same order
dataset = ids.map(lambda i: (tf.gather(x, i), tf.gather(y, i), i)).batch(64)

with xframe.record(sys.argv[1], num_samples=len(x)) as rec:  # +
    for epoch in range(3):
        for features, targets, ids in dataset:
            loss = train_step(features, targets)
            rec.step(ids=ids, updates=optimizer.iterations, loss=loss, lr=optimizer.learning_rate, epoch=epoch)  # +
        print(f"epoch {epoch}: loss {float(loss):.4f}")
