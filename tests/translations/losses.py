"""Both losses and their gradients at the outputs, in float64."""

import ast

import numpy as np

from translations.optimizers import exact, in_float64

SIZE, CLASSES = 12, 5


def drawn(meaning):
    """Outputs and targets that the loss takes, some of them extreme."""
    random = np.random.default_rng(11)
    logits = random.normal(size=(SIZE, CLASSES)) * 3
    logits[0], logits[1, 0] = [50.0, -50.0, 0.0, 1.5, 2.0], -700.0
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    kind, outputs = meaning["loss"], meaning.get("outputs")
    x = {"probabilities": shares, "log_probabilities": np.log(np.maximum(shares, 1e-300))}.get(outputs, logits)
    y = random.normal(size=x.shape)
    if kind == "CrossEntropy" or kind == "KLDivergence":
        y = random.dirichlet(np.ones(CLASSES), SIZE)
        y = np.log(y) if meaning["targets"] == "log_probabilities" else y
        y = random.integers(0, CLASSES, SIZE) if meaning["targets"] == "classes" else y
        y = np.where(np.arange(SIZE) % 4, y, meaning["ignored"]) if "ignored" in meaning else y
    elif kind == "BinaryCrossEntropy":
        x = 1 / (1 + np.exp(-logits)) if outputs == "probabilities" else logits
        y = random.integers(0, 2, x.shape).astype(float)
    elif kind == "Hinge":
        y = random.integers(0, 2, x.shape) * 2.0 - (meaning["targets"] == "signs")
    elif kind == "Poisson":
        x = random.normal(size=x.shape) if outputs == "log_rates" else np.abs(x) + 0.1
        y = random.poisson(3, x.shape).astype(float)
    return x, y


def valued(framework, code, setup, x, y):
    """The loss and its gradient."""
    names = {"numpy": np}
    if framework == "torch":
        import torch

        torch.set_default_dtype(torch.float64)
        names["torch"] = torch
        exec("\n".join(setup), names)
        outputs = torch.tensor(x, requires_grad=True)
        value = eval(code, names)(outputs, torch.tensor(y))
        value.backward()
        return float(value), outputs.grad.numpy()
    if framework == "keras":
        import keras
        import tensorflow as tf

        in_float64()
        names["keras"] = keras
        exec(exact("\n".join(setup), "exec"), names)
        outputs = tf.constant(x)  # as a model gives them; a variable lacks what Keras asks of a tensor
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = eval(exact(code, "eval"), names)(tf.constant(y), outputs)
        return float(value), np.array(tape.gradient(value, outputs))
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    names |= {"optax": optax, "jax": jax}
    exec("\n".join(setup), names)

    def function(outputs):
        given = dict.fromkeys(("logits", "predictions"), outputs) | dict.fromkeys(
            ("labels", "targets"), jax.numpy.array(y)
        )
        if isinstance(ast.parse(code, mode="eval").body, ast.Call):  # a source
            return jax.numpy.mean(eval(code, names | given))
        return eval(code, names)(outputs, jax.numpy.array(y))

    value, gradient = jax.value_and_grad(function)(jax.numpy.array(x))
    return float(value), np.array(gradient)


def judge(translation, written):
    """The greatest distance of loss and gradient, each relative to its greatest, in eps."""
    x, y = drawn(translation.meaning)
    expected = valued(translation.framework, translation.source, (), x, y)
    candidate = valued(translation.target, written.code, written.setup, x, y)
    loss = abs(expected[0] - candidate[0]) / max(abs(expected[0]), 1e-300)
    gradient = np.abs(expected[1] - candidate[1]).max() / np.abs(expected[1]).max()
    return max(loss, gradient) / np.finfo(np.float64).eps
