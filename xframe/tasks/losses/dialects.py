"""Losses by name: what each framework's own loss of that name is, with that framework's defaults.

``huber`` is this project's own; ``keras.Huber`` and ``torch.HuberLoss`` are what Keras 3 and PyTorch call so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xframe.errors import unknown
from xframe.tasks import plain
from xframe.tasks.losses.formulas import (
    AbsoluteError,
    BinaryCrossEntropy,
    CosineSimilarity,
    CrossEntropy,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    NegativeSum,
    Poisson,
    SmoothL1,
    SquaredError,
)

LOSSES: Mapping[str, type[Loss]] = {
    loss.__name__: loss
    for loss in (
        *(CrossEntropy, BinaryCrossEntropy, SquaredError, AbsoluteError, Huber, SmoothL1, LogCosh, KLDivergence),
        *(Poisson, Hinge, CosineSimilarity, NegativeSum),
    )
}
WORDS = ("softmax_cross_entropy", "mean_squared_error", "negative_sum")  # of these, the ones every adapter has
_OWN: plain.Names[Loss] = {
    "softmax_cross_entropy": (CrossEntropy, {}),
    "binary_cross_entropy": (BinaryCrossEntropy, {}),
    "mean_squared_error": (SquaredError, {}),
    "mean_absolute_error": (AbsoluteError, {}),
    "huber": (Huber, {}),
    "smooth_l1": (SmoothL1, {}),
    "log_cosh": (LogCosh, {}),
    "kl_divergence": (KLDivergence, {}),
    "poisson": (Poisson, {}),
    "hinge": (Hinge, {}),
    "squared_hinge": (Hinge, {"squared": True}),
    "cosine_similarity": (CosineSimilarity, {}),
    "negative_sum": (NegativeSum, {}),
}
_ROWS = {"items": "rows", "empty": "zero"}
_PROBABILITIES = {"outputs": "probabilities", "empty": "zero"}
_KERAS: plain.Names[Loss] = {  # 3.15
    "CategoricalCrossentropy": (CrossEntropy, {**_PROBABILITIES, "targets": "distribution", "weighing": "items"}),
    "SparseCategoricalCrossentropy": (CrossEntropy, {**_PROBABILITIES, "weighing": "items", "normalization": "after"}),
    "BinaryCrossentropy": (BinaryCrossEntropy, {**_PROBABILITIES, **_ROWS}),
    "MeanSquaredError": (SquaredError, _ROWS),
    "MeanAbsoluteError": (AbsoluteError, _ROWS),
    "Huber": (Huber, _ROWS),
    "LogCosh": (LogCosh, _ROWS),
    "KLDivergence": (KLDivergence, {**_PROBABILITIES, **_ROWS}),
    "Poisson": (Poisson, {"outputs": "rates", "epsilon": 1e-7, **_ROWS}),
    "Hinge": (Hinge, {"targets": "any", **_ROWS}),
    "SquaredHinge": (Hinge, {"targets": "any", "squared": True, **_ROWS}),
    "CosineSimilarity": (CosineSimilarity, {"empty": "zero"}),
}
_NLL = {"reduction": "weighted_mean", "ignored": -100}
_TORCH: plain.Names[Loss] = {  # 2.13
    "CrossEntropyLoss": (CrossEntropy, _NLL),
    "NLLLoss": (CrossEntropy, {"outputs": "log_probabilities", **_NLL}),
    "BCEWithLogitsLoss": (BinaryCrossEntropy, {}),
    "BCELoss": (BinaryCrossEntropy, {"outputs": "probabilities", "guard": "floor"}),
    "MSELoss": (SquaredError, {}),
    "L1Loss": (AbsoluteError, {}),
    "HuberLoss": (Huber, {}),
    "SmoothL1Loss": (SmoothL1, {}),
    "KLDivLoss": (KLDivergence, {"items": "elements"}),
    "PoissonNLLLoss": (Poisson, {}),
}
_DIALECTS: plain.Dialects[Loss] = {"": _OWN, "keras.": _KERAS, "torch.": _TORCH}


def names() -> tuple[str, ...]:
    """All names that ``named`` knows."""
    return plain.all_names(_DIALECTS)


def named(name: str, settings: Mapping[str, Any] | None = None) -> Loss:
    """The loss of that name, with some of its fields set otherwise.

    Raises:
        UsageError: an unknown name or field, or a value that the field cannot have.
    """
    loss, defaults = plain.named(_DIALECTS, "loss", name)
    return plain.made(loss, defaults | dict(settings or {}), f"loss {name!r}")


def from_dict(values: Mapping[str, Any]) -> Loss:
    """What ``Loss.to_dict`` returned, or a table of TOML with ``name`` instead of ``loss``.

    Raises:
        UsageError: an unknown loss, name or field, or a value that the field cannot have.
    """
    settings = dict(values)
    if "name" in settings:
        return named(str(settings.pop("name")), settings)
    kind = settings.pop("loss", None)
    if not isinstance(kind, str) or kind not in LOSSES:
        raise unknown("loss", str(kind), LOSSES)
    return plain.made(LOSSES[kind], settings, f"loss {kind!r}")


def of(loss: Loss | str) -> Loss:
    """The loss that a word is short for, or the loss itself."""
    return loss if isinstance(loss, Loss) else named(str(loss))
