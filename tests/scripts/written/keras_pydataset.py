"""A PyDataset that two threads fill, trained in two runs of fit, the second going on where the first ended."""

import keras
import numpy as np

x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = np.random.default_rng(1).random((150, 1), dtype=np.float32)


class Batches(keras.utils.PyDataset):
    """Batches of 32, the last shorter."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        rows = slice(32 * index, 32 * index + 32)
        return x[rows], y[rows]


class Count(keras.callbacks.Callback):
    """Writes down each step, and each loss as the mean over the epoch so far says it."""

    steps, seen = [], (0, 0.0)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.seen = epoch, (0, 0.0)

    def on_train_batch_end(self, batch, logs=None):
        size = 22 if batch == 4 else 32
        rows, total = self.seen
        self.seen = rows + size, logs["loss"] * (rows + size)
        loss = (self.seen[1] - total) / size
        self.steps.append((size, int(self.model.optimizer.iterations), self.epoch, loss, 0.01))


keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
model.compile(keras.optimizers.RMSprop(0.01), "mse")
model.fit(Batches(workers=2), epochs=1, shuffle=False, callbacks=[Count()], verbose=0)
model.fit(Batches(), epochs=2, initial_epoch=1, shuffle=False, callbacks=[Count()], verbose=0)
steps = Count.steps
weights = model.get_weights()
