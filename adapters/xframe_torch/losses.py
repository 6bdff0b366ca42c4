"""Losses, and accuracy: PyTorch's own function where that is the loss, else its operations put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from xframe.tasks import losses
from xframe.tasks.losses import BinaryCrossEntropy, CrossEntropy, Elementwise, Loss

Lowered: TypeAlias = Callable[..., Tensor]
_HALVES = (torch.float16, torch.bfloat16)


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of targets that get the greatest output; stays on the device."""
    return (outputs.detach().argmax(-1) == targets).double().mean()


def lowered(loss: Loss | str, like: Tensor | None = None, *, weighted: bool = False) -> Lowered:
    """The loss as a function of outputs and targets.

    Where it is not one of ``_PLAIN``, it is computed in float32 at least.

    Args:
        loss: a loss, or the word that is short for it.
        like: a parameter of the model, whose device the loss's own numbers shall be on, in double precision if it is.
        weighted: whether the function takes the samples' weights too, one a sample or one an item.
    """
    loss, by_class = losses.of(loss), None
    if not weighted:
        for word, function in _PLAIN.items():
            if losses.named(word) == loss:
                return function
    if isinstance(loss, CrossEntropy) and loss.class_weights:
        kind = torch.float64 if like is not None and like.dtype == torch.float64 else torch.float32
        by_class = torch.tensor(loss.class_weights, dtype=kind, device=None if like is None else like.device)
    native = None if weighted else _native(loss, by_class)
    return _in_full(native or partial(_composed, loss, by_class))


def _in_full(function: Lowered) -> Lowered:
    def full(outputs: Tensor, *others: Tensor) -> Tensor:
        if outputs.dtype not in _HALVES:
            return function(outputs, *others)
        with torch.autocast(outputs.device.type, enabled=False):
            return function(outputs.float(), *others)

    return full


def _native(loss: Loss, by_class: Tensor | None) -> Lowered | None:
    """PyTorch's own function where it reduces as the loss does."""
    reduction = {"mean": "mean", "weighted_mean": "mean", "sum": "sum"}.get(loss.reduction)
    if reduction is None:
        return None
    if isinstance(loss, CrossEntropy):
        return _native_cross_entropy(loss, by_class, reduction)
    elements, by_rows = _ELEMENTS.get(type(loss)), isinstance(loss, Elementwise) and loss.items == "rows"
    if elements is None or (by_rows and (reduction == "sum" or isinstance(loss, losses.KLDivergence))):
        return None
    return lambda outputs, targets: elements(loss, outputs, _like(targets, outputs), reduction)


def _native_cross_entropy(loss: CrossEntropy, by_class: Tensor | None, reduction: str) -> Lowered | None:
    classes = loss.targets == "classes"
    if by_class is not None and loss.weighing == "items" and (loss.label_smoothing or not classes):
        return None
    if by_class is not None and loss.reduction == "mean" and classes:  # PyTorch's would divide by the weights
        return None
    if loss.empty == "zero" and (loss.ignored is not None or by_class is not None):
        return None
    given: dict[str, Any] = {"weight": by_class, "reduction": reduction}
    given["ignore_index"] = -100 if loss.ignored is None else loss.ignored
    if loss.outputs == "logits":

        def of_logits(outputs: Tensor, targets: Tensor) -> Tensor:
            x = outputs.reshape(-1, outputs.shape[-1])
            y = targets.flatten() if classes else _like(targets, x)
            return functional.cross_entropy(x, y, **given, label_smoothing=loss.label_smoothing)

        return of_logits
    if loss.outputs == "log_probabilities" and classes and not loss.label_smoothing:

        def of_log_probabilities(outputs: Tensor, targets: Tensor) -> Tensor:
            x = outputs.reshape(-1, outputs.shape[-1])
            return functional.nll_loss(x, targets.flatten(), **given)

        return of_log_probabilities
    return None


class Items(NamedTuple):
    """Each item's loss and, where classes matter, its weight.

    ``weighed``: the losses have that weight in them, so that only ``reduction`` needs it. ``valid``: not ignored.
    """

    losses: Tensor
    weights: Tensor | None = None
    weighed: bool = False
    valid: Tensor | None = None


