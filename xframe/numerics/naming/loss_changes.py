"""The ways in which a loss is known to be computed otherwise than stated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from xframe.numerics.naming.trials import Array, of_loss
from xframe.tasks import losses
from xframe.tasks.losses import CrossEntropy, Elementwise, Huber, Loss, SmoothL1

Formula = Callable[[Any, Array, Array], tuple[float, Array]]
_with: Callable[..., Any] = replace  # of a frozen value


@dataclass(frozen=True, slots=True)
class Variant:
    """A loss that is computed otherwise: by a spec of its own, by a formula around one, or times a factor."""

    changes: tuple[str, ...]
    text: str
    spec: Loss | None = None
    formula: Formula | None = None
    factor: float = 1.0
    nonlinear: bool = False  # in the sum over the items, so that it has no divisors

    def __call__(self, loss: Loss, outputs: Array, targets: Array) -> tuple[float, Array]:
        """The loss and its slope at the outputs."""
        value, slope = self.formula(loss, outputs, targets) if self.formula else of_loss(loss)(outputs, targets)
        return value * self.factor, slope * self.factor


class Divisor(NamedTuple):
    """What a sum over the items may be divided by."""

    key: str
    text: str
    value: float
    change: str
    reduction: str | None = None  # where a loss can state it


def variants(loss: Loss, outputs: Array, targets: Array) -> Iterator[Variant]:
    """Each known change of a loss that fits its outputs and targets, but for what its sum is divided by."""
    for factor, word in ((0.5, "half of it"), (2.0, "twice it")):
        yield Variant(("loss-scaled",), word, None, None, factor)
    if isinstance(loss, CrossEntropy):
        yield from _of_cross_entropy(loss, outputs, targets)
    if isinstance(loss, losses.BinaryCrossEntropy):
        yield from _of_binary(loss)
    if isinstance(loss, Elementwise):
        yield from _of_elements(loss, outputs, targets)
    yield from _of_fields(loss)


def alike(one: Divisor, stated: Loss) -> bool:
    """Whether that is what the stated loss divides by."""
    return one.key == "stated" or one.reduction == stated.reduction


def divisors(loss: Loss, outputs: Array, targets: Array) -> list[Divisor]:
    """Those that differ here, by the number of things in the batch."""
    rows = int(np.prod(outputs.shape[:-1], dtype=int)) if outputs.ndim > 1 else outputs.shape[0]
    items, weight, ignored = float(rows), None, False
    if isinstance(loss, Elementwise) and getattr(loss, "items", "") == "elements":
        items = float(outputs.size)
    if isinstance(loss, CrossEntropy) and loss.targets == "classes" and targets.size == rows:
        of = targets.reshape(outputs.shape[:-1])
        valid = of != loss.ignored if loss.ignored is not None else np.ones(of.shape, bool)
        items, ignored = float(np.count_nonzero(valid)), not bool(valid.all())
        if loss.class_weights:
            weight = float(np.array(loss.class_weights)[np.where(valid, of, 0).astype(int)][valid].sum())
    weighing = "class-weights-normalised" if weight is not None else "loss-reduction"
    found = [
        Divisor("sum", "summed over the batch", 1.0, "loss-reduction", "sum"),
        Divisor("items", f"divided by its {items:g} items", items, weighing, "mean"),
        Divisor("weights", "divided by the sum of the weights", weight or 0.0, weighing, "weighted_mean"),
        Divisor(
            "batch", f"divided by the batch's {len(outputs)} samples", len(outputs), "loss-reduction", "batch_mean"
        ),
        Divisor(
            "rows",
            f"divided by all {rows} rows" + (", those ignored too" if ignored else ""),
            rows,
            "ignored-labels-counted" if ignored else "loss-reduction",
        ),
        Divisor("elements", f"divided by the {outputs.size} elements", outputs.size, "loss-reduction"),
    ]
    if outputs.ndim > 2:
        length = outputs.shape[1]
        found.append(Divisor("length", f"divided by the length {length}", length, "loss-reduction"))
    own = {"sum": 1.0, "mean": items, "batch_mean": float(len(outputs)), "weighted_mean": weight or items}
    seen, kept = {own[loss.reduction]}, list[Divisor]()
    for one in found:
        if one.value and one.value not in seen:
            seen.add(one.value)
            kept.append(one)
    return kept


def _of_cross_entropy(loss: CrossEntropy, outputs: Array, targets: Array) -> Iterator[Variant]:
    classes = outputs.shape[-1]
    names = {"logits": "logits", "probabilities": "probabilities", "log_probabilities": "log probabilities"}
    for kind, name in names.items():
        if kind != loss.outputs:
            word = f"outputs-taken-as-{kind.replace('_', '-')}"
            text = f"the outputs taken as {name}"
            for how in ("before", "after", "none") if kind == "probabilities" else ("before",):
                yield Variant((word,), text, _with(loss, outputs=kind, normalization=how))
    if loss.outputs == "logits":
        yield Variant(("softmax-twice",), "softmax of the outputs taken as logits", None, _of_softmax)
    if loss.label_smoothing:
        yield Variant(("label-smoothing",), "no label smoothing", _with(loss, label_smoothing=0.0))
        other = loss.label_smoothing * classes / max(classes - 1, 1)
        if other <= 1:
            text = f"label smoothing shared among the {classes - 1} other classes alone"
            yield Variant(("label-smoothing-over-others",), text, _with(loss, label_smoothing=other))
        fewer = loss.label_smoothing * (classes - 1) / classes
        text = f"label smoothing shared among all {classes} classes"
        yield Variant(("label-smoothing-over-others",), text, _with(loss, label_smoothing=fewer))
    else:
        for value in (0.1, 0.05, 0.2, 0.01, 0.15, 0.3):
            text = f"label smoothing {value:g}"
            yield Variant(("label-smoothing",), text, _with(loss, label_smoothing=value))
    if loss.class_weights:
        yield from _of_weights(loss, classes)
    if loss.targets == "classes" and loss.ignored is not None:
        yield from _of_ignored(loss, outputs, targets)
    if outputs.ndim > 2:
        yield Variant(("loss-reduction",), "the mean of each sample's own mean", None, _by_sample, nonlinear=True)


def _of_weights(loss: CrossEntropy, classes: int) -> Iterator[Variant]:
    weights = loss.class_weights
    yield Variant(("class-weights-absent",), "no class weights", _with(loss, class_weights=()))
    total = sum(weights)
    if not total:
        return
    for scale, text in ((1 / total, "that sum to 1"), (classes / total, "with a mean of 1")):
        scaled = tuple(scale * one for one in weights)
        yield Variant(("class-weights-normalised",), f"class weights {text}", _with(loss, class_weights=scaled))
    if loss.label_smoothing:
        other = "items" if loss.weighing == "terms" else "terms"
        text = f"class weights as factors of the {other}"
        yield Variant(("class-weights-by-" + other,), text, _with(loss, weighing=other))


def _of_ignored(loss: CrossEntropy, outputs: Array, targets: Array) -> Iterator[Variant]:
    if loss.ignored is not None and 0 <= loss.ignored < outputs.shape[-1]:
        text = f"rows of the class {loss.ignored} counted as any other"
        yield Variant(("ignored-labels-counted",), text, _with(loss, ignored=None))


def _of_binary(loss: losses.BinaryCrossEntropy) -> Iterator[Variant]:
    if loss.outputs == "probabilities":
        yield Variant(("outputs-taken-as-logits",), "the outputs taken as logits", _with(loss, outputs="logits"))
        return
    for guard in ("clip", "floor"):
        one = _with(loss, outputs="probabilities", guard=guard, pos_weight=1.0)
        yield Variant(("outputs-taken-as-probabilities",), "the outputs taken as probabilities", one)
    yield Variant(("softmax-twice",), "the sigmoid of the outputs taken as logits", None, _of_sigmoid)
    if loss.pos_weight != 1:
        yield Variant(("class-weights-absent",), "no weight of positives", _with(loss, pos_weight=1.0))


def _of_elements(loss: Elementwise, outputs: Array, targets: Array) -> Iterator[Variant]:
    if outputs.ndim == 2 and outputs.shape[1] == 1 and len(outputs) > 1 and targets.size == len(outputs):
        count = len(outputs)
        text = f"outputs ({count}, 1) against targets ({count},), broadcast to ({count}, {count})"
        yield Variant(("targets-broadcast",), text, None, _broadcast)
    if isinstance(loss, Huber | SmoothL1):
        yield from _of_bend(loss)
    yield Variant(("loss-root",), "the root of it", None, _root, nonlinear=True)
    if isinstance(loss, losses.SquaredError | losses.AbsoluteError | Huber | SmoothL1 | losses.LogCosh):
        common: dict[str, Any] = {"reduction": loss.reduction, "empty": loss.empty, "items": loss.items}
        others = (losses.SquaredError, losses.AbsoluteError, Huber, SmoothL1, losses.LogCosh)
        for kind in others:
            if kind is not type(loss):
                one = kind(**common)
                yield Variant(("other-loss",), f"{kind.__name__} in its place", one)


def _of_bend(loss: Huber | SmoothL1) -> Iterator[Variant]:
    name = "delta" if isinstance(loss, Huber) else "beta"
    for value in (1.0, 0.5, 2.0, 0.1, 1.345, 1.35, 5.0, 10.0, 1 / 9):
        if value != getattr(loss, name):
            one = _with(loss, **{name: value})
            yield Variant((f"loss-{name}",), f"{name} {value:g}", one)


def _of_fields(loss: Loss) -> Iterator[Variant]:
    """Each field that has words or truth values, at another of them, where nothing above has it."""
    known = {"outputs", "reduction", "empty", "items", "targets", "weighing", "normalization", "guard"}
    for each in fields(loss):
        value: Any = getattr(loss, each.name)
        if each.name not in known and isinstance(value, bool):
            one = _with(loss, **{each.name: not value})
            yield Variant((f"loss-{each.name}",), f"{each.name} {not value}", one)
    if isinstance(loss, losses.Poisson | losses.KLDivergence):
        other = {"log_rates": "rates", "rates": "log_rates", "probabilities": "log_probabilities"}
        to = other.get(loss.outputs, "probabilities")
        text = f"the outputs taken as {to.replace('_', ' ')}"
        more = {"targets": "probabilities"} if isinstance(loss, losses.KLDivergence) else {}
        yield Variant((f"outputs-taken-as-{to.replace('_', '-')}",), text, _with(loss, outputs=to, **more))


def _of_softmax(loss: Loss, outputs: Array, targets: Array) -> tuple[float, Array]:
    exponentials = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    shares = exponentials / exponentials.sum(axis=-1, keepdims=True)
    value, slope = of_loss(loss)(shares, targets)
    return value, shares * (slope - (slope * shares).sum(axis=-1, keepdims=True))


def _of_sigmoid(loss: Loss, outputs: Array, targets: Array) -> tuple[float, Array]:
    shares = 1 / (1 + np.exp(-outputs))
    value, slope = of_loss(loss)(shares, targets)
    return value, slope * shares * (1 - shares)


def _broadcast(loss: Loss, outputs: Array, targets: Array) -> tuple[float, Array]:
    count = len(outputs)
    wide = np.broadcast_to(outputs, (count, count)).copy()
    others = np.broadcast_to(targets.reshape(1, -1), (count, count)).astype(float)
    value, slope = of_loss(loss)(wide, others)
    return value, slope.sum(axis=1, keepdims=True)


def _root(loss: Loss, outputs: Array, targets: Array) -> tuple[float, Array]:
    value, slope = of_loss(loss)(outputs, targets)
    root = np.sqrt(value)
    return float(root), slope / (2 * root)


def _by_sample(loss: CrossEntropy, outputs: Array, targets: Array) -> tuple[float, Array]:
    of = targets.reshape(outputs.shape[:-1]) if loss.targets == "classes" else targets[..., 0]
    valid = of != loss.ignored if loss.ignored is not None and loss.targets == "classes" else np.ones(of.shape, bool)
    own = valid.reshape(len(outputs), -1).sum(axis=1)
    weights = np.where(own > 0, 1 / np.maximum(own, 1), 0) / len(outputs)
    wide = np.broadcast_to(weights.reshape(-1, *(1,) * (of.ndim - 1)), of.shape).copy()
    return of_loss(_with(loss, reduction="sum"), weighted=True)(outputs, targets, wide)
