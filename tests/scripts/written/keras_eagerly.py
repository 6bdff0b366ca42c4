"""Run eagerly, with a weight for each sample, stopped within an epoch, then evaluated."""

import keras
import numpy as np

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
x[:, 0] = np.arange(150) / 150  # each sample can be told from its first feature
y = np.random.default_rng(1).integers(0, 3, 150)
seen, losses = [], []


class Model(keras.Model):
    """A layer, and a training step that writes down what it gets."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)

    def train_step(self, data):
        seen.append(np.rint(150 * data[0].numpy()[:, 0]).astype(int))
        return super().train_step(data)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if training:
            losses.append(float(loss))
        return loss


class Stop(keras.callbacks.Callback):
    """Stops in the midst of the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = len(seen) == 5


model = Model()
model.compile(
    keras.optimizers.SGD(0.1),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    weighted_metrics=["accuracy"],
    run_eagerly=True,
)
model.fit(x, y, sample_weight=np.linspace(0, 2, 150), batch_size=64, epochs=5, callbacks=[Stop()], verbose=0)
steps = [
    (len(rows), step + 1, step // 3, loss, 0.1) for step, (rows, loss) in enumerate(zip(seen, losses, strict=True))
]
ids = seen
loss, accuracy = model.evaluate(x[:50], y[:50], batch_size=20, verbose=0)
validations = [(loss, accuracy, 50)]
print(model.predict(x[:3], verbose=0).argmax(axis=1))
weights = model.get_weights()
assert len(steps) == 5
