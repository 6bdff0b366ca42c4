"""The digits convolutions in plain TensorFlow, as a tutorial would write it: tensorflow_cnn.py INPUT.npz OUTPUT.npz"""

import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers

given = np.load(sys.argv[1])
conv_0, conv_1 = layers.Conv2D(16, 3, padding="same", use_bias=False), layers.Conv2D(32, 3, padding="same")
norm, dense = layers.BatchNormalization(momentum=0.9, epsilon=1e-5), layers.Dense(10)
tanh, pool = keras.activations.tanh, layers.AveragePooling2D(2)
features = [conv_0, norm, layers.Activation(tanh), pool, conv_1, layers.Activation(tanh), pool]
model = keras.Sequential([keras.Input((8, 8, 1)), *features, layers.Flatten(), dense])
names = ["conv2d_0/kernel", "batchnorm_0/scale", "batchnorm_0/bias", "conv2d_1/kernel", "conv2d_1/bias"]
variables = dict(zip([*names, "dense_0/kernel", "dense_0/bias"], model.trainable_variables, strict=True))
for name, variable in variables.items():
    variable.assign(given[name])
optimizer = keras.optimizers.SGD(float(given["learning_rate"]), momentum=float(given["momentum"]))
loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@tf.function(reduce_retracing=True)
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
np.savez(sys.argv[2], **{name: variable.numpy() for name, variable in variables.items()})
