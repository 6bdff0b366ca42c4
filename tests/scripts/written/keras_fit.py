"""fit on arrays, with a part held out, a schedule and several steps a call; a layer keeps the order of the samples."""

import keras
import numpy as np
import tensorflow as tf


class Order(keras.layers.Layer):
    """Writes down which samples it saw in training."""

    def build(self, shape):
        self.seen = tf.Variable(tf.fill([300], -1), trainable=False)
        self.count = tf.Variable(0, trainable=False)

    def call(self, inputs, training=None):
        if training:
            ids = tf.cast(tf.round(inputs[:, 0] * 150), tf.int32)
            places = self.count + tf.range(tf.size(ids))
            self.seen.scatter_nd_update(places[:, None], ids)
            self.count.assign_add(tf.size(ids))
        return inputs


keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
x[:, 0] = np.arange(150) / 150  # each sample can be told from its first feature
y = np.random.default_rng(1).integers(0, 3, 150)
order = Order()
model = keras.Sequential(
    [keras.Input((6,)), order, keras.layers.Dense(8, "tanh"), keras.layers.Dropout(0.2), keras.layers.Dense(3)]
)

rate = keras.optimizers.schedules.CosineDecay(0.01, 10)
model.compile(
    keras.optimizers.AdamW(rate),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
    steps_per_execution=3,
)
history = model.fit(x, y, batch_size=32, epochs=2, validation_split=0.2, verbose=2).history

steps = [(size, step + 1, step // 4, None, float(rate(step))) for step, size in enumerate([32, 32, 32, 24] * 2)]
ids = np.split(order.seen.numpy()[:240], np.cumsum([32, 32, 32, 24] * 2)[:-1])
means = [([0, 1, 2, 3], history["loss"][0]), ([4, 5, 6, 7], history["loss"][1])]
validations = list(zip(history["val_loss"], history["val_accuracy"], [30, 30], strict=True))
weights = model.get_weights()
