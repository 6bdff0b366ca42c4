"""fit on a data set of batches; then single batches."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = np.random.default_rng(1).integers(0, 3, 150)
model = keras.Sequential(
    [keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dropout(0.2), keras.layers.Dense(3)]
)

model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
history = model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(40), epochs=2, shuffle=False, verbose=0).history
steps = [(size, step + 1, step // 4, None, 0.1) for step, size in enumerate([40, 40, 40, 30] * 2)]
means = [([0, 1, 2, 3], history["loss"][0]), ([4, 5, 6, 7], history["loss"][1])]
for start in (0, 50, 100):
    loss = model.train_on_batch(x[start : start + 50], y[start : start + 50])
    steps.append((50, int(model.optimizer.iterations), None, float(loss), 0.1))
    print(float(loss))
weights = model.get_weights()
