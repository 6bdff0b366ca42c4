"""The pairs: two scripts each that train the same, one in TensorFlow, one in torch.

Odd lengths on purpose: where the last batch of a pass is short, and where it is not; where a window does not divide a
pass; where a stream ends within a pass. Rates change without momentum only, since Keras' velocity holds the rate that
was, and torch's does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pairs.script import Script


@dataclass(frozen=True)
class Pair:
    """Two scripts, the reference first.

    Attributes:
        made: the steps that both make.
        order: how they are compared: ``exact`` or ``coverage``.
    """

    name: str
    left: Script
    right: Script
    made: int

    @property
    def order(self) -> str:
        return "coverage" if self.left.order == "own" else "exact"

    @property
    def labelled(self) -> bool:
        return self.right.note_epoch is not None


def pair(name: str, left: str, right: str, *, made: int | None = None, plan: bool = False, **settings: Any) -> Pair:
    """Both scripts with these settings."""
    script = Script(left, **settings)
    if plan:
        script = replace(script, order="plan", planned=tuple(script.plan_fields().items()))
    return Pair(name, script, replace(script, loop=right), script.total if made is None else made)


_BY_EPOCH = {"momentum": 0.0, "rate": 0.2, "schedule": "step", "ticks": 1, "clock": "epochs"}
_ADAMW = {"optimizer": "adamw", "rate": 1e-3, "decay": 0.1, "epsilon": 1e-10}

PAIRS = {
    one.name: one
    for one in (
        pair("fit", "fit", "loader", **_BY_EPOCH),
        pair("fit, plan", "fit", "loader", plan=True, n=1000, batch=48),
        pair("tape", "tape", "loader", schedule="cosine", ticks=87, **_ADAMW),
        pair(
            "tape, plan",
            "tape",
            "indices",
            plan=True,
            n=500,
            batch=32,
            epochs=4,
            momentum=0.0,
            rate=0.2,
            schedule="exponential",
            ticks=20,
            smoothing=0.1,
        ),
        pair("rows", "tape", "indices", n=500, batch=40, model="lstm", last="drop", rate=0.2),
        pair("stream", "tape stream", "stream", n=600, steps=45, note_epoch=None),
        pair("stream, carried", "tape stream", "stream", n=500, batch=48, steps=50, last="carry", note_epoch=None),
        pair(
            "windows",
            "tape",
            "loader",
            n=1000,
            batch=40,
            window=4,
            clip="global",
            norm=0.3,
            momentum=0.0,
            rate=0.2,
            schedule="exponential",
            ticks=10,
        ),
        pair("fit, windows, plan", "fit", "indices", plan=True, n=1000, batch=40, window=4, leftover="carry"),
        pair("fit, own order", "fit", "loader", order="own", **_BY_EPOCH),
        pair(
            "tape, own order",
            "tape",
            "indices",
            order="own",
            n=1000,
            epochs=4,
            momentum=0.0,
            schedule="warmup",
            ticks=64,
        ),
        pair("fit, stopping", "fit", "loader", made=48, n=1000, rate=0.5, momentum=0.5, epochs=8, patience=1),
        pair(
            "tape, stopping, plan",
            "tape",
            "indices",
            made=95,
            plan=True,
            n=1200,
            rate=0.2,
            epochs=9,
            patience=1,
            restore=True,
        ),
    )
}
