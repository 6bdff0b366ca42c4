"""What the self-proof and its adapters' processes send each other; see ``xframe.running.messages``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xframe.running.messages import Failed


@dataclass(frozen=True, slots=True)
class Work:
    """To the child: what to train, and the folder for its traces. Plans as their ``to_dict`` returns them."""

    adapter: str
    folder: str
    plans: Sequence[dict[str, Any]]
    faults: Sequence[str]
    clean_runs: int
    seed: int


@dataclass(frozen=True, slots=True)
class Trained:
    """From the child: one run was recorded, or the adapter refused it for that reason."""

    run: str
    refused: str | None


@dataclass(frozen=True, slots=True)
class Broke:
    """From the child: a fault that could not run, and why."""

    fault: str
    text: str


MESSAGES = (Trained, Broke, Failed)
