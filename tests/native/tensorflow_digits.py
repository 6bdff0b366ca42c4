"""The digits perceptron in plain TensorFlow, as a tutorial would write it: tensorflow_digits.py INPUT.npz OUTPUT.npz"""

import sys

import keras
import numpy as np
import tensorflow as tf

given = np.load(sys.argv[1])
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)])
names = ["dense_0/kernel", "dense_0/bias", "dense_1/kernel", "dense_1/bias"]
model.set_weights([given[name] for name in names])
optimizer = keras.optimizers.SGD(float(given["learning_rate"]), momentum=float(given["momentum"]))
loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@tf.function(reduce_retracing=True, jit_compile=str(given["loop"]) == "xla")
def train_step(x, y):
    with tf.GradientTape() as tape:
        loss = loss_fn(y, model(x, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))


steps = 0
for order in given["orders"]:
    samples = tf.data.Dataset.from_tensor_slices((given["features"][order], given["targets"][order]))
    for x, y in samples.batch(int(given["batch_size"]), drop_remainder=bool(given["drop_last"])):
        if steps == given["num_steps"]:
            break
        train_step(x, y)
        steps += 1
np.savez(sys.argv[2], **dict(zip(names, model.get_weights(), strict=True)))
