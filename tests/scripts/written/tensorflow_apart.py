"""Gradients in a tf.function; the script adds up those of two batches, and applies them outside."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = np.random.default_rng(1).integers(0, 3, 150)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
optimizer = keras.optimizers.SGD(0.1)


@tf.function
def gradients_of(inputs, labels):
    with tf.GradientTape() as tape:
        logits = model(inputs, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    return loss, tape.gradient(loss, model.trainable_variables)


steps, added = [], None
for start in range(0, 150, 25):
    loss, gradients = gradients_of(tf.constant(x[start : start + 25]), tf.constant(y[start : start + 25]))
    added = gradients if added is None else [a + b for a, b in zip(added, gradients, strict=True)]
    if start % 50:
        optimizer.apply_gradients(zip([one / 2 for one in added], model.trainable_variables, strict=True))
        added = None
    steps.append((25, int(optimizer.iterations), None, float(loss), None))
weights = model.get_weights()
