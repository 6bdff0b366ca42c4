"""Two-layer perceptron in plain JAX, as a tutorial would write it: jax_digits.py INPUT.npz OUTPUT.npz"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

given = np.load(sys.argv[1])
weights = {name: jnp.asarray(given[name]) for name in given.files if "/" in name}
velocity = {name: jnp.zeros_like(values) for name, values in weights.items()}
rate, momentum = float(given["learning_rate"]), float(given["momentum"])


@jax.jit
@jax.value_and_grad
def loss_and_gradients(weights, x, y):
    hidden = jax.nn.relu(x @ weights["dense_0/kernel"] + weights["dense_0/bias"])
    logits = hidden @ weights["dense_1/kernel"] + weights["dense_1/bias"]
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1))


@jax.jit
def update(weights, velocity, gradients):
    velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, gradients)
    return jax.tree.map(lambda w, v: w - rate * v, weights, velocity), velocity


batch_size, steps = int(given["batch_size"]), 0
for order in given["orders"]:
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        if (given["drop_last"] and len(chosen) < batch_size) or steps == given["num_steps"]:
            break
        _, gradients = loss_and_gradients(weights, given["features"][chosen], given["targets"][chosen])
        weights, velocity = update(weights, velocity, gradients)
        steps += 1
np.savez(sys.argv[2], **weights)
