"""Two networks in a training step of one's own, as Keras' guides write it."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((100, 6), dtype=np.float32)
judged = keras.losses.BinaryCrossentropy(from_logits=True)


class Gan(keras.Model):
    """A generator and a discriminator."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(6)])
        self.discriminator = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
        self.seeds = keras.random.SeedGenerator(1)

    def compile(self, generator, discriminator):
        super().compile()
        self.of_generator, self.of_discriminator = generator, discriminator

    def train_step(self, data):
        size = tf.shape(data)[0]
        made = self.generator(keras.random.normal((size, 2), seed=self.seeds))
        labels = tf.concat([tf.ones((size, 1)), tf.zeros((size, 1))], axis=0)
        with tf.GradientTape() as tape:
            loss = judged(labels, self.discriminator(tf.concat([made, data], axis=0), training=True))
        weights = self.discriminator.trainable_weights
        self.of_discriminator.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        with tf.GradientTape() as tape:
            made = self.generator(keras.random.normal((size, 2), seed=self.seeds), training=True)
            other = judged(tf.zeros((size, 1)), self.discriminator(made))
        weights = self.generator.trainable_weights
        self.of_generator.apply_gradients(zip(tape.gradient(other, weights), weights, strict=True))
        return {"loss": loss, "other": other}


class Count(keras.callbacks.Callback):
    """Writes down each step."""

    def on_train_batch_end(self, batch, logs=None):
        updates = int(model.of_generator.iterations) + int(model.of_discriminator.iterations)
        steps.append((20 if batch == 2 else 40, updates, (updates - 1) // 6, float(logs["loss"]), 0.02))


steps = []
model = Gan()
model.compile(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.02))
model.fit(x, batch_size=40, epochs=2, callbacks=[Count()], verbose=0)
weights = model.get_weights()
