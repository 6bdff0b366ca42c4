"""Two losses, each with a tape of its own; the script adds up their gradients, or clips and applies the second one."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((120, 6), dtype=np.float32)
y = np.random.default_rng(1).random((120, 1), dtype=np.float32)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
optimizer = keras.optimizers.SGD(0.1)


@tf.function
def train_step(inputs, targets, both):
    weights = model.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.mean_squared_error(targets, model(inputs, training=True)))
    gradients = tape.gradient(loss, weights)
    with tf.GradientTape() as tape:
        term = tf.reduce_mean(tf.square(model(inputs, training=True)))
    others = tape.gradient(term, weights)
    if both:
        gradients = [a + b for a, b in zip(gradients, others, strict=True)]
    else:
        gradients, _ = tf.clip_by_global_norm(others, 0.5)
    optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return loss + term if both else term


steps = []
for start in range(0, 120, 30):
    inputs, targets = tf.constant(x[start : start + 30]), tf.constant(y[start : start + 30])
    loss = train_step(inputs, targets, both=start < 60)
    steps.append((30, int(optimizer.iterations), None, float(loss), 0.1))
weights = model.get_weights()
