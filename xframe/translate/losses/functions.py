"""A loss written out in operations that the three frameworks have under one name."""

from __future__ import annotations

import math
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
from xframe.translate.written import NothingExactError, called


class Function:
    """A loss written out in a framework's operations."""

    def __init__(self, prefix: str) -> None:
        self.p = prefix
        functional = {"torch": "torch.nn.functional.", "jnp": "jax.nn.", "keras.ops": "keras.ops."}[prefix]
        self.log_sigmoid = functional + ("logsigmoid" if prefix == "torch" else "log_sigmoid")
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
        rows = by_rows(loss)
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
                lines.append("logs = keras.ops.convert_to_tensor(outputs)" if p == "keras.ops" else "logs = outputs")
            case CrossEntropy(normalization="before"):
                lines.append(f"logs = {p}.log({cut.format(share)})")
            case CrossEntropy(normalization="after"):
                lines += [f"outputs = {cut.format('outputs')}", f"logs = {p}.log({share})"]
            case _:
                lines.append(f"logs = {p}.log({cut.format('outputs')})")
        lines += self._of_classes(loss) if loss.targets == "classes" else self._of_shares(loss)
        if loss.ignored is not None:
            lines.append(f"items = {p}.where(valid, items, 0.0)")
        weighted = loss.class_weights and loss.targets == "classes" and loss.reduction == "weighted_mean"
        if not (weighted or loss.ignored is not None) or loss.reduction == "sum":
            return [*lines, f"return {self._reduced('items', loss.reduction)}"]
        counts = "weights" if weighted else f"{p}.ones_like(items)"
        lines.append(f"counts = {counts if loss.ignored is None else f'{p}.where(valid, {counts}, 0.0)'}")
        if loss.empty == "nan":
            return [*lines, f"return {p}.sum(items) / {p}.sum(counts)"]
        return [*lines, f"count = {p}.sum(counts)", f"return {p}.sum(items) / {p}.where(count > 0, count, 1.0)"]

    def _of_classes(self, loss: CrossEntropy) -> list[str]:
        """Of integers; what belongs to the target's class is taken, not multiplied, as 0 times -inf is NaN."""
        p, s, lines = self.p, loss.label_smoothing, list[str]()
        if p == "keras.ops":
            lines.append('targets = keras.ops.cast(targets, "int32")')
        if loss.ignored is not None:
            lines += [f"valid = targets != {loss.ignored}", f"targets = {p}.where(valid, targets, 0)"]
        take = "torch.take_along_dim" if p == "torch" else f"{p}.take_along_axis"
        lines.append(f"taken = {take}(logs, targets[..., None], -1)[..., 0]")
        taken, spread = "taken", "logs"
        if loss.class_weights:
            each = "weights[targets]" if p == "torch" else f"{p}.take(weights, targets)"
            lines += [f"weights = {self._array(loss.class_weights)}", *(["spread = weights * logs"] if s else [])]
            lines.append(f"weights = {each}")
            taken, spread = "weights * taken", "spread"
        if not s:
            return [*lines, f"items = -{taken}"]
        return [*lines, f"items = -({taken} * {1 - s} + {p}.mean({spread}, -1) * {s})"]

    def _of_shares(self, loss: CrossEntropy) -> list[str]:
        p, s = self.p, loss.label_smoothing
        shares = f"(targets * {1 - s} + {s} / logs.shape[-1])" if s else "targets"
        terms = f"{shares} * logs" + (f" * {self._array(loss.class_weights)}" if loss.class_weights else "")
        return [f"items = -{p}.sum({terms}, -1)"]

    def _array(self, weights: tuple[float, ...]) -> str:
        if self.p == "torch":
            return f"torch.tensor({list(weights)}, dtype=logs.dtype)"
        function = "keras.ops.convert_to_tensor" if self.p == "keras.ops" else "jnp.array"
        return f"{function}({list(weights)}, dtype=logs.dtype)"


def by_rows(loss: Any) -> bool:
    """Whether its items are rows, with the mean of their elements."""
    return getattr(loss, "items", "elements") == "rows"
