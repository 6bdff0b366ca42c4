"""A loss as a framework's own where that is the loss, else as a function."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from xframe.tasks.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CosineSimilarity,
    CrossEntropy,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    Poisson,
    SmoothL1,
    SquaredError,
)
from xframe.translate.losses.functions import Function, by_rows
from xframe.translate.losses.reading import read
from xframe.translate.names import Bound
from xframe.translate.written import Literal, Remarks, Written, called

_LAST = {"BinaryCrossentropy": "sigmoid"}  # the activation before a loss; softmax before the others
_TARGETS = (
    "Give the targets the outputs' shape and type: Keras casts them and adds or drops a last axis of 1, PyTorch "
    "refuses or broadcasts."
)
_EMPTY = "Where all labels of a batch are ignored, Keras' mean is 0 and PyTorch's is NaN."


def write(loss: Loss, source: str, framework: str, remarks: Remarks) -> Written:
    """The loss in that framework, to be called with outputs and targets; in Keras with targets and outputs."""
    native = {"torch": _torch, "keras": _keras, "optax": _optax}[framework](loss)
    if native is not None:
        if isinstance(loss, CrossEntropy) and loss.ignored is not None and "keras" in (framework, source):
            remarks.add(_EMPTY)
        return Written("criterion", native)
    order = "targets, outputs" if framework == "keras" else "outputs, targets"
    prefix = {"torch": "torch", "keras": "keras.ops", "optax": "jnp"}[framework]
    body = Function(prefix).lines(loss)
    imports = {"optax": ("import jax", "import jax.numpy as jnp")}.get(framework, ())
    lines = (*imports, f"def loss({order}):", *(f"    {line}" for line in body))
    remarks.add("There is no loss of its own that is this; it is written out.")
    return Written("criterion", "loss", setup=lines)


def _torch(loss: Any) -> str | None:
    name, words = "", dict[str, Any]()
    reduction = {"mean": "mean", "weighted_mean": "mean", "sum": "sum"}.get(loss.reduction)
    match loss:
        case CrossEntropy(outputs="logits" | "log_probabilities"):
            if loss.class_weights and (loss.weighing != "terms" or loss.reduction == "mean"):
                return None
            weights = Literal(f"torch.tensor({list(loss.class_weights)})") if loss.class_weights else None
            words = {"weight": weights, "ignore_index": -100 if loss.ignored is None else loss.ignored}
            if loss.outputs == "logits":
                return _made("CrossEntropyLoss", reduction, words | {"label_smoothing": loss.label_smoothing})
            classes = loss.targets == "classes" and not loss.label_smoothing
            return _made("NLLLoss", reduction, words) if classes else None
        case BinaryCrossEntropy(outputs="logits", label_smoothing=0.0):
            weight = None if loss.pos_weight == 1 else Literal(f"torch.tensor({loss.pos_weight})")
            name, words = "BCEWithLogitsLoss", {"weight": None, "pos_weight": weight}
        case BinaryCrossEntropy(guard="floor", outputs="probabilities", label_smoothing=0.0):
            name, words = "BCELoss", {"weight": None}
        case SquaredError():
            name = "MSELoss"
        case AbsoluteError():
            name = "L1Loss"
        case Huber():
            name, words = "HuberLoss", {"delta": loss.delta}
        case SmoothL1():
            name, words = "SmoothL1Loss", {"beta": loss.beta}
        case Poisson():
            words = {"log_input": loss.outputs == "log_rates", "full": loss.full, "eps": loss.epsilon}
            name = "PoissonNLLLoss"
        case KLDivergence(outputs="log_probabilities"):
            reduction = "batchmean" if loss.reduction == "batch_mean" else reduction
            name, words = "KLDivLoss", {"log_target": loss.targets == "log_probabilities"}
            return None if by_rows(loss) else _made(name, reduction, words)
    if not name or (by_rows(loss) and loss.reduction == "sum"):
        return None
    return _made(name, reduction, words)


def _made(name: str, reduction: str | None, words: dict[str, Any]) -> str | None:
    return None if reduction is None else called(f"torch.nn.{name}", **words, reduction=reduction)


def _keras(loss: Any) -> str | None:
    reduction = {"mean": "sum_over_batch_size", "weighted_mean": "sum_over_batch_size", "sum": "sum"}.get(
        loss.reduction
    )
    name, words = "", dict[str, Any]()
    match loss:
        case CrossEntropy(class_weights=()) if loss.outputs != "log_probabilities":
            words = {"from_logits": loss.outputs == "logits"}
            normal = loss.outputs == "logits" or loss.clip == 1e-7
            if loss.targets == "distribution" and normal and loss.normalization == "before":
                name, words = "CategoricalCrossentropy", words | {"label_smoothing": loss.label_smoothing, "axis": -1}
            elif (
                loss.targets == "classes"
                and (loss.outputs == "logits" or (normal and loss.normalization == "after"))
                and not loss.label_smoothing
            ):
                name, words = "SparseCategoricalCrossentropy", words | {"ignore_class": loss.ignored}
        case BinaryCrossEntropy(pos_weight=1.0):
            if loss.outputs == "logits" or (loss.guard == "clip" and loss.clip == 1e-7):
                words = {"from_logits": loss.outputs == "logits", "label_smoothing": loss.label_smoothing, "axis": -1}
                name = "BinaryCrossentropy"
        case SquaredError():
            name = "MeanSquaredError"
        case AbsoluteError():
            name = "MeanAbsoluteError"
        case Huber():
            name, words = "Huber", {"delta": loss.delta}
        case LogCosh():
            name = "LogCosh"
        case KLDivergence(outputs="probabilities", items="rows", clip=1e-7):
            name = "KLDivergence"
        case Poisson(outputs="rates", epsilon=1e-7, full=False):
            name = "Poisson"
        case Hinge(targets="any"):
            name = "SquaredHinge" if loss.squared else "Hinge"
        case CosineSimilarity(epsilon=1e-7):
            name, words = "CosineSimilarity", {"axis": -1}
    if not name or reduction is None or (loss.reduction == "sum" and hasattr(loss, "items") and not by_rows(loss)):
        return None
    return called(f"keras.losses.{name}", **words, reduction=reduction)


def _optax(loss: Any) -> str | None:
    name, words = "", ""
    match loss:
        case CrossEntropy(outputs="logits", class_weights=(), ignored=None, label_smoothing=0.0):
            integers = "_with_integer_labels" if loss.targets == "classes" else ""
            name = f"softmax_cross_entropy{integers}"
        case BinaryCrossEntropy(outputs="logits", pos_weight=1.0, label_smoothing=0.0):
            name = "sigmoid_binary_cross_entropy"
        case SquaredError():
            name = "squared_error"
        case Huber():
            name, words = "huber_loss", f", delta={loss.delta}"
    if not name or (loss.reduction not in ("mean", "weighted_mean") and (by_rows(loss) or loss.reduction != "sum")):
        return None
    reduction = "sum" if loss.reduction == "sum" else "mean"
    return f"lambda outputs, targets: jax.numpy.{reduction}(optax.losses.{name}(outputs, targets{words}))"


def _unweighted(loss: Loss) -> Loss:
    if isinstance(loss, CrossEntropy) and not loss.class_weights and loss.ignored is None:
        return replace(loss, reduction="mean" if loss.reduction == "weighted_mean" else loss.reduction)
    return loss


def translated(call: Bound, framework: str, remarks: Remarks) -> tuple[Loss, Written]:
    """A loss's call, and what it is in that framework."""
    loss = read(call, remarks)
    if isinstance(loss, Hinge) and "optax" in (call.framework, framework):
        remarks.add("At its corner, where a margin is exactly 0, optax's gradient is half of the others'.")
    loss = _unweighted(loss)
    if framework == "keras":
        remarks.add("Keras calls a loss with the targets first: loss(targets, outputs).")
    if call.framework == "keras" and framework == "torch":
        remarks.add("Keras calls a loss with the targets first, PyTorch with the outputs: loss(outputs, targets).")
        if not isinstance(loss, CrossEntropy) or loss.targets != "classes":
            remarks.add(_TARGETS)
    written = write(loss, call.framework, framework, remarks)
    if isinstance(loss, CrossEntropy) and "torch" in (call.framework, framework):
        written = replace(written, only_for=_shapes(loss, written, remarks))
    if call.framework == "keras" and call.values.get("from_logits") is False:
        written = _behind(call, written, framework, remarks)
    return loss, written


