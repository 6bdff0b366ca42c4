"""What both generations of Keras share: how data is given, the arguments of ``fit`` that go with it, and callbacks."""

from __future__ import annotations

import math
from typing import Any

from xframe.errors import UsageError, Verbatim
from xframe.plan.presets._arguments import Callbacks, free, order_of, require_plain, stopping
from xframe.plan.presets._preset import TRAINED, Fields, batches_of_pass, choice, count, flag, maybe

ACCEPTS = free(
    "x y verbose class_weight sample_weight validation_steps",  # fit
    "loss loss_weights metrics weighted_metrics run_eagerly jit_compile",  # compile
    "num_parallel_calls deterministic name",  # tf.data's batch
)
_CALLBACKS = Callbacks(
    ("keras", "tf_keras"),
    {
        "LambdaCallback": "what it does is not known",
        "CallbackList": "give the callbacks in it",
        "BackupAndRestore": "what it restores is not known",
    },
)

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


def parts(
    name: str, num_samples: int, data: str, validation_split: Any, epochs: Any, initial_epoch: Any
) -> tuple[int, int]:
    """How many samples are trained on, in how many epochs."""
    share, first, last = validation_split, initial_epoch, count("epochs", epochs)
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise UsageError("the argument validation_split", got=share, expected="a share from 0 up, below 1")
    if share and data != "arrays":
        raise UsageError(f"{name} with validation_split on {data}", got=share, expected="arrays")
    if (first := first if type(first) is int and first == 0 else count("initial_epoch", first)) >= last:
        raise UsageError(
            f"{name} trains no epoch", got=Verbatim(f"initial_epoch={first}, epochs={last}"), expected="more epochs"
        )
    trained = math.floor(num_samples * (1.0 - share))
    if not trained or (trained == num_samples and share):
        raise UsageError("validation_split leaves a part empty", got=share, expected=f"of {num_samples:,} samples some")
    return trained, last - first


def around(
    name: str,
    num_samples: int,
    shuffle: Any,
    callbacks: Any,
    validates: bool,
    validation_freq: Any,
    validation_batch_size: Any,
    initial_epoch: int,
) -> Fields:
    """The fields of a plan that fit's arguments around training make: samples, order, and early stopping."""
    fields: Fields = {TRAINED: num_samples, **order_of(name, shuffle)}
    callback = _CALLBACKS.read(name, callbacks, "EarlyStopping").get("EarlyStopping")
    if callback is None:
        return fields
    if not validates:
        raise UsageError(f"{name} with EarlyStopping and nothing to validate on", expected="validation_data")
    every = count("validation_freq", validation_freq)
    if initial_epoch % every:
        raise UsageError(
            f"{name} that validates after epochs counted from initial_epoch: no plan expresses that",
            got=Verbatim(f"validation_freq={every}, initial_epoch={initial_epoch}"),
            expected="an initial_epoch that validation_freq divides",
        )
    require_plain(name, callback, start_from_epoch=0)
    stops = stopping(
        name,
        callback,
        callback.monitor,
        _mode(callback),
        callback.patience,
        early_stopping_min_delta=abs(float(callback.min_delta)),
        early_stopping_baseline=callback.baseline,
        restore_best=bool(callback.restore_best_weights),
    )
    return fields | {"validation_every": every, "validation_batch_size": validation_batch_size} | stops


def _mode(callback: Any) -> str:
    """Which values are better; Keras 2 keeps NumPy's function that says it."""
    operator = getattr(getattr(callback, "monitor_op", None), "__name__", "")
    return {"greater": "max", "less": "min"}.get(operator) or str(getattr(callback, "mode", "auto"))
