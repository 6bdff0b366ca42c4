"""Drawn losses, outputs, targets and weights: PyTorch's and TensorFlow's loss and gradient compared with NumPy's.

In float64 each lies within 64 eps of NumPy's, in float32 within one rounding for each operation on the way: those of
the formula (OPERATIONS), of a row's sum and of the reduction's. Distances are in units of the greatest terms that the
formula adds up (`terms`), since no sum can be more exact than those. Extreme logits, probabilities of 0 and 1, ignored
rows, single classes and weights of 0 are among the cases.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
from xframe_numpy import losses as reference

from sweeps import Result
from xframe.tasks import losses
from xframe.tasks.losses import LOSSES, Loss

ADAPTERS = ("torch", "tensorflow")
# The longest way from an output to a loss or a gradient, without sums: each exp, log or root counts 2.
OPERATIONS = {
    "CrossEntropy": 20,  # normalise, clip, log or softmax, smoothing, class and sample weight; and back
    "BinaryCrossEntropy": 20,
    "SquaredError": 6,
    "AbsoluteError": 5,
    "Huber": 8,
    "SmoothL1": 8,
    "LogCosh": 16,
    "KLDivergence": 12,
    "Poisson": 14,
    "Hinge": 8,
    "CosineSimilarity": 16,
    "NegativeSum": 4,
}


class Case(NamedTuple):
    """A loss and what it is of, in float64."""

    loss: Loss
    outputs: Any
    targets: Any
    weights: Any


@dataclass
class Distances(Result):
    """The largest distances that were seen, by loss, adapter and precision; in eps, and as a share of the bound."""

    worst: dict[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)
    by_loss: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """A row for each loss; the greater of loss and gradient counts."""
        shown = [(adapter, kind) for adapter in ADAPTERS for kind in ("float64", "float32")]
        head = " | ".join(f"{adapter} {kind}, eps (of the bound)" for adapter, kind in shown)
        rows = [f"{self.cases:,} cases", "", f"| loss | cases | {head} |", "| --- | --- |" + " --- |" * len(shown)]
        for name, count in self.by_loss.items():
            cells = [self.worst.get((name, *one)) for one in shown]
            shares = " | ".join("–" if cell is None else f"{cell[0]:.3g} ({cell[1]:.0%})" for cell in cells)
            rows.append(f"| {name} | {count:,} | {shares} |")
        return "\n".join(rows)


def run(size: int, seed: int, adapters: tuple[str, ...] = ADAPTERS, chosen: tuple[str, ...] = ()) -> Distances:
    """That many cases of each loss (or of those chosen), through these adapters in both precisions."""
    result, rng = Distances(), np.random.default_rng(seed)
    computed = {adapter: computing(adapter) for adapter in adapters}
    for name in chosen or LOSSES:
        result.by_loss[name] = size
        for case in drawn(name, size, rng):
            result.cases += 1
            for kind in ("float64", "float32"):
                exact = in_kind(case, kind)
                right = reference.lowered(exact.loss, weighted=True)(exact.outputs, exact.targets, exact.weights)
                for adapter, compute in computed.items():
                    pairs = zip(right, compute(exact, kind), terms(exact), strict=True)
                    for what, (wanted, seen, unit) in zip(("loss", "gradient"), pairs, strict=True):
                        judge(result, exact, adapter, kind, what, wanted, seen, unit)
    return result


def judge(
    result: Distances, case: Case, adapter: str, kind: str, what: str, wanted: Any, seen: Any, unit: float
) -> None:
    """Adds the distance to those seen, and the case to what was wrong if it is too far."""
    eps, name = float(np.finfo(kind).eps), type(case.loss).__name__
    # Of a mean that is 0 / 0 an output that has no effect may have the slope 0.
    missing = np.isnan(wanted) & (np.isnan(seen) | (np.equal(seen, 0) & (what == "gradient")))
    same = np.shape(wanted) == np.shape(seen) and np.array_equal(missing, np.isnan(wanted) | np.isnan(seen))
    off = np.max(np.nan_to_num(np.abs(np.asarray(wanted) - np.asarray(seen))), initial=0.0)
    distance = float(off / (unit * eps)) if off else 0.0
    sums = case.outputs.shape[-1] + case.outputs.size
    bound = 64.0 if kind == "float64" else OPERATIONS[name] + sums
    if not same or not distance <= bound:
        shape = case.outputs.shape
        result.mismatches.append(
            f"{adapter} {kind} {what} of {case.loss!r}, outputs {shape}, weights {case.weights}: {distance:.3g} eps of "
            f"{unit:.3g}, at most {bound:.0f}; {np.asarray(seen).tolist()} instead of {np.asarray(wanted).tolist()} "
            f"at {case.outputs.tolist()}, {case.targets.tolist()}"
        )
    before = result.worst.get((name, adapter, kind), (0.0, 0.0))
    result.worst[name, adapter, kind] = (max(before[0], distance), max(before[1], distance / bound))


def in_kind(case: Case, kind: str) -> Case:
    """The case with numbers that this precision holds, still in float64."""
    if kind == "float64":
        return case

    def held(values: Any) -> Any:
        whole = values is None or np.issubdtype(values.dtype, np.integer)
        return values if whole else values.astype(kind).astype(np.float64)

    loss = case.loss
    numbers = {each.name: getattr(loss, each.name) for each in fields(loss)}
    turned: dict[str, Any] = {
        name: float(np.float32(value)) for name, value in numbers.items() if isinstance(value, float)
    }
    if "class_weights" in numbers:
        turned["class_weights"] = tuple(float(np.float32(one)) for one in numbers["class_weights"])
    turned |= {"clip": 2.0**-20} if "clip" in turned else {}  # which 1 − clip is exact for
    return Case(replace(loss, **turned), *map(held, case[1:]))


def terms(case: Case) -> tuple[float, float]:
    """The greatest sum of terms that the loss has, and the greatest that one element of its gradient has."""
    loss, x, y, weights = case
    elementwise = isinstance(loss, losses.Elementwise)
    if elementwise or isinstance(loss, losses.CosineSimilarity):
        y = y.reshape(x.shape)
    plain = replace(loss, reduction="sum")
    items = reference._items(plain, x, y)
    values, slopes = np.abs(np.nan_to_num(items.losses)), np.abs(np.nan_to_num(items.slopes))
    added, pulled = _of_formula(loss, x, y)
    if isinstance(loss, losses.Elementwise) and loss.items == "rows":
        added, pulled = np.sum(added * np.ones(x.shape), axis=-1), pulled * np.ones(x.shape)
    top = 1.0 if weights is None else np.max(weights, initial=0.0)
    by_class = max(getattr(loss, "class_weights", ()), default=1.0)
    count = np.size(values)
    factor = top * max(by_class, 1.0)
    share = factor / _divisor(loss, items, weights, len(x))
    return float(np.sum(values + added * np.ones(values.shape)) * share), float(np.max(slopes + pulled) * share) + (
        0.0 if count else 1.0
    )


def _divisor(loss: Loss, items: Any, weights: Any, batch: int) -> float:
    shape = items.losses.shape
    each = np.ones(shape) if items.weights is None else np.array(items.weights)
    if weights is not None:
        each = each * weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
    valid = np.ones(shape, bool) if items.valid is None else items.valid
    divisor = {"sum": 1, "batch_mean": batch, "mean": valid.sum(), "weighted_mean": each[valid].sum()}[loss.reduction]
    return float(divisor) or 1.0


def _of_formula(loss: Loss, x: Any, y: Any) -> tuple[Any, Any]:
    """What a loss or its gradient adds up to something smaller than its terms, beside what is left of them."""
    off = np.abs(x - y) if np.shape(x) == np.shape(y) else np.zeros(x.shape)
    if isinstance(loss, losses.CrossEntropy):
        if loss.outputs != "probabilities":
            return 1.0, 1.0
        total = x.sum(axis=-1, keepdims=True) if loss.normalization == "before" else 1.0
        p = np.clip(x / total, loss.clip, 1 - loss.clip)
        return 1.0, (1 / p + x.shape[-1]) / total
    if isinstance(loss, losses.BinaryCrossEntropy):
        if loss.outputs == "logits":
            return 1.0 + np.abs(x), 1.0
        p = np.clip(x, loss.clip, 1 - loss.clip)
        return 1.0, (1 - y) / (1 - p) + y / p
    if isinstance(loss, losses.Huber):
        return np.where(off > loss.delta, loss.delta**2, 0), 0.0
    if isinstance(loss, losses.KLDivergence) and loss.outputs == "log_probabilities":
        logs = loss.targets == "log_probabilities"
        return np.abs(np.where(np.isfinite(x), x, 0)) + (np.abs(y) if logs else 1), 0.0
    if isinstance(loss, losses.Poisson):
        slope = np.exp(x) + y if loss.outputs == "log_rates" else 1 + y / (x + loss.epsilon)
        logs = y * np.abs(x) if loss.outputs == "log_rates" else y * np.abs(np.log(x + loss.epsilon))
        stirling = y * np.log(np.maximum(y, 1)) + y if loss.full else 0
        return slope + x * (loss.outputs == "rates") + logs + stirling, slope
    if isinstance(loss, losses.Hinge):
        short = 1 + np.abs(y * x)
        return (short**2, 2 * np.abs(y) * short) if loss.squared else (short, np.abs(y))
    if isinstance(loss, losses.CosineSimilarity):
        norm = np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), loss.epsilon)
        return 1.0, 1 / norm
    return 0.0, 0.0


# Drawing


def drawn(name: str, size: int, rng: np.random.Generator) -> Iterator[Case]:
    """That many cases of a loss."""
    for index in range(size):
        yield _DRAWN.get(name, _elements)(LOSSES[name], rng, index)


def _shape(rng: np.random.Generator, least: int = 1) -> tuple[int, ...]:
    return (int(rng.integers(1, 9)), *((int(rng.integers(1, 4)),) * int(rng.integers(2))), int(rng.integers(least, 7)))


def _logits(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    values = rng.standard_normal(shape) * rng.choice([1e-9, 1.0, 10.0, 1e3])
    return np.where(rng.random(shape) < 0.2, rng.choice([-1e3, 1e3, 0.0]), values)


def _probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return np.where(rng.random(shape) < 0.3, rng.choice([0.0, 1.0], shape), rng.random(shape))


def _distribution(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    values = _probabilities(rng, shape)
    values[..., 0] = np.where(values.sum(axis=-1) == 0, 1, values[..., 0])
    return values / values.sum(axis=-1, keepdims=True)


def _common(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "reduction": str(rng.choice(["mean", "weighted_mean", "sum", "batch_mean"])),
        "empty": str(rng.choice(["nan", "zero"])),
    }


def _weights(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    kind = rng.integers(5)
    if kind < 3:
        return None
    weights = rng.random(shape[:1] if kind == 3 else shape)
    return np.zeros_like(weights) if rng.random() < 0.1 else np.where(rng.random(weights.shape) < 0.3, 0, weights)


def _cross_entropy(kind: type[Loss], rng: np.random.Generator, _: int) -> Case:
    shape = _shape(rng)
    classes = shape[-1]
    outputs = str(rng.choice(["logits", "logits", "log_probabilities", "probabilities"]))
    hard = bool(rng.integers(3))
    changes: dict[str, Any] = {"outputs": outputs, "targets": "classes" if hard else "distribution", **_common(rng)}
    if rng.random() < 0.4:
        changes["label_smoothing"] = float(rng.choice([0.1, 0.5, 1.0]))
    if rng.random() < 0.4:
        changes["class_weights"] = tuple(float(w) for w in np.where(rng.random(classes) < 0.3, 0, rng.random(classes)))
        changes["weighing"] = str(rng.choice(["terms", "items"]))
    changes["normalization"] = str(rng.choice(["before", "after", "none"]))
    x = _logits(rng, shape)
    if outputs != "logits":
        x = _distribution(rng, shape) * (1.0 if changes["normalization"] == "none" else rng.choice([1.0, 0.7]))
    if outputs == "log_probabilities":
        x = np.log(np.maximum(x, 1e-30))
    y: Any = rng.integers(classes, size=shape[:-1]) if hard else _distribution(rng, shape)
    if hard and rng.random() < 0.4:
        changes["ignored"] = int(rng.choice([-1, -100, classes - 1]))
        y = np.where(rng.random(y.shape) < rng.choice([0.3, 1.0]), changes["ignored"], y)
    return Case(kind(**changes), x, y, _weights(rng, shape[:-1]))


def _elements(kind: type[Loss], rng: np.random.Generator, index: int) -> Case:
    shape = _shape(rng)
    changes = {**_common(rng)}
    if issubclass(kind, losses.Elementwise):
        changes["items"] = str(rng.choice(["elements", "rows"]))
    x = rng.standard_normal(shape) * rng.choice([1e-9, 1e-3, 1.0, 100.0])
    y = rng.standard_normal(shape) * rng.choice([1e-9, 1e-3, 1.0, 100.0])
    if kind is losses.BinaryCrossEntropy:
        changes |= {
            "outputs": str(rng.choice(["logits", "probabilities"])),
            "guard": str(rng.choice(["clip", "floor"])),
        }
        changes["label_smoothing"] = float(rng.choice([0.0, 0.2]))
        x = _logits(rng, shape) if changes["outputs"] == "logits" else _probabilities(rng, shape)
        changes["pos_weight"] = float(rng.choice([1.0, 3.0])) if changes["outputs"] == "logits" else 1.0
        y = _probabilities(rng, shape)
    elif kind is losses.Huber:
        changes["delta"] = float(rng.choice([0.5, 1.0, 2.0]))
    elif kind is losses.SmoothL1:
        changes["beta"] = float(rng.choice([0.0, 0.5, 1.0]))
    elif kind is losses.Poisson:
        changes |= {"outputs": str(rng.choice(["log_rates", "rates"])), "full": bool(rng.integers(2))}
        x = rng.standard_normal(shape) * 3 if changes["outputs"] == "log_rates" else rng.random(shape) * 5
        y = rng.poisson(2, shape).astype(float)
    elif kind is losses.Hinge:
        changes |= {"targets": str(rng.choice(["signs", "any"])), "squared": bool(rng.integers(2))}
        y = rng.choice([0.0, 1.0] if changes["targets"] == "any" and index % 2 else [-1.0, 1.0], shape)
        x = np.where(rng.random(shape) < 0.2, y, x)
    elif kind is losses.KLDivergence:
        logs = bool(rng.integers(2))
        y = _distribution(rng, shape)
        if rng.integers(2):
            changes |= {"outputs": "log_probabilities", "targets": "log_probabilities" if logs else "probabilities"}
            x, y = np.log(_distribution(rng, shape) * 0.9 + 1e-9), np.log(y + 1e-9) if logs else y
        else:
            changes |= {"outputs": "probabilities"}
            x = _distribution(rng, shape)
    rows = getattr(kind, "items", None) is not None and changes.get("items") == "rows"
    weights = _weights(rng, shape[:-1] if rows or kind is losses.CosineSimilarity else shape)
    if shape[-1] == 1 and len(shape) == 2 and rng.integers(2):
        y = y.reshape(-1)  # one a sample
    if kind is losses.CosineSimilarity:
        x = np.where(rng.random((*shape[:-1], 1)) < 0.1, 0, x)
    return Case(kind(**changes), x, y, weights)


_DRAWN: dict[str, Callable[..., Case]] = {"CrossEntropy": _cross_entropy}


# The adapters


def computing(adapter: str) -> Callable[[Case, str], tuple[Any, Any]]:
    """Loss and gradient of a case in that precision, as an adapter computes them; in float64."""
    return {"torch": _torch, "tensorflow": _tensorflow}[adapter]


def _torch(case: Case, kind: str) -> tuple[Any, Any]:
    import torch
    from xframe_torch.losses import lowered

    given: list[Any] = [None if one is None else torch.from_numpy(np.array(one)) for one in case[1:]]
    outputs, targets, weights = (
        one if one is None or not one.is_floating_point() else one.to(getattr(torch, kind)) for one in given
    )
    outputs.requires_grad_()
    compute = lowered(case.loss, outputs, weighted=weights is not None)
    value = compute(outputs, targets) if weights is None else compute(outputs, targets, weights)
    value.backward()
    return value.detach().double().numpy(), outputs.grad.double().numpy()


def _tensorflow(case: Case, kind: str) -> tuple[Any, Any]:
    import keras
    import tensorflow as tf
    from xframe_tensorflow.losses import lowered

    keras.config.set_floatx(kind)
    given = [None if one is None else np.array(one) for one in case[1:]]
    outputs, targets, weights = (
        None if one is None else tf.constant(one if np.issubdtype(one.dtype, np.integer) else one.astype(kind))
        for one in given
    )
    compute = lowered(case.loss, weighted=weights is not None)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        value = compute(targets, outputs) if weights is None else compute(targets, outputs, weights)
    return value.numpy().astype(np.float64), tf.convert_to_tensor(tape.gradient(value, outputs)).numpy().astype(
        np.float64
    )
