"""A GradientTape loop outside of tf.function, with gradients clipped by their global norm."""

import keras
import numpy as np
import tensorflow as tf

tf.random.set_seed(0)
keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = np.random.default_rng(1).random((150, 1), dtype=np.float32)
dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(150).batch(64)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
steps, norms = [], []
for epoch in range(3):
    for inputs, targets in dataset:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.mean_squared_error(targets, model(inputs, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        gradients, norm = tf.clip_by_global_norm(gradients, 0.2)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        steps.append((len(inputs), int(optimizer.iterations), epoch, float(loss), 0.05))
        norms.append((float(norm), float(tf.linalg.global_norm(gradients))))
    print(epoch, float(tf.reduce_mean((y - model(x)) ** 2)))
weights = model.get_weights()
