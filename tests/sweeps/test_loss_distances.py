"""Losses and their gradients are the same in torch, TensorFlow and NumPy; and a wrong one is seen.

More of them, in tests/: ``python -m sweeps losses 2000``.
"""

from dataclasses import replace

import pytest
from xframe_numpy import losses as reference

from sweeps.losses import ADAPTERS, run
from xframe.tasks.losses import LOSSES

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
    assert run(60, 1, ("torch",), (name,)).mismatches
