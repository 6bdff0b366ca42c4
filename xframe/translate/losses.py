"""Losses: each framework's own as the loss it is, and a loss as a framework's own or as a function of its operations.

Where a framework has the loss, that is written; else ``def loss(outputs, targets)``, of operations that the three have
under one name: ``torch.log``, ``keras.ops.log``, ``jnp.log``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from xframe.errors import UsageError
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
    named,
    names,
)
from xframe.translate.names import Bound, number
from xframe.translate.parsing import Call
from xframe.translate.written import Literal, NothingExactError, Remarks, Written, called

_REDUCTIONS = {"sum_over_batch_size": "mean", "mean": "mean", "sum": "sum", "batchmean": "batch_mean"}
_EMPTY = "Where all labels of a batch are ignored, Keras' mean is 0 and PyTorch's is NaN."


def read(call: Bound, remarks: Remarks) -> Loss:
    """The loss that a call is."""
    if call.framework == "optax":
        return _read_optax(call, remarks)
    if f"{call.framework}.{call.leaf}" not in names():
        raise NothingExactError(f"{call.leaf} is no loss that another framework has with the same formula.")
    if call.framework == "keras" and call["reduction"] == "mean_with_sample_weight":
        raise NothingExactError(
            "mean_with_sample_weight divides by the samples' weights, which are no part of the call."
        )
    if call["reduction"] not in _REDUCTIONS:
        raise NothingExactError("Without a reduction a loss has a shape, which frameworks differ in; give it one.")
    if call.values.get("axis", -1) != -1:
        raise NothingExactError("An axis other than the last has no counterpart.")
    settings: dict[str, Any] = {"reduction": _REDUCTIONS[call["reduction"]]}
    read_more = _read_keras if call.framework == "keras" else _read_torch
    return named(f"{call.framework}.{call.leaf}", settings | read_more(call, settings, remarks))


def _read_keras(call: Bound, settings: dict[str, Any], remarks: Remarks) -> dict[str, Any]:
    if call.values.get("from_logits"):
        settings["outputs"] = "logits"
    elif "from_logits" in call.values and "BCE" not in call.leaf:
        remarks.add("Keras takes probabilities unless from_logits=True: the model ends with a softmax or sigmoid.")
    if call.values.get("label_smoothing"):
        settings["label_smoothing"] = float(call["label_smoothing"])
    if call.values.get("ignore_class") is not None:
        settings["ignored"] = call["ignore_class"]
    if call.leaf == "Huber":
        settings["delta"] = float(call["delta"])
    return settings


def _read_torch(call: Bound, settings: dict[str, Any], remarks: Remarks) -> dict[str, Any]:
    if call.values.get("size_average") is not None or call.values.get("reduce") is not None:
        raise UsageError(f"{call.name} by size_average or reduce", expected="reduction")
    if call.leaf in ("CrossEntropyLoss", "NLLLoss"):
        settings["reduction"] = {"mean": "weighted_mean", "sum": "sum"}[settings["reduction"]]
        settings["class_weights"] = _tensor(call["weight"])
        settings["label_smoothing"] = float(call.values.get("label_smoothing", 0.0))
        settings["ignored"] = call["ignore_index"] if "ignore_index" in call.given else None
        if settings["ignored"] is None:
            remarks.add("Of labels of -100, which PyTorch ignores unless told otherwise, none is expected.")
    elif call.values.get("weight") is not None:
        raise NothingExactError("A weight for each element of the batch has no counterpart.")
    if call.values.get("pos_weight") is not None:
        weights = _tensor(call["pos_weight"])
        if len(weights) != 1:
            raise NothingExactError("A pos_weight for each class has no counterpart here; translate with one number.")
        settings["pos_weight"] = weights[0]
    for argument in ("delta", "beta"):
        if argument in call.values:
            settings[argument] = float(call[argument])
    if call.leaf == "PoissonNLLLoss":
        outputs = "log_rates" if call["log_input"] else "rates"
        settings |= {"outputs": outputs, "epsilon": float(call["eps"]), "full": call["full"]}
    if call.leaf == "KLDivLoss" and call["log_target"]:
        settings["targets"] = "log_probabilities"
    return settings


def _tensor(value: Any) -> tuple[float, ...]:
    if isinstance(value, Call):
        value = value.args[0] if value.name == "torch.tensor" and len(value.args) == 1 else "?"
    values = () if value is None else (value,) if number(value) else value
    if not isinstance(values, (tuple, list)) or not all(map(number, values)):
        raise UsageError("a tensor of weights", got=value, expected="torch.tensor([…]) of numbers")
    return tuple(map(float, values))


_OPTAX: dict[str, Callable[[Bound], Loss]] = {
    "softmax_cross_entropy": lambda _: CrossEntropy(targets="distribution"),
    "softmax_cross_entropy_with_integer_labels": lambda _: CrossEntropy(),
    "sigmoid_binary_cross_entropy": lambda _: BinaryCrossEntropy(),
    "squared_error": lambda _: SquaredError(),
    "huber_loss": lambda call: Huber(delta=float(call["delta"])),
    "log_cosh": lambda _: LogCosh(),
    "hinge_loss": lambda _: Hinge(),
}


def _read_optax(call: Bound, remarks: Remarks) -> Loss:
    if call.leaf not in _OPTAX or call.values.get("axis", -1) != -1 or call.values.get("where") is not None:
        raise NothingExactError(f"{call.leaf} with these arguments is no loss that another framework has.")
    remarks.add("optax gives a loss for each item; this is jnp.mean of them.")
    return _OPTAX[call.leaf](call)


def write(loss: Loss, framework: str, remarks: Remarks) -> Written:
    """The loss in that framework, to be called with outputs and targets; in Keras with targets and outputs."""
    if isinstance(loss, CrossEntropy) and loss.ignored is not None:
        remarks.add(_EMPTY)
    native = {"torch": _torch, "keras": _keras, "optax": _optax}[framework](loss)
    if native is not None:
        return Written("loss", native)
    order = "targets, outputs" if framework == "keras" else "outputs, targets"
    prefix = {"torch": "torch", "keras": "keras.ops", "optax": "jnp"}[framework]
    body = _Function(prefix).lines(loss)
    imports = {"optax": ("import jax", "import jax.numpy as jnp")}.get(framework, ())
    lines = (*imports, f"def loss({order}):", *(f"    {line}" for line in body))
    remarks.add("There is no loss of its own that is this; it is written out.")
    return Written("", "loss", setup=lines)


def _rows(loss: Any) -> bool:
    return getattr(loss, "items", "elements") == "rows"


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
            return None if _rows(loss) else _made(name, reduction, words)
    if not name or (_rows(loss) and loss.reduction == "sum"):
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
    if not name or reduction is None or (loss.reduction == "sum" and hasattr(loss, "items") and not _rows(loss)):
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
    if not name or (loss.reduction not in ("mean", "weighted_mean") and (_rows(loss) or loss.reduction != "sum")):
        return None
    reduction = "sum" if loss.reduction == "sum" else "mean"
    return f"lambda outputs, targets: jax.numpy.{reduction}(optax.losses.{name}(outputs, targets{words}))"


class _Function:
    """A loss written out in a framework's operations."""

    def __init__(self, prefix: str) -> None:
        self.p = prefix
        functional = {"torch": "torch.nn.functional.", "jnp": "jax.nn.", "keras.ops": "keras.ops."}[prefix]
        self.log_sigmoid = functional + ("logsigmoid" if prefix == "torch" else "log_sigmoid")
        self.one_hot = functional + "one_hot"
        self.log_softmax = ("torch." if prefix == "torch" else functional) + "log_softmax"
        self.norm = {"torch": "torch.linalg.vector_norm", "jnp": "jnp.linalg.norm", "keras.ops": "keras.ops.norm"}[
            prefix
        ]
        self.dim = "dim" if prefix == "torch" else "axis"

    def lines(self, loss: Loss) -> list[str]:
        """The body of ``def loss``."""
        match loss:
            case CrossEntropy():
                return self._cross_entropy(loss)
            case CosineSimilarity():
                return self._cosine(loss)
        before, item = self._elementwise(loss)
        rows = _rows(loss)
        summed = isinstance(loss, KLDivergence)
        if rows and (summed or loss.reduction == "sum"):
            item = f"{self.p}.{'sum' if summed else 'mean'}({item}, -1)"
        return [*before, f"return {self._reduced(item, loss.reduction)}"]

    def _reduced(self, item: str, reduction: str) -> str:
        if reduction == "batch_mean":
            return f"{self.p}.sum({item}) / outputs.shape[0]"
        return f"{self.p}.{'sum' if reduction == 'sum' else 'mean'}({item})"

    def _elementwise(self, loss: Any) -> tuple[list[str], str]:
        p, error = self.p, "outputs - targets"
        size = f"{p}.abs({error})"
        match loss:
            case SquaredError():
                return [], f"{p}.square({error})"
            case AbsoluteError():
                return [], size
            case Huber(delta=d):
                return [], f"{p}.where({size} <= {d}, 0.5 * {p}.square({error}), {d} * {size} - {d * d / 2})"
            case SmoothL1(beta=b):
                if not b:
                    return [], size
                return [], f"{p}.where({size} < {b}, {p}.square({error}) / {2 * b}, {size} - {b / 2})"
            case LogCosh():
                return [], f"{size} + {p}.log1p({p}.exp(-2.0 * {size})) - {math.log(2)}"
            case Poisson():
                return self._poisson(loss)
            case Hinge():
                margin = "margin = 1.0 - targets * outputs"
                signs = f"targets = {p}.where({p}.all((targets == 0) | (targets == 1)), 2 * targets - 1, targets)"
                item = f"{p}.where(margin >= 0, margin, 0.0)"
                before = [*([signs] if loss.targets == "any" else []), margin]
                return before, f"{p}.square({item})" if loss.squared else item
            case KLDivergence():
                return self._divergence(loss)
            case BinaryCrossEntropy():
                return self._binary(loss)
        raise NothingExactError(f"{type(loss).__name__} has no form in these operations.")

    def _poisson(self, loss: Poisson) -> tuple[list[str], str]:
        p = self.p
        item = f"{p}.exp(outputs) - targets * outputs"
        if loss.outputs == "rates":
            item = f"outputs - targets * {p}.log(outputs + {loss.epsilon})"
        if not loss.full:
            return [], item
        above = f"above = {p}.where(targets > 1, targets, 1.0)"
        more = f"above * {p}.log(above) - above + 0.5 * {p}.log({2 * math.pi} * above)"
        return [above], f"{item} + {p}.where(targets > 1, {more}, 0.0)"

    def _divergence(self, loss: KLDivergence) -> tuple[list[str], str]:
        p, c = self.p, loss.clip
        if loss.outputs == "probabilities":
            # Not clip, of which JAX halves the gradient at its bounds, where probabilities of 1 are.
            within = "{0} = {1}.where({0} > 1.0, 1.0, {1}.where({0} < {2}, {2}, {0}))"
            cut = [within.format(name, p, c) for name in ("targets", "outputs")]
            return cut, f"targets * {p}.log(targets / outputs)"
        if loss.targets == "log_probabilities":
            return [], f"{p}.exp(targets) * (targets - outputs)"
        return [], f"{p}.where(targets > 0, targets * ({p}.log({p}.where(targets > 0, targets, 1.0)) - outputs), 0.0)"

    def _binary(self, loss: BinaryCrossEntropy) -> tuple[list[str], str]:
        p, before = self.p, []
        if loss.label_smoothing:
            before.append(f"targets = targets * {1 - loss.label_smoothing} + {loss.label_smoothing / 2}")
        if loss.outputs == "logits":
            weight = "" if loss.pos_weight == 1 else f"{loss.pos_weight} * "
            item = f"-({weight}targets * {self.log_sigmoid}(outputs) + (1.0 - targets) * {self.log_sigmoid}(-outputs))"
            return before, item
        if loss.guard == "floor":
            raise NothingExactError(
                "PyTorch's BCELoss cuts logarithms at -100, with a gradient of its own; from logits all are the same.",
                closest=called("keras.losses.BinaryCrossentropy", from_logits=False),
            )
        before.append(f"outputs = {p}.clip(outputs, {loss.clip}, {1 - loss.clip})")
        return before, f"-(targets * {p}.log(outputs) + (1.0 - targets) * {p}.log(1.0 - outputs))"

    def _cosine(self, loss: CosineSimilarity) -> list[str]:
        lines, p, e = [], self.p, loss.epsilon
        for name in ("outputs", "targets"):
            lines.append(f"norm = {self.norm}({name}, {self.dim}=-1, {'keepdim' if p == 'torch' else 'keepdims'}=True)")
            lines.append(f"{name} = {name} / {p}.where(norm > {e}, norm, {e})")
        return [*lines, f"return {self._reduced(f'-{p}.sum(outputs * targets, -1)', loss.reduction)}"]

    def _cross_entropy(self, loss: CrossEntropy) -> list[str]:
        if loss.class_weights and loss.weighing == "items":
            raise NothingExactError("Keras' class_weight is an argument of fit.")
        p, lines = self.p, []
        share = f"outputs / {p}.sum(outputs, -1, {'keepdim' if p == 'torch' else 'keepdims'}=True)"
        cut = f"{p}.clip({{}}, {loss.clip}, {1 - loss.clip})"
        match loss:
            case CrossEntropy(outputs="logits"):
                lines.append(f"logs = {self.log_softmax}(outputs, -1)")
            case CrossEntropy(outputs="log_probabilities"):
                lines.append("logs = outputs")
            case CrossEntropy(normalization="before"):
                lines.append(f"logs = {p}.log({cut.format(share)})")
            case CrossEntropy(normalization="after"):
                lines += [f"outputs = {cut.format('outputs')}", f"logs = {p}.log({share})"]
            case _:
                lines.append(f"logs = {p}.log({cut.format('outputs')})")
        classes = loss.targets == "classes"
        if loss.ignored is not None:
            lines += [f"valid = targets != {loss.ignored}", f"targets = {p}.where(valid, targets, 0)"]
        if classes:
            lines.append(f"hot = {self.one_hot}(targets, logs.shape[-1])")
        hot = "hot" if classes else "targets"
        smooth = f"{hot} * {1 - loss.label_smoothing} + {loss.label_smoothing} / logs.shape[-1]"
        lines.append(f"shares = {smooth if loss.label_smoothing else hot}")
        weights = self._array(loss.class_weights)
        terms = f"shares * logs * {weights}" if loss.class_weights else "shares * logs"
        lines.append(f"items = -{p}.sum({terms}, -1)")
        counts = "valid" if loss.ignored is not None else ""
        if loss.class_weights and loss.reduction == "weighted_mean" and classes:
            counts = f"{p}.sum(hot * {weights}, -1)" + (f" * {counts}" if counts else "")
        if loss.ignored is not None:
            lines.append("items = items * valid")
        if counts and loss.reduction != "sum":
            lines += [f"counts = {counts}", f"return {p}.sum(items) / {p}.sum(counts)"]
            return lines
        return [*lines, f"return {self._reduced('items', loss.reduction)}"]

    def _array(self, weights: tuple[float, ...]) -> str:
        if self.p == "torch":
            return f"torch.tensor({list(weights)}, dtype=logs.dtype)"
        function = "keras.ops.convert_to_tensor" if self.p == "keras.ops" else "jnp.array"
        return f"{function}({list(weights)}, dtype=logs.dtype)"


def translated(call: Bound, framework: str, remarks: Remarks) -> tuple[Loss, Written]:
    """A loss's call, and what it is in that framework."""
    loss = read(call, remarks)
    if isinstance(loss, Hinge) and "optax" in (call.framework, framework):
        remarks.add("At its corner, where a margin is exactly 0, optax's gradient is half of the others'.")
    if isinstance(loss, CrossEntropy) and not loss.class_weights and loss.ignored is None:
        loss = replace(loss, reduction="mean" if loss.reduction == "weighted_mean" else loss.reduction)
    if framework == "keras":
        remarks.add("Keras calls a loss with the targets first: loss(targets, outputs).")
    if call.framework == "keras" and framework == "torch":
        remarks.add("Keras calls a loss with the targets first, PyTorch with the outputs: loss(outputs, targets).")
    return loss, write(loss, framework, remarks)
