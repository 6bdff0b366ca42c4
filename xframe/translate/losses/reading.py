"""A loss of Keras, PyTorch or optax as one of ``xframe.losses``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xframe.errors import UsageError
from xframe.tasks.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Hinge,
    Huber,
    LogCosh,
    Loss,
    SquaredError,
    named,
    names,
)
from xframe.translate.names import Bound, number
from xframe.translate.parsing import Call
from xframe.translate.written import NothingExactError, Remarks

_REDUCTIONS = {"sum_over_batch_size": "mean", "mean": "mean", "sum": "sum", "batchmean": "batch_mean"}
_KNOWN: dict[str, tuple[str | None, ...]] = {
    "keras": (None, "none", "sum", "sum_over_batch_size", "mean", "mean_with_sample_weight"),
    "torch": ("none", "mean", "sum"),
}


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
    known = _KNOWN[call.framework] + (("batchmean",) if call.leaf == "KLDivLoss" else ())
    if call["reduction"] not in known:
        words = ", ".join(str(each) for each in known)
        raise UsageError(f"{call.name}'s reduction", got=call["reduction"], expected=f"one of {words}")
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
    empty = value is not None and values in ((), [])
    if empty or not isinstance(values, (tuple, list)) or not all(map(number, values)):
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
