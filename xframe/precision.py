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
