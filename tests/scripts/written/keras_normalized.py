"""fit of a model with batch normalization: its scale's gradient is a product, which a rate is multiplied into."""

import keras
import numpy as np

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((320, 8, 8, 1), dtype=np.float32)
y = np.random.default_rng(1).integers(0, 10, 320)
layers = keras.layers
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(10),
    ]
)
model.compile(keras.optimizers.SGD(0.1, 0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
passed = []


def look(*_, **__):
    passed.append([np.array(one) for one in model.trainable_variables])


look()
callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
history = model.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0, callbacks=[callback]).history
steps = [(32, step + 1, step // 10, None, 0.1) for step in range(20)]
means = [(list(range(10)), history["loss"][0]), (list(range(10, 20)), history["loss"][1])]
flat = np.array([np.concatenate([one.ravel() for one in held]) for held in passed], dtype=np.float64)
moved = np.diff(flat, axis=0, prepend=flat[:1])
norm = np.linalg.norm(0.9 * moved[:-1] - moved[1:], axis=1) / 0.1
norms = np.stack([norm, norm], axis=1)
weights = model.get_weights()
