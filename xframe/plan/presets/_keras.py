"""What both generations of Keras share: how data is given, and the arguments of ``fit`` that go with it."""

from __future__ import annotations

from typing import Any

from xframe.errors import UsageError
from xframe.plan.presets._preset import batches_of_pass, choice, count, flag, maybe

DROP = {"data": "dataset", "drop_remainder": True}
NO_LIMITS = {
    "steps": "Keras fit has no limit of steps: it is epochs times steps_per_epoch.",
    "updates": "Keras fit has no limit of updates: it stops after epochs.",
}
_DATA = ("arrays", "dataset", "batch-repeat", "repeat-batch")
_REFUSED = {
    "unknown": (
        "a tf.data of unknown cardinality: fit notices its end only by a step that fails, which makes empty epochs, "
        "and counts in optimizer.iterations",
        "Add .apply(tf.data.experimental.assert_cardinality(n)).",
    ),
    "repeat": (
        "a tf.data repeated a finite number of times: its epochs are neither passes nor endless",
        "Use .repeat() with steps_per_epoch, or no repeat.",
    ),
    "generator": (
        "a Python generator: passes after the first replay its first batches only",
        "Use a tf.data.Dataset or arrays.",
    ),
}


def read_arguments(
    name: str, num_samples: int, batch_size: Any, steps_per_epoch: Any, steps_per_execution: Any, data: str, drop: Any
) -> tuple[int, int | None, int, bool]:
    """The arguments that both generations share: batch size, steps per epoch and per execution, drop_remainder."""
    if data in _REFUSED:
        what, remedy = _REFUSED[data]
        raise UsageError(
            f"{name} with {what}; no plan expresses that",
            got=data,
            expected="one of " + ", ".join(_DATA),
            remedy=remedy,
        )
    choice("data", data, _DATA)
    s = maybe("steps_per_epoch", steps_per_epoch)
    default = 32 if s is None or data != "arrays" else -(-num_samples // s)
    b = default if batch_size is None else count("batch_size", batch_size)
    if flag("drop_remainder", drop) and data in ("arrays", "repeat-batch"):
        raise UsageError(
            f"{name} with drop_remainder on {data}",
            got=True,
            expected="data='dataset' or 'batch-repeat', the only ones with a short batch to drop",
        )
    if s is None and "repeat" in data:
        raise UsageError(f"{name} without end", got=data, expected="steps_per_epoch, for the data is endless")
    if data != "repeat-batch":
        batches_of_pass(num_samples, b, drop)
    return b, s, count("steps_per_execution", steps_per_execution), drop
