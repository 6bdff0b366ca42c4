"""TensorFlow's quickstart for experts: a step and a test in tf.function, metrics for both."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = np.random.default_rng(1).integers(0, 3, 150)
train = tf.data.Dataset.from_tensor_slices((x[:120], y[:120])).shuffle(120).batch(32)
held_out = tf.data.Dataset.from_tensor_slices((x[120:], y[120:])).batch(15)


class Model(keras.Model):
    """Two layers, and dropout between."""

    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(8, "relu")
        self.dropout = keras.layers.Dropout(0.3)
        self.second = keras.layers.Dense(3)

    def call(self, inputs, training=None):
        return self.second(self.dropout(self.first(inputs), training=training))


model = Model()
computed = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
optimizer = keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.01, 4, 0.5, staircase=True))
train_loss, test_loss = keras.metrics.Mean(), keras.metrics.Mean()


@tf.function
def train_step(inputs, labels):
    with tf.GradientTape() as tape:
        loss = computed(labels, model(inputs, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    train_loss(loss)
    return loss


@tf.function
def test_step(inputs, labels):
    test_loss(computed(labels, model(inputs, training=False)))


steps, validations = [], []
for epoch in range(2):
    train_loss.reset_state()
    test_loss.reset_state()
    for inputs, labels in train:
        rate = float(optimizer.learning_rate)
        loss = train_step(inputs, labels)
        steps.append((len(labels), int(optimizer.iterations), epoch, float(loss), rate))
    for inputs, labels in held_out:
        test_step(inputs, labels)
    validations.append((float(test_loss.result()), None, 30))
    print(f"epoch {epoch + 1}: loss {train_loss.result():.4f}, test loss {test_loss.result():.4f}")
weights = model.get_weights()
