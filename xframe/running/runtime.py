"""Runtime: where and how a run is executed. Device, precision, threads, determinism, loop."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from xframe.errors import UsageError, did_you_mean
from xframe.precision import PRECISIONS

PATIENCE = 60.0  # seconds that a framework waits for another replica, unless others are asked for
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Replica:
    """Which of a run's replicas a process is, and where it meets the others.

    Attributes:
        index: from 0.
        of: how many there are.
        meeting: a file's name that all of them know and nobody has made; it is gone when they are.
        addresses: of each, ``host:port``; none where the framework needs none.
        patience: seconds that the framework waits for another one before it gives up.
        here: its index among those on this machine, and how many these are, where a launcher has started them; then
            they meet by their addresses, as others may know no file. None: all are on this machine.
    """

    index: int
    of: int
    meeting: str
    addresses: tuple[str, ...] = ()
    patience: float = PATIENCE
    here: tuple[int, int] | None = None

    @property
    def on_this_machine(self) -> tuple[int, int]:
        """Its index among those that share this machine's devices, and how many these are."""
        return self.here or (self.index, self.of)

    @property
    def arrival(self) -> str:
        """The name of the file that says that it has come to where all meet."""
        return f"{self.meeting}-{self.index}"

    @property
    def litter(self) -> tuple[str, str]:
        """The files that are there while they meet."""
        return self.meeting, self.arrival

    def arrive(self) -> None:
        """Says so; to be called just before it waits there, where the framework may wait for ever."""
        Path(self.arrival).touch()


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how.

    Attributes:
        device: ``cpu``, ``cuda``, or ``auto``: the best that all chosen adapters have.
        precision: of weights, features and arithmetic. ``mixed_float16``: weights in float32, arithmetic in float16
            where the framework's own rules allow it, and the loss scaled, so that updates can be skipped.
        threads: CPU threads of the framework's own pool; None lets the harness share out the cores.
        deterministic: ask the framework for deterministic kernels.
        tf32: allow TensorFloat-32 on CUDA, which rounds float32 products to 10 bits of mantissa.
        loop: the adapter's native loop; None is its first.
        workers: processes or threads of the framework's own pipeline that read data; 0 reads in the loop.
        replica: which one this process is, in a run of several; no part of ``to_dict``.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "float64", "bfloat16", "mixed_float16"] = "float32"
    threads: int | None = None
    deterministic: bool = True
    tf32: bool = False
    loop: str | None = None
    workers: int = 0
    replica: Replica | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("device", self.device, DEVICES), ("precision", self.precision, PRECISIONS)):
            if value not in known:
                hint = "NVIDIA GPUs are named cuda." if str(value) == "gpu" else did_you_mean(str(value), known)
                raise UsageError(f"unknown {name}", got=value, expected="one of " + ", ".join(known), remedy=hint)
        if self.threads is not None and (type(self.threads) is not int or not 1 <= self.threads <= 1024):
            raise UsageError("threads", got=self.threads, expected="an integer from 1 to 1024")
        if type(self.workers) is not int or not 0 <= self.workers <= 1024:
            raise UsageError("workers", got=self.workers, expected="an integer from 0 to 1024")

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, but for ``replica``."""
        return {name: value for name, value in asdict(self).items() if name != "replica"}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Runtime:
        """What ``to_dict`` returned; what is no field is left out."""
        return cls(
            **{
                field.name: values[field.name]
                for field in fields(cls)
                if field.name in values and field.name != "replica"
            }
        )


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
