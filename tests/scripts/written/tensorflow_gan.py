"""Two networks, two tapes and two optimizers in one tf.function, as the tutorial on images writes it."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
dataset = tf.data.Dataset.from_tensor_slices(x).shuffle(150).batch(64)
generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(6)])
discriminator = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
of_generator, of_discriminator = keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.02)
judged = keras.losses.BinaryCrossentropy(from_logits=True)


@tf.function
def train_step(images):
    noise = tf.random.normal([tf.shape(images)[0], 2])
    with tf.GradientTape() as tape, tf.GradientTape() as other_tape:
        made = generator(noise, training=True)
        real, fake = discriminator(images, training=True), discriminator(made, training=True)
        loss = judged(tf.ones_like(fake), fake)
        other = judged(tf.ones_like(real), real) + judged(tf.zeros_like(fake), fake)
    gradients = tape.gradient(loss, generator.trainable_variables)
    others = other_tape.gradient(other, discriminator.trainable_variables)
    of_generator.apply_gradients(zip(gradients, generator.trainable_variables, strict=True))
    of_discriminator.apply_gradients(zip(others, discriminator.trainable_variables, strict=True))
    return loss


steps = []
for epoch in range(2):
    for images in dataset:
        loss = train_step(images)
        updates = int(of_generator.iterations) + int(of_discriminator.iterations)
        steps.append((len(images), updates, epoch, float(loss), 0.01))
weights = generator.get_weights() + discriminator.get_weights()
