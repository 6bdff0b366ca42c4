"""What a real trainer was seen to do, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class Observed:
    """One run: the ids of each step in batch order, updates applied so far after each, and each update's gradient."""

    ids: list[list[int]] = field(default_factory=list)
    updates: list[int] = field(default_factory=list)
    gradients: list[NDArray[np.float64]] = field(default_factory=list)
