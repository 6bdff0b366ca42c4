"""Each half of a model has an optimizer of its own; one tape gives the gradients of both, clipped together."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((90, 6), dtype=np.float32)
y = np.random.default_rng(1).integers(0, 3, 90)
body, head = keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)
model = keras.Sequential([keras.Input((6,)), body, head])
of_body, of_head = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)
criterion = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@tf.function
def train_step(inputs, labels):
    with tf.GradientTape() as tape:
        loss = criterion(labels, model(inputs, training=True))
    gradients, norm = tf.clip_by_global_norm(tape.gradient(loss, model.trainable_variables), 0.2)
    of_body.apply_gradients(zip(gradients[:2], body.trainable_variables, strict=True))
    of_head.apply_gradients(zip(gradients[2:], head.trainable_variables, strict=True))
    return loss, norm


steps, norms = [], []
for start in range(0, 90, 30):
    loss, norm = train_step(tf.constant(x[start : start + 30]), tf.constant(y[start : start + 30]))
    steps.append((30, int(of_body.iterations) + int(of_head.iterations), None, float(loss), 0.1))
    norms.append((float(norm), min(float(norm), 0.2)))
weights = model.get_weights()
