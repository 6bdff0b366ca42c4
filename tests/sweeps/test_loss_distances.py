"""Losses and their gradients are the same in torch, TensorFlow and NumPy; and a wrong one is seen.

More of them, in tests/: ``python -m sweeps losses 500``.
"""

from dataclasses import replace

import numpy as np
import pytest
from xframe_numpy import losses as reference

from sweeps.losses import ADAPTERS, run
from xframe.tasks.losses import LOSSES, named, names

CASES = {"torch": 16, "tensorflow": 5}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_compute_numpys_losses(adapter, record_property):
    result = run(CASES[adapter], 1, (adapter,))
    record_property("sample", f"losses: {result.cases} drawn cases through {adapter}, seed 1")
    assert result.mismatches == []
    assert result.cases == CASES[adapter] * len(LOSSES)
    assert {(name, kind) for name, _, kind in result.worst} == {
        (name, kind) for name in LOSSES for kind in ("float64", "float32")
    }


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("CrossEntropy", {"label_smoothing": 0.10001}),
        ("CrossEntropy", {"reduction": "mean"}),
        ("CrossEntropy", {"empty": "zero"}),
        ("BinaryCrossEntropy", {"pos_weight": 1.0001}),
        ("BinaryCrossEntropy", {"clip": 1.0001e-7}),
        ("Huber", {"delta": 1.0001}),
        ("SmoothL1", {"beta": 1.0001}),
        ("KLDivergence", {"reduction": "batch_mean"}),
        ("Poisson", {"full": False}),
        ("Poisson", {"epsilon": 1e-7}),
        ("Hinge", {"targets": "signs"}),
        ("CosineSimilarity", {"epsilon": 1e-6}),
    ],
)
def test_a_wrong_loss_is_seen(name, changes, monkeypatch):
    right = reference.lowered

    def wrong(loss, *, weighted=False):
        given = {
            key: value
            for key, value in changes.items()
            if getattr(loss, "outputs", "") == "logits" or key != "pos_weight"
        }
        return right(replace(loss, **given), weighted=weighted)

    monkeypatch.setattr(reference, "lowered", wrong)
    assert run(30, 1, ("torch",), (name,)).mismatches


@pytest.mark.parametrize("weighted", [False, True])
def test_a_name_of_keras_is_keras_loss(weighted):
    """With its defaults, at numbers where its own formula loses no digits."""
    import keras
    import tensorflow as tf

    keras.config.set_floatx("float64")
    rng = np.random.default_rng(7)
    logits, sample = rng.standard_normal((6, 4)), rng.random(6) if weighted else None
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    probabilities[0] = [1, 0, 0, 0]
    given = {
        "CategoricalCrossentropy": (probabilities * 0.8, rng.permutation(probabilities)),
        "SparseCategoricalCrossentropy": (probabilities * 0.8, rng.integers(4, size=6)),
        "BinaryCrossentropy": (probabilities, rng.random((6, 4))),
        "KLDivergence": (probabilities, rng.permutation(probabilities)),
        "Poisson": (probabilities, rng.poisson(2, (6, 4)).astype(float)),
        "Hinge": (logits, rng.integers(2, size=(6, 4)).astype(float)),
    }
    given["SquaredHinge"] = given["Hinge"]
    try:
        for name in [name.removeprefix("keras.") for name in names() if name.startswith("keras.")]:
            x, y = given.get(name, (logits, rng.standard_normal((6, 4))))
            for keras_reduction, reduction in (("sum_over_batch_size", "mean"), ("sum", "sum")):
                outputs = tf.constant(x)
                with tf.GradientTape() as tape:
                    tape.watch(outputs)
                    value = getattr(keras.losses, name)(reduction=keras_reduction)(y, outputs, sample)
                loss = named(f"keras.{name}", {"reduction": reduction})
                seen, gradient = reference.lowered(loss, weighted=True)(x, y, sample)
                off = 24 * 2e-9 if name == "LogCosh" else 0.0  # Keras takes log 2 in float32 for each element
                assert seen == pytest.approx(value.numpy(), rel=1e-12, abs=off), name
                np.testing.assert_allclose(gradient, tape.gradient(value, outputs), rtol=1e-12, atol=1e-14)
    finally:
        keras.config.set_floatx("float32")
