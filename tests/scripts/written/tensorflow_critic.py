"""A critic that steps with each batch, and a generator that steps with every third, each in a tf.function."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((100, 6), dtype=np.float32)
dataset = tf.data.Dataset.from_tensor_slices(x).batch(16)
generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(6)])
critic = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
of_generator, of_critic = keras.optimizers.RMSprop(0.002), keras.optimizers.RMSprop(0.001)


@tf.function
def critic_step(images):
    made = generator(tf.random.normal([16, 2]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(critic(made, training=True)) - tf.reduce_mean(critic(images, training=True))
    weights = critic.trainable_variables
    of_critic.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
    return loss


@tf.function
def generator_step():
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(critic(generator(tf.random.normal([16, 2]), training=True)))
    weights = generator.trainable_variables
    of_generator.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))


steps, number = [], 0
for epoch in range(2):
    for images in dataset:
        loss = critic_step(images)
        number += 1
        if number % 3 == 0:
            generator_step()
        updates = int(of_generator.iterations) + int(of_critic.iterations)
        steps.append((len(images), updates, epoch, float(loss), 0.001))
weights = generator.get_weights() + critic.get_weights()
