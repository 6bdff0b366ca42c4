"""Under a distribution strategy of one device, with a loop over batches of the model's own, then with Keras'."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = np.random.default_rng(1).random((150, 1), dtype=np.float32)


class Own(keras.Sequential):
    """Makes the function that fit calls itself."""

    def make_train_function(self, force=False):
        def train(iterator):
            return self.train_step(next(iterator))

        self.train_function = train
        return train


with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
other = Own([keras.Input((6,)), keras.layers.Dense(1)])
other.compile(keras.optimizers.SGD(0.2), "mse", run_eagerly=True)
steps = []
for each, rate in ((model, 0.1), (other, 0.2)):
    each.fit(x, y, batch_size=64, shuffle=False, verbose=0)
    steps += [(size, len(steps) + step + 1, 0, None, rate) for step, size in enumerate([64, 64, 22])]
weights = model.get_weights() + other.get_weights()
