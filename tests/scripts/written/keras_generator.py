"""A Python generator of unknown length, and a rate that a callback sets each epoch."""

import keras
import numpy as np

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = np.random.default_rng(1).integers(0, 3, 150)
sizes = []


def batches():
    while True:
        for start in range(0, 150, 40):
            yield x[start : start + 40], y[start : start + 40]


class Count(keras.callbacks.Callback):
    """Writes down each step."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        size = 30 if len(self.steps) % 4 == 3 else 40
        optimizer = self.model.optimizer
        self.steps.append((size, int(optimizer.iterations), self.epoch, None, float(optimizer.learning_rate)))


count = Count()
halved = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / 2**epoch)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(batches(), steps_per_epoch=3, epochs=3, callbacks=[halved, count], verbose=0)
steps = count.steps
weights = model.get_weights()