def _composed(
    loss: Loss, by_class: Tensor | None, outputs: Tensor, targets: Tensor, sample: Tensor | None = None
) -> Tensor:
    items = _items(loss, by_class, outputs, targets)
    values, valid = items.losses, items.valid
    if valid is not None:
        values = torch.where(valid, values, 0)
    ones = torch.ones_like(values) if valid is None else valid.to(values.dtype)
    factors = ones
    if sample is not None:
        factors = ones * sample.to(values.dtype).reshape(sample.shape + (1,) * (values.dim() - sample.dim()))
    each = factors if items.weights is None else factors * items.weights
    total = (values * (factors if items.weighed else each)).sum()
    if loss.reduction in ("sum", "batch_mean"):
        return total / (1 if loss.reduction == "sum" else len(outputs))
    divisor = (ones if loss.reduction == "mean" else each).sum()
    return total / torch.where(divisor == 0, math.nan if loss.empty == "nan" else math.inf, divisor)


def _items(loss: Loss, by_class: Tensor | None, outputs: Tensor, targets: Tensor) -> Items:
    if isinstance(loss, CrossEntropy):
        return _cross_entropy(loss, by_class, outputs, targets)
    if isinstance(loss, losses.NegativeSum):
        return Items(-outputs)
    y = _like(targets, outputs)
    if isinstance(loss, losses.CosineSimilarity):
        along, towards = (functional.normalize(one, dim=-1, eps=loss.epsilon) for one in (outputs, y))
        return Items(-(along * towards).sum(-1))
    values = _ELEMENTS[type(loss)](loss, outputs, y, "none")
    if not isinstance(loss, Elementwise) or loss.items == "elements":
        return Items(values)
    return Items(values.sum(-1) if isinstance(loss, losses.KLDivergence) else values.mean(-1))


def _cross_entropy(loss: CrossEntropy, by_class: Tensor | None, x: Tensor, targets: Tensor) -> Items:
    valid, weights = None, None
    if loss.targets == "classes":
        of = targets.reshape(x.shape[:-1])
        if loss.ignored is not None:
            valid = of != loss.ignored
            of = torch.where(valid, of, 0)
        y = functional.one_hot(of, x.shape[-1]).to(x.dtype)
    else:
        y = _like(targets, x)
        of = y.argmax(-1)
    if loss.label_smoothing:
        y = y * (1 - loss.label_smoothing) + loss.label_smoothing / x.shape[-1]
    weighed = loss.weighing == "terms"
    if by_class is not None:
        y = y * by_class if weighed else y
        weights = by_class[of] if not weighed or loss.targets == "classes" else None
    if loss.outputs == "log_probabilities":
        x = torch.where(y == 0, 0, x)  # a log of 0 counts nothing there
    return Items(-(y * _log_probabilities(loss, x)).sum(-1), weights, weighed, valid)


def _log_probabilities(loss: CrossEntropy, x: Tensor) -> Tensor:
    if loss.outputs == "logits":
        return x.log_softmax(-1)
    if loss.outputs == "log_probabilities":
        return x
    if loss.normalization == "before":
        x = x / x.sum(-1, keepdim=True)
    p = x.clamp(loss.clip, 1 - loss.clip)
    return p.log() - p.sum(-1, keepdim=True).log() if loss.normalization == "after" else p.log()


def _like(targets: Tensor, outputs: Tensor) -> Tensor:
    """Targets in the outputs' shape and type."""
    return targets.reshape(outputs.shape).to(outputs.dtype)


def _reduced(values: Tensor, reduction: str) -> Tensor:
    return values if reduction == "none" else values.mean() if reduction == "mean" else values.sum()


