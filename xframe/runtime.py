"""Runtime: where and how a run is executed. Device, precision, threads, determinism, loop."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from xframe.errors import UsageError, did_you_mean

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how.

    Attributes:
        device: ``cpu``, ``cuda``, or ``auto``: the best that all chosen adapters have.
        precision: of weights, features and arithmetic.
        threads: CPU threads of the framework's own pool; None lets the harness share out the cores.
        deterministic: ask the framework for deterministic kernels.
        tf32: allow TensorFloat-32 on CUDA, which rounds float32 products to 10 bits of mantissa.
        loop: the adapter's native loop; None is its first.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "float64"] = "float32"
    threads: int | None = None
    deterministic: bool = True
    tf32: bool = False
    loop: str | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("device", self.device, DEVICES), ("precision", self.precision, PRECISIONS)):
            if value not in known:
                hint = "NVIDIA GPUs are named cuda." if str(value) == "gpu" else did_you_mean(str(value), known)
                raise UsageError(f"unknown {name}", got=value, expected="one of " + ", ".join(known), remedy=hint)
        if self.threads is not None and (type(self.threads) is not int or not 1 <= self.threads <= 1024):
            raise UsageError("threads", got=self.threads, expected="an integer from 1 to 1024")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Runtime:
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
