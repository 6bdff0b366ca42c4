"""fit on arrays, with a part held out, a schedule and several steps a call."""

import keras
import numpy as np

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
x[:, 0] = np.arange(150) / 150  # each sample can be told from its first feature
y = np.random.default_rng(1).integers(0, 3, 150)
model = keras.Sequential(
    [keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dropout(0.2), keras.layers.Dense(3)]
)

rate = keras.optimizers.schedules.CosineDecay(0.01, 10)
model.compile(
    keras.optimizers.AdamW(rate),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
    steps_per_execution=3,
)
history = model.fit(x, y, batch_size=32, epochs=2, validation_split=0.2, verbose=0)
