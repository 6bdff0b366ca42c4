"""Clipping, denominators, accumulation; gradients that are frozen, turned around or scaled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sweeps.planted.declaring import other_rule, tampered
from sweeps.planted.trainings import MLP, SQUARE, TEXT, Training
from xframe.tasks.optimizers import SGD

ANY = "*"
FOURS = MLP.planned(gradient_accumulation_steps=4, epochs=4)
NUMPY, TORCH = ("numpy",), ("torch",)


def clips(name: str, own: dict[str, float], other: dict[str, float], *causes: str) -> None:
    """The same rule with its gradients clipped otherwise."""
    other_rule(name, MLP, SGD(0.1, **own), SGD(0.1, **other), "clipping", ANY, *causes)  # type: ignore[arg-type]


clips("clipped by tensor", {"clip_global_norm": 0.1}, {"clip_norm": 0.1}, "clipping-kind")
clips("clipped together", {"clip_norm": 0.1}, {"clip_global_norm": 0.1}, "clipping-kind")
clips("clipped by value", {"clip_global_norm": 0.02}, {"clip_value": 0.02}, "clipping-kind")
clips("norm for value", {"clip_value": 0.02}, {"clip_norm": 0.02}, "clipping-kind")
clips("clipped at 1.01 times the norm", {"clip_global_norm": 0.1}, {"clip_global_norm": 0.101}, "clipping-threshold")
clips("clipped at 1.0001 times the norm", {"clip_norm": 0.05}, {"clip_norm": 0.050005}, "clipping-threshold")
clips("not clipped", {"clip_global_norm": 0.1}, {}, "clipping-absent")
clips("clipped where nothing is stated", {}, {"clip_global_norm": 0.1}, "clipping-kind", "clipping-absent")


def _added_to(step: Any) -> None:
    import torch

    step.clip = lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, 0.1)  # divides by norm + 1e-6


tampered(
    "norm plus 1e-6",
    MLP.by(SGD(0.1, clip_global_norm=0.1)),
    _added_to,
    "clipping",
    ANY,
    "clipping-norm-added-to",
    sides=TORCH,
)

# What backward makes


def backward(
    name: str,
    training: Training,
    edit: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]],
    tensor: str,
    *causes: str,
) -> None:
    """In NumPy: the gradients of each backward go through ``edit``, which has the parameters too."""

    def change(step: Any) -> None:
        model = step.model
        plain = model.backward
        model.backward = lambda *given: edit(plain(*given), model.trained)

    tampered(name, training, change, "gradient", tensor, *causes, sides=NUMPY)


def only(tensor: str, by: Callable[[Any], Any]) -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """One tensor's gradient changed."""
    return lambda gradients, _: {name: by(one) if name == tensor else one for name, one in gradients.items()}


FACTOR, SIGN, ABSENT = "gradient-factor", "gradient-sign", "gradient-absent"
backward("a kernel frozen", MLP, only("dense_0/kernel", np.zeros_like), "dense_0/kernel", ABSENT)
backward("a bias frozen", MLP, only("dense_1/bias", np.zeros_like), "dense_1/bias", ABSENT)
backward("a kernel's gradient turned around", MLP, only("dense_0/kernel", lambda g: -g), "dense_0/kernel", SIGN)
backward("a kernel's gradient 1.001 times", MLP, only("dense_1/kernel", lambda g: 1.001 * g), "dense_1/kernel", FACTOR)
backward("a bias' gradient twice", MLP, only("dense_0/bias", lambda g: 2 * g), "dense_0/bias", FACTOR)
backward(
    "all gradients 1.0001 times",
    MLP,
    lambda gradients, _: {name: 1.0001 * one for name, one in gradients.items()},
    ANY,
    FACTOR,
)
backward(
    "all gradients turned around", MLP, lambda gradients, _: {name: -one for name, one in gradients.items()}, ANY, SIGN
)
backward(
    "half the gradients by rows",
    MLP,
    lambda gradients, _: {name: one / 8 for name, one in gradients.items()},
    ANY,
    FACTOR,
)
backward(
    "decay in the gradient",
    MLP,
    lambda gradients, w: {name: one + 0.01 * w[name] for name, one in gradients.items()},
    ANY,
    "decay-in-gradient",
)
backward(
    "kernels' decay in the gradient",
    MLP,
    lambda gradients, w: {name: one + 0.01 * w[name] * (one.ndim > 1) for name, one in gradients.items()},
    "*/kernel",
    "decay-in-gradient",
)
backward(
    "a square kernel's gradient transposed",
    SQUARE,
    only("dense_1/kernel", np.transpose),
    "dense_1/kernel",
    "gradient-transposed",
)


def _without_row(table: Any) -> Any:
    table = table.copy()
    table[0] = 0
    return table


backward(
    "row 0 of a table frozen",
    TEXT,
    only("embedding_0/table", _without_row),
    "embedding_0/table",
    "gradient-rows-absent",
)

# Accumulation


def window(name: str, training: Training, divisor: Callable[[Any, int], float], *causes: str) -> None:
    """The divisor of a window that is to be divided by ``honest`` is another one, given the window's steps."""

    def change(step: Any) -> None:
        plain = step.window.close

        def close(place: Any, rows: int) -> Any:
            honest = plain(place, rows)
            return None if honest is None else divisor(step.window, honest)

        step.window.close = close

    tampered(name, training, change, "gradient", ANY, *causes)


window("gradients over k²", FOURS, lambda _, honest: honest * honest, FACTOR)
window("gradients summed", FOURS, lambda *_: 1, FACTOR)
window("a short window over k", MLP.planned(gradient_accumulation_steps=3, epochs=3), lambda *_: 3, FACTOR)


def _zeroes(step: Any) -> None:
    plain = step.begin

    def begin(batch: Any) -> None:
        step.window.fresh = True
        plain(batch)
        step.window.fresh = True

    step.begin = begin


tampered("only the last batch's gradient", FOURS, _zeroes, "gradient", ANY, "gradient-of-last-batch")


def _decays_in_hooks(step: Any) -> None:
    """In torch: each parameter's gradient has a share of it added, by a hook."""
    for parameter in step.parameters:
        parameter.register_hook(lambda g, p=parameter: g + 0.001 * p.detach())


tampered("decay in hooks", MLP, _decays_in_hooks, "gradient", ANY, "decay-in-gradient", sides=TORCH)


def _freezes(step: Any) -> None:
    step.parameters[0].register_hook(lambda g: g * 0)


tampered("a frozen tensor in torch", MLP, _freezes, "gradient", "dense_0/kernel", ABSENT, sides=TORCH)


def _values(step: Any) -> None:
    """Gradients cut by each backward, before they are summed and divided."""
    for parameter in step.parameters:
        parameter.register_hook(lambda g: g.clamp(-0.01, 0.01))


tampered("cut in backward", MLP, _values, "gradient", ANY, sides=TORCH)