def _binary_cross_entropy(loss: BinaryCrossEntropy, x: Tensor, y: Tensor, reduction: str) -> Tensor:
    if loss.label_smoothing:
        y = y * (1 - loss.label_smoothing) + 0.5 * loss.label_smoothing
    if loss.outputs == "logits":
        weight = None if loss.pos_weight == 1 else torch.full_like(x, loss.pos_weight)
        return functional.binary_cross_entropy_with_logits(x, y, reduction=reduction, pos_weight=weight)
    if loss.guard == "floor":
        inside = (x >= 0) & (x <= 1)  # what is not has no log; PyTorch's own would raise, on the device
        none = torch.where(inside, 0.0, math.nan).to(x.dtype) * x
        own = functional.binary_cross_entropy(torch.where(inside, x, 0.5), y, reduction=reduction)
        return own + _reduced(none, reduction)
    p = x.clamp(loss.clip, 1 - loss.clip)
    return _reduced(-y * p.log() - (1 - y) * (-p).log1p(), reduction)


def _squared_error(_: Loss, x: Tensor, y: Tensor, reduction: str) -> Tensor:
    return functional.mse_loss(x, y, reduction=reduction)


def _absolute_error(_: Loss, x: Tensor, y: Tensor, reduction: str) -> Tensor:
    return functional.l1_loss(x, y, reduction=reduction)


def _huber(loss: losses.Huber, x: Tensor, y: Tensor, reduction: str) -> Tensor:
    return functional.huber_loss(x, y, reduction=reduction, delta=loss.delta)


def _smooth_l1(loss: losses.SmoothL1, x: Tensor, y: Tensor, reduction: str) -> Tensor:
    return functional.smooth_l1_loss(x, y, reduction=reduction, beta=loss.beta)


def _log_cosh(_: Loss, x: Tensor, y: Tensor, reduction: str) -> Tensor:
    off = (x - y).abs()
    near = 0.5 * torch.sinh(off.clamp(max=1)).square().log1p()  # keeps the digits of a small one
    return _reduced(torch.where(off < 1, near, off + torch.exp(-2 * off).log1p() - math.log(2)), reduction)


def _kl_divergence(loss: losses.KLDivergence, x: Tensor, y: Tensor, reduction: str) -> Tensor:
    if loss.outputs == "log_probabilities":
        logs = loss.targets == "log_probabilities"
        x = x if logs else torch.where(y == 0, 0, x)
        return _reduced(functional.kl_div(x, y, reduction="none", log_target=logs), reduction)
    p, y = x.clamp(loss.clip, 1), y.clamp(loss.clip, 1)
    return _reduced(y * (y / p).log(), reduction)


def _poisson(loss: losses.Poisson, x: Tensor, y: Tensor, reduction: str) -> Tensor:
    logs = loss.outputs == "log_rates"
    return functional.poisson_nll_loss(x, y, logs, loss.full, eps=loss.epsilon, reduction=reduction)


def _hinge(loss: losses.Hinge, x: Tensor, y: Tensor, reduction: str) -> Tensor:
    if loss.targets == "any":
        y = torch.where(((y == 0) | (y == 1)).all(), 2 * y - 1, y)
    short = (1 - y * x).clamp(min=0)
    return _reduced(short.square() if loss.squared else short, reduction)


_ELEMENTS: Mapping[type[Loss], Callable[[Any, Tensor, Tensor, str], Tensor]] = {
    BinaryCrossEntropy: _binary_cross_entropy,
    losses.SquaredError: _squared_error,
    losses.AbsoluteError: _absolute_error,
    losses.Huber: _huber,
    losses.SmoothL1: _smooth_l1,
    losses.LogCosh: _log_cosh,
    losses.KLDivergence: _kl_divergence,
    losses.Poisson: _poisson,
    losses.Hinge: _hinge,
}


def _softmax_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.dim() > 1:  # one for each place of a sequence
        outputs, targets = outputs.flatten(0, -2), targets.flatten()
    return functional.cross_entropy(outputs, targets)


def _mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.mse_loss(outputs, targets.reshape(outputs.shape))


def _negative_sum(outputs: Tensor, targets: Tensor) -> Tensor:
    return -outputs.sum()


_PLAIN: Mapping[str, Lowered] = {  # in what the outputs are in
    "softmax_cross_entropy": _softmax_cross_entropy,
    "mean_squared_error": _mean_squared_error,
    "negative_sum": _negative_sum,
}
