"""The words that a plan's fields take, and the trainers known by name."""

from __future__ import annotations

from typing import Literal

Remainder = Literal["keep", "drop", "pad", "carry", "error"]
EpochIterator = Literal["restart", "continue"]
Exhaustion = Literal["repeat", "short_epoch", "stop"]
Boundary = Literal["epoch", "pass"]
Leftover = Literal["flush", "drop", "leak", "carry"]
AtEnd = Literal["drop", "flush"]
Normalization = Literal["actual", "window", "sum", "samples"]
SampleOrder = Literal["sequential", "shuffle"]
Unit = Literal["updates", "steps", "epochs"]
Monitor = Literal["loss", "accuracy"]
Better = Literal["min", "max"]
Trainer = Literal["accelerate", "ignite", "keras", "keras2", "lightning", "optax", "pytorch", "transformers"]
