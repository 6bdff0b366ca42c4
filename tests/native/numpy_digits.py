"""Two-layer perceptron in plain NumPy, as a tutorial would write it: numpy_digits.py INPUT.npz OUTPUT.npz"""

import sys

import numpy as np

given = np.load(sys.argv[1])
weights = {name: given[name] for name in ("dense_0/kernel", "dense_0/bias", "dense_1/kernel", "dense_1/bias")}
velocity = {name: np.zeros_like(values) for name, values in weights.items()}
batch_size, steps = int(given["batch_size"]), 0
for order in given["orders"]:
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        if (given["drop_last"] and len(chosen) < batch_size) or steps == given["num_steps"]:
            break
        x, y = given["features"][chosen], given["targets"][chosen]
        hidden = np.maximum(x @ weights["dense_0/kernel"] + weights["dense_0/bias"], 0)
        logits = hidden @ weights["dense_1/kernel"] + weights["dense_1/bias"]
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = exponentials / exponentials.sum(axis=1, keepdims=True)
        error[np.arange(len(y)), y] -= 1
        error = error / len(y)
        error_hidden = error @ weights["dense_1/kernel"].T * (hidden > 0)
        gradients = {
            "dense_1/kernel": hidden.T @ error,
            "dense_1/bias": error.sum(axis=0),
            "dense_0/kernel": x.T @ error_hidden,
            "dense_0/bias": error_hidden.sum(axis=0),
        }
        for name, gradient in gradients.items():
            velocity[name] = float(given["momentum"]) * velocity[name] + gradient
            weights[name] = weights[name] - float(given["learning_rate"]) * velocity[name]
        steps += 1
np.savez(sys.argv[2], **weights)
