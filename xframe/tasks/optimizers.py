"""How a task's weights are updated: the rule, the same in every framework, and what of it a task may set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xframe.errors import UsageError, Verbatim
from xframe.tasks.schedules import Schedule

CLIPS = ("clip_value", "clip_norm", "clip_global_norm")


@dataclass(frozen=True, slots=True)
class SGD:
    """v ← momentum·v + g;  w ← w − learning_rate·v, with g the clipped gradient plus weight_decay·w.

    The frameworks' own weight decay is the same rule only without momentum, so both at once are refused.

    Attributes:
        learning_rate: a number, or an ``xframe.tasks.schedules`` in ticks of the plan's ``schedule_clock``.
        momentum, weight_decay: as above.
        clip_value: each element of the gradient is cut to within plus or minus this.
        clip_norm: the gradient of each variable is scaled down to at most this norm.
        clip_global_norm: all gradients are scaled down together to at most this norm.
    """

    learning_rate: float | Schedule
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip_value: float | None = None
    clip_norm: float | None = None
    clip_global_norm: float | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "momentum", "weight_decay", *CLIPS):
            value = getattr(self, name)
            real = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not (real or (name in CLIPS and value is None) or (name == "learning_rate" and self.scheduled)):
                expected = "a finite number" + (" or an xframe.schedule" if name == "learning_rate" else "")
                raise UsageError(f"SGD's {name}", got=value, expected=expected)
        clips = {name: getattr(self, name) for name in CLIPS if getattr(self, name) is not None}
        if len(clips) > 1 or not all(0 < value < math.inf for value in clips.values()):
            raise UsageError(
                "SGD's clipping", got=Verbatim(clips), expected=f"at most one of {', '.join(CLIPS)}, a number above 0"
            )
        if self.momentum and self.weight_decay:
            raise UsageError(
                "SGD with both momentum and weight_decay is not one rule in all frameworks",
                got=Verbatim(f"momentum={self.momentum}, weight_decay={self.weight_decay}"),
                expected="at most one of them",
            )

    def rate(self, tick: int) -> float:
        """The learning rate at that tick of the plan's ``schedule_clock``."""
        return self.learning_rate(tick) if isinstance(self.learning_rate, Schedule) else float(self.learning_rate)

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate is a schedule."""
        return isinstance(self.learning_rate, Schedule)
