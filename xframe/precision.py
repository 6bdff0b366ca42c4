"""The precisions a run can train in, and what NumPy stores of each."""

from __future__ import annotations

PRECISIONS = ("float32", "float64", "bfloat16", "mixed_float16")
_EPSILONS = {"float64": 2.0**-52, "float32": 2.0**-23}  # by storage


def storage(precision: str) -> str:
    """The float type in which NumPy holds what is trained in that precision: it has no bfloat16."""
    return "float64" if precision == "float64" else "float32"


def epsilon(precision: str) -> float:
    """The distance from 1 to the next number in that storage."""
    return _EPSILONS[storage(precision)]


def rounding(precision: str, device: str = "cpu") -> float:
    """The same of what sums and products are computed in; a GPU may take float32 for TF32, which has ten bits."""
    coarser = {"bfloat16": 2.0**-7, "mixed_float16": 2.0**-10}
    if precision == "float32" and not device.startswith("cpu"):
        return 2.0**-10
    return coarser.get(precision, epsilon(precision))
