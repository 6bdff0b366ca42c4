"""Gradients of three batches make an update, clipped; classes weigh differently; epochs are counted from the second."""

import keras
import numpy as np

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((150, 6), dtype=np.float32)
y = np.random.default_rng(1).integers(0, 2, 150)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.01))])
model.compile(
    keras.optimizers.Adam(0.01, gradient_accumulation_steps=3, global_clipnorm=0.1),
    keras.losses.BinaryCrossentropy(from_logits=True),
)
model.fit(x, y, batch_size=32, epochs=4, initial_epoch=1, shuffle=False, class_weight={0: 1.0, 1: 2.0}, verbose=0)
steps = [(22 if step % 5 == 4 else 32, (step + 1) // 3, 1 + step // 5, None, 0.01) for step in range(15)]
ids = [np.arange(150)[32 * (step % 5) :][:32] for step in range(15)]
weights = model.get_weights()
assert int(model.optimizer.iterations) == 5  # Keras' own count
