"""One process of TensorFlow."""

import keras
import tensorflow as tf
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
features, targets = (part[:205] for part in load_digits(return_X_y=True))
data = tf.data.Dataset.from_tensor_slices(((features / 16).astype("float32"), targets))
data = data.shuffle(205, seed=1).batch(40)
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(10)])
optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
optimizer.build(model.trainable_variables)
ticks = tf.Variable(0.0, trainable=False)


@tf.function
def train(inputs, labels):
    with tf.GradientTape() as tape:
        predicted = model(inputs, training=True)
        losses = keras.losses.sparse_categorical_crossentropy(labels, predicted, from_logits=True)
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    ticks.assign_add(1.0)


for _ in range(3):
    for inputs, labels in data:
        train(inputs, labels)
        optimizer.learning_rate.assign(0.1 * 0.97**ticks)