def _shapes(loss: CrossEntropy, written: Written, remarks: Remarks) -> str:
    """What shapes a cross entropy is the same for in PyTorch and with classes last."""
    classes = loss.targets == "classes"
    if classes:
        remarks.add(
            "PyTorch's labels are int64 and have no axis of classes: labels.long(), of (N, 1) also squeeze(-1); Keras "
            "takes any integers, and (N, 1)."
        )
    remarks.add(
        "Of sequences and images PyTorch has classes on axis 1, Keras and optax last: give torch.nn's losses "
        "outputs.movedim(-1, 1)."
    )
    return f"for outputs (N, classes) and {'int64 labels (N,)' if classes else 'targets (N, classes)'}"


def _behind(call: Bound, written: Written, framework: str, remarks: Remarks) -> Written:
    """Beside the loss of probabilities that of logits, which Keras computes behind an activation."""
    last = _LAST.get(call.leaf, "softmax")
    logits = Bound(call.name, {**call.values, "from_logits": True}, call.given)
    beside = write(_unweighted(read(logits, Remarks())), call.framework, framework, Remarks())
    remarks.add(
        f"Behind a {last} Keras on TensorFlow takes the logits before it and clips nothing: drop the last {last} and "
        "use the loss of logits."
    )
    remarks.add("The clip at 1e-7 is of a bare tensor of probabilities, which no activation of Keras has returned.")
    only = f"for a bare tensor of probabilities only, not behind a {last}"
    only = f"{only}, {written.only_for}" if written.only_for else only
    heading = f"For a model that ends with a {last}, exact on the model without that {last}"
    return replace(written, beside=beside, beside_for=heading, only_for=only)
