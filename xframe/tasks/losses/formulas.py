"""Each loss as the formula it is, and what all of them have; the terms are those of the folder's text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

import numpy as np

from xframe.errors import UsageError, unknown
from xframe.tasks import plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

Reduction = Literal["mean", "weighted_mean", "sum", "batch_mean"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Loss:
    """What all losses have. Fields are checked by their names and types when a loss is made."""

    reduction: Reduction = "mean"
    empty: Literal["nan", "zero"] = "nan"

    def __post_init__(self) -> None:
        what = type(self).__name__
        hints = get_type_hints(type(self))
        for each in fields(self):
            name, value, hint = each.name, getattr(self, each.name), hints[each.name]
            if words := [word for word in get_args(hint) if isinstance(word, str)]:
                if value not in words:
                    raise unknown(f"{what} {name}", str(value), words)
            elif hint is bool and not isinstance(value, bool):
                raise UsageError(f"{what}'s {name}", got=value, expected="True or False")
            elif hint is float and not (_real(value) and _fits(name, value)):
                raise UsageError(f"{what}'s {name}", got=value, expected=_EXPECTED.get(name, "a number from 0 up"))

    @property
    def even(self) -> bool:
        """Whether every sample counts alike in a batch's loss."""
        return True

    def share(self, targets: NDArray[Any]) -> float:
        """What a batch of these targets counts in a mean over batches: its samples, or what its loss is divided by."""
        return len(targets)

    def __repr__(self) -> str:
        """With the fields that are not at their defaults, as one would write it."""
        return f"{type(self).__name__}({', '.join(plain.changed(self))})"

    def to_dict(self) -> dict[str, Any]:
        """What TOML and JSON can hold: the class by its name, and every field that has a value."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"loss": type(self).__name__} | {name: value for name, value in listed.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CrossEntropy(Loss):
    """``l = −Σ y · log p`` over a row, of which y is a distribution, or 1 at the target's class and 0 else.

    p is softmax(x), exp(x) or x, by ``outputs``. Probabilities are divided by their row's sum ``before`` they are cut
    to within ``clip`` and 1 − ``clip``, as in Keras' CategoricalCrossentropy, or ``after``, as in its sparse one, or
    not at all; where they are cut the gradient is 0.

    Attributes:
        targets: ``classes``, integers of the outputs' shape without the last axis, or a ``distribution`` each row.
        label_smoothing: y ← (1 − label_smoothing) · y + label_smoothing / classes.
        class_weights: one a class. By ``weighing`` they are factors of the ``terms`` of each row's sum, as in PyTorch,
            or those of the target's class (a distribution's greatest) are the ``items``' weights, as Keras'
            class_weight has it. The two differ with label smoothing. With ``terms`` the class's weight is in l, and
            counts in Σ w alone; a distribution's does not count there.
        ignored: the class of rows that are no items.
    """

    outputs: Literal["logits", "log_probabilities", "probabilities"] = "logits"
    targets: Literal["classes", "distribution"] = "classes"
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    weighing: Literal["terms", "items"] = "terms"
    ignored: int | None = None
    normalization: Literal["before", "after", "none"] = "before"
    clip: float = 1e-7

    def __post_init__(self) -> None:
        Loss.__post_init__(self)  # super() does not know a class with slots
        given = self.class_weights
        if not isinstance(given, tuple) or not all(_real(weight) and weight >= 0 for weight in given):
            raise UsageError("CrossEntropy's class_weights", got=given, expected="a tuple of numbers from 0 up")
        if self.ignored is not None and (type(self.ignored) is not int or self.targets != "classes"):
            expected = "an integer or None, and only with targets 'classes'"
            raise UsageError("CrossEntropy's ignored", got=self.ignored, expected=expected)

    @property
    def even(self) -> bool:
        if self.reduction in ("sum", "batch_mean"):
            return True
        return self.ignored is None and not (self.class_weights and self.reduction == "weighted_mean")

    def share(self, targets: NDArray[Any]) -> float:
        if self.even:
            return len(targets)
        if self.targets == "distribution":
            if self.weighing == "terms":
                return len(targets)
            targets = targets.argmax(axis=-1)
        valid = targets[targets != self.ignored] if self.ignored is not None else targets
        if self.class_weights and self.reduction == "weighted_mean":
            return float(np.array(self.class_weights)[valid].sum())
        return int(valid.size)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Elementwise(Loss):
    """A loss whose items are ``elements``, or ``rows`` with the mean of theirs, as Keras': a sum of them differs."""

    items: Literal["elements", "rows"] = "elements"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BinaryCrossEntropy(Elementwise):
    """``l = −pos_weight · y · log p − (1 − y) · log(1 − p)``, where p is sigmoid(x) or x, by ``outputs``.

    The guard of probabilities is either a ``clip`` to within clip and 1 − clip, as in Keras, with a gradient of 0 where
    they are cut, or a ``floor`` of −100 for each log, as in PyTorch, whose gradient then is (x − y) / max(x · (1 − x),
    1e-12) everywhere, with 1e-12 rounded to float32 in any precision; an x that is not within 0 and 1 has the loss and
    gradient NaN, where PyTorch's own raises.

    Attributes:
        label_smoothing: y ← (1 − label_smoothing) · y + label_smoothing / 2.
        pos_weight: only for logits.
    """

    outputs: Literal["logits", "probabilities"] = "logits"
    label_smoothing: float = 0.0
    pos_weight: float = 1.0
    guard: Literal["clip", "floor"] = "clip"
    clip: float = 1e-7

    def __post_init__(self) -> None:
        Loss.__post_init__(self)
        if self.pos_weight != 1 and self.outputs != "logits":
            raise UsageError("BinaryCrossEntropy's pos_weight", got=self.pos_weight, expected="1 without logits")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SquaredError(Elementwise):
    """``l = (x − y)²``."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AbsoluteError(Elementwise):
    """``l = |x − y|``; its gradient is 0 where they are equal."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Huber(Elementwise):
    """``l = (x − y)² / 2`` where ``|x − y|`` ≤ delta, else ``delta · |x − y| − delta² / 2``."""

    delta: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SmoothL1(Elementwise):
    """``l = (x − y)² / (2 · beta)`` where ``|x − y|`` < beta, else ``|x − y| − beta / 2``: Huber's, divided by beta."""

    beta: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LogCosh(Elementwise):
    """``l = log cosh(x − y)``."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class KLDivergence(Elementwise):
    """``l = y · (log y − log p)``, 0 where y is 0; a row's is the sum of its elements'.

    p is exp(x) or x, by ``outputs``; with ``targets="log_probabilities"`` the targets are log y. If the outputs are
    probabilities, both they and the targets are cut to within ``clip`` and 1, as in Keras; a gradient is 0 there.
    """

    outputs: Literal["log_probabilities", "probabilities"] = "log_probabilities"
    targets: Literal["probabilities", "log_probabilities"] = "probabilities"
    items: Literal["elements", "rows"] = "rows"
    clip: float = 1e-7

    def __post_init__(self) -> None:
        Loss.__post_init__(self)
        if self.outputs == "probabilities" != self.targets:
            raise UsageError("KLDivergence's targets", got=self.targets, expected="probabilities, as its outputs are")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Poisson(Elementwise):
    """``l = exp(x) − y · x`` for log_rates, or ``l = x − y · log(x + epsilon)`` for rates.

    Attributes:
        full: adds Stirling's ``y · log y − y + log(2π · y) / 2`` where y is above 1.
    """

    outputs: Literal["log_rates", "rates"] = "log_rates"
    epsilon: float = 1e-8
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Hinge(Elementwise):
    """``l = max(1 − y · x, 0)``, squared if ``squared``; its gradient at the corner is −y.

    Attributes:
        targets: ``signs``, −1 and 1; or ``any``: in a batch that has 0 and 1 alone, 0 is −1, as in Keras.
    """

    targets: Literal["signs", "any"] = "signs"
    squared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CosineSimilarity(Loss):
    """``l = −Σ x · y / (max(‖x‖, epsilon) · max(‖y‖, epsilon))`` over a row."""

    epsilon: float = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NegativeSum(Loss):
    """``l = −x`` of each element, whatever the targets; summed, unless another reduction is set."""

    reduction: Reduction = "sum"


def counted(values: Sequence[Any], shares: Sequence[float]) -> tuple[list[Any], list[float]]:
    """Batches' values and shares without those in which nothing counts, whose loss may be nan; if none does, all."""
    kept = [i for i, share in enumerate(shares) if share]
    if not kept:
        return list(values), [1.0] * len(shares)
    return [values[i] for i in kept], [shares[i] for i in kept]


_EXPECTED = {
    "label_smoothing": "a number from 0 to 1",
    "clip": "a number above 0 and below 0.5",
    "delta": "a number above 0",
}


def _fits(name: str, value: float) -> bool:
    if name == "label_smoothing":
        return 0 <= value <= 1
    if name == "clip":
        return 0 < value < 0.5
    return value > 0 if name == "delta" else value >= 0


def _real(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
