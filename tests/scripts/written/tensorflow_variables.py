"""TensorFlow's basics: variables, a tape, and weights that the script itself moves."""

import numpy as np
import tensorflow as tf

x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = x @ np.arange(6, dtype=np.float32) + 1
w, b = tf.Variable(tf.zeros([6])), tf.Variable(0.0)


@tf.function
def train(inputs, targets):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(targets - (tf.linalg.matvec(inputs, w) + b)))
    dw, db = tape.gradient(loss, [w, b])
    w.assign_sub(0.1 * dw)
    b.assign_sub(0.1 * db)
    return loss


steps = []
for start in range(0, 150, 40):
    loss = train(tf.constant(x[start : start + 40]), tf.constant(y[start : start + 40]))
    steps.append((min(40, 150 - start), None, None, float(loss), None))
weights = [w.numpy(), b.numpy()]
