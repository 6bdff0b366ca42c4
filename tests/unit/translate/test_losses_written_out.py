"""Losses that are written out: the printed function computes what the source's own does, in NumPy's operations."""

import types

import numpy as np
import pytest
import torch

from xframe.translate.translating import translate

OPS = types.SimpleNamespace(
    **{name: getattr(np, name) for name in ("where", "take", "mean", "sum", "ones_like", "log", "clip")},
    log_softmax=lambda x, axis: x - np.log(np.exp(x).sum(axis, keepdims=True)),
    cast=lambda x, dtype: x.astype(dtype),
    take_along_axis=np.take_along_axis,
    convert_to_tensor=lambda x, dtype=None: np.asarray(x, dtype),
)


def _as_keras(source):
    written = translate(source, "keras").written
    names = {"keras": types.SimpleNamespace(ops=OPS)}
    exec("\n".join(written.setup), names)
    return names["loss"], "\n".join(written.setup)


@pytest.mark.parametrize(
    "arguments",
    [
        {"ignore_index": 1, "label_smoothing": 0.25},
        {"weight": [1.0, 2.0, 3.0], "ignore_index": 1},
        {"weight": [1.0, 2.0, 3.0], "ignore_index": 1, "label_smoothing": 0.25, "reduction": "sum"},
        {"weight": [1.0, 2.0, 3.0], "label_smoothing": 0.25},
    ],
)
def test_a_cross_entropy_of_ignored_and_weighted_labels(arguments):
    items = [(name, f"torch.tensor({value})" if name == "weight" else repr(value)) for name, value in arguments.items()]
    text = ", ".join(f"{name}={value}" for name, value in items)
    loss, printed = _as_keras(f"torch.nn.CrossEntropyLoss({text})")
    assert "* valid" not in printed  # TensorFlow multiplies no bool
    arguments["weight"] = torch.tensor(arguments["weight"], dtype=torch.float64) if "weight" in arguments else None
    own = torch.nn.CrossEntropyLoss(**arguments)
    logits, labels = np.random.default_rng(1).normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 2])
    masked = logits.copy()
    masked[0, 2] = -np.inf  # of a class that is not the target's: no 0 times -inf
    for outputs in (logits, masked):
        expected = float(own(torch.tensor(outputs), torch.tensor(labels)))
        assert loss(labels, outputs) == pytest.approx(expected, rel=1e-13)


def test_the_mean_of_no_valid_label_is_that_of_the_source():
    torchs, _ = _as_keras("torch.nn.CrossEntropyLoss(ignore_index=1, label_smoothing=0.1)")
    with np.errstate(invalid="ignore"):
        assert np.isnan(torchs(np.array([1, 1]), np.zeros((2, 3))))
    source = "keras.losses.SparseCategoricalCrossentropy(ignore_class=1)"
    written = translate(source).written
    if written is not None:
        names = {"torch": torch}
        exec("\n".join(written.setup), names)
        assert float(names["loss"](torch.full((2, 3), 1 / 3), torch.tensor([1, 1]))) == 0.0
