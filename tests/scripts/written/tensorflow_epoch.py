"""A tf.function that walks over the data set itself, and adds noise."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = np.random.default_rng(1).integers(0, 3, 150)
dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)])
optimizer = keras.optimizers.Adam(0.01)
computed = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")


@tf.function
def train(dataset):
    losses = tf.TensorArray(tf.float32, 0, dynamic_size=True)
    for inputs, labels in dataset:
        noise = tf.random.normal(tf.shape(inputs), stddev=0.1)
        with tf.GradientTape() as tape:
            loss = computed(labels, model(inputs + noise, training=True)) / 32
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        losses = losses.write(losses.size(), loss)
    return losses.stack()


steps = []
for _ in range(2):
    for size, loss in zip([32, 32, 32, 32, 22], train(dataset).numpy(), strict=True):
        steps.append((size, len(steps) + 1, None, float(loss), 0.01))
assert int(optimizer.iterations) == len(steps)
weights = model.get_weights()
