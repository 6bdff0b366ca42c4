"""The digits perceptron by Keras' fit, as a tutorial would write it: keras_fit_digits.py INPUT.npz OUTPUT.npz"""

import sys

import keras
import numpy as np
import tensorflow as tf

given = np.load(sys.argv[1])
features, targets, orders = given["features"], given["targets"], iter(given["orders"])
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)])
names = ["dense_0/kernel", "dense_0/bias", "dense_1/kernel", "dense_1/bias"]
model.set_weights([given[name] for name in names])
optimizer = keras.optimizers.SGD(float(given["learning_rate"]), momentum=float(given["momentum"]))
model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))


class StopAfter(keras.callbacks.Callback):
    steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.model.stop_training = self.steps == given["num_steps"]


def one_pass():
    order = next(orders)
    yield features[order], targets[order]


size, drop = int(given["batch_size"]), bool(given["drop_last"])
signature = (tf.TensorSpec(features.shape, features.dtype), tf.TensorSpec(targets.shape, targets.dtype))
dataset = tf.data.Dataset.from_generator(one_pass, output_signature=signature).unbatch()
dataset = dataset.batch(size, drop_remainder=drop)
length = len(features) // size if drop else -(-len(features) // size)
dataset = dataset.apply(tf.data.experimental.assert_cardinality(length))
model.fit(dataset, epochs=len(given["orders"]), callbacks=[StopAfter()], shuffle=False, verbose=0)
np.savez(sys.argv[2], **dict(zip(names, model.get_weights(), strict=True)))
