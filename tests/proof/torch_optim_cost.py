"""What an optimizer of xframe_torch.optim costs beside torch's own of that name, as torch makes it by default.

Segments of the two alternate; a ratio is of two neighbouring segments' processor time, on one thread. torch has no
Lion: that one is beside its AdamW, whom it is meant to replace.
"""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from xframe_torch import optim

MOST = 1.15  # times the native one
SECONDS = 0.02  # of a segment, at least
MODELS = {"20 tensors": (20, 128), "100 tensors": (100, 32), "100 large tensors": (100, 256)}  # half of them matrices
MOMENTUM: dict[str, Any] = {"momentum": 0.9, "nesterov": True}
CENTERED: dict[str, Any] = {"momentum": 0.9, "centered": True}
DECAY: dict[str, Any] = {"weight_decay": 0.01}
PAIRS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "SGD": (torch.optim.SGD, optim.KerasSGD, {}),
    "SGD, Nesterov": (torch.optim.SGD, optim.KerasSGD, MOMENTUM),
    "SGD, momentum, decay": (torch.optim.SGD, optim.KerasSGD, {"momentum": 0.9, **DECAY}),
    "Adam": (torch.optim.Adam, optim.KerasAdam, {}),
    "Adam, amsgrad": (torch.optim.Adam, optim.KerasAdam, {"amsgrad": True}),
    "AdamW": (torch.optim.AdamW, optim.KerasAdamW, DECAY),
    "NAdam": (torch.optim.NAdam, optim.KerasNAdam, {}),
    "Adamax": (torch.optim.Adamax, optim.KerasAdamax, {}),
    "RMSprop": (torch.optim.RMSprop, optim.KerasRMSprop, {}),
    "RMSprop, centered, momentum": (torch.optim.RMSprop, optim.KerasRMSprop, CENTERED),
    "Adagrad": (torch.optim.Adagrad, optim.KerasAdagrad, {}),
    "Adadelta": (torch.optim.Adadelta, optim.KerasAdadelta, {}),
    "Adafactor": (torch.optim.Adafactor, optim.KerasAdafactor, {}),
    "Lion": (torch.optim.AdamW, optim.KerasLion, DECAY),
}


def over(tensors: int, width: int, kind: Any, settings: dict[str, Any]) -> torch.optim.Optimizer:
    """Such an optimizer over parameters of its own, all with a gradient."""
    generator, parameters = torch.Generator().manual_seed(0), []
    for index in range(tensors):
        shape = (width, width) if index % 2 == 0 else (width,)
        parameter = torch.nn.Parameter(torch.randn(shape, generator=generator))
        parameter.grad = torch.randn(shape, generator=generator)
        parameters.append(parameter)
    made: torch.optim.Optimizer = kind(parameters, lr=1e-3, **settings)
    return made


def ratios(native: torch.optim.Optimizer, own: torch.optim.Optimizer, rounds: int) -> Iterator[float]:
    """Of processor time, in segments of as many steps."""
    steps = max(2, int(SECONDS / _took(native, 3) * 3))
    _took(own, steps)
    for _ in range(rounds):
        before = _took(native, steps)
        yield _took(own, steps) / before


def _took(optimizer: torch.optim.Optimizer, steps: int) -> float:
    """The steps alone: between them gradients turn round, for constant ones have no variance."""
    gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]
    taken = 0.0
    for _ in range(steps):
        torch._foreach_neg_(gradients)
        began = time.process_time()
        optimizer.step()
        taken += time.process_time() - began
    return taken


def run(rounds: int) -> dict[str, Any]:
    """The section of the proof."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    lines, bad = [f"| optimizer | {' | '.join(MODELS)} |", f"| --- {'| --- ' * len(MODELS)}|"], []
    for name, (native, own, settings) in PAIRS.items():
        cells = []
        for model, size in MODELS.items():
            both = (over(*size, kind, settings) for kind in (native, own))
            low, middle, high = statistics.quantiles(ratios(*both, rounds), n=4)
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
            if middle > MOST:
                bad.append(f"{name}, {model}: {middle:.2f} times torch's own")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    torch.set_num_threads(threads)
    return {
        "size": f"{len(PAIRS)} optimizers, {rounds} rounds, median and quartiles",
        "bad": bad,
        "text": "\n".join(lines),
    }


if __name__ == "__main__":
    print(run(15)["text"])
