"""``lightning.Trainer.fit`` over a DataLoader. *ran* with lightning 2.6.6.

``max_steps`` counts updates, so the plan's limit is ``updates``; without it and ``max_epochs``, 1,000 epochs.
Windows are cut at each epoch's end, which updates with what is there; the gradient is divided by
``accumulate_grad_batches`` all the same. Each epoch restarts the loader; a ``limit_train_batches`` beyond the
loader's length changes nothing, a float is a share of the loader's batches, rounded down. ``data`` is
``iterable`` for a data set without a length: Lightning then does not see the end that a larger limit leaves
to the data, and drops the window.

Source: lightning/pytorch/loops/training_epoch_loop.py, fit_loop.py, utilities.py, fetchers.py.
"""

from __future__ import annotations

import math
from typing import Literal

from xframe.errors import UsageError, Verbatim, counted
from xframe.plan.presets._preset import Fields, Preset, batches_of_pass, choice, count, epochs_of, flag, loader, windows


def _fields(
    *,
    num_samples: int,
    batch_size: int,
    max_epochs: int | None = None,
    max_steps: int = -1,
    accumulate_grad_batches: int = 1,
    limit_train_batches: float | None = None,
    drop_last: bool = False,
    data: Literal["loader", "iterable"] = "loader",
) -> Fields:
    b, drop = count("batch_size", batch_size), flag("drop_last", drop_last)
    k = count("accumulate_grad_batches", accumulate_grad_batches)
    choice("data", data, ("loader", "iterable"))
    batches, s, remainder = batches_of_pass(num_samples, b, drop), None, "flush"
    limit = limit_train_batches
    if isinstance(limit, float) and limit != 1.0 and not (1 < limit < math.inf and limit == int(limit)):
        if not 0 < limit < 1:
            raise UsageError("the argument limit_train_batches", got=limit, expected="a count, or a share from 0 to 1")
        if data == "iterable" or int(batches * limit) == 0:
            raise UsageError(
                "limit_train_batches as a share leaves no batch"
                if data == "loader"
                else "limit_train_batches as a share of an iterable",
                got=limit,
                expected="a count"
                if data == "iterable"
                else f"a share of the {counted(batches, 'batch')} that is at least one, or a count",
            )
        s = int(batches * limit)
    elif limit is not None and not (isinstance(limit, float) and limit == 1):
        s = count("limit_train_batches", int(limit) if isinstance(limit, float) else limit)
        if s > batches and data == "iterable":
            remainder = "drop"
    updates = None if max_steps == -1 else count("max_steps", max_steps, remedy="-1 stands for no limit.")
    epochs = None if max_epochs in (None, -1) else count("max_epochs", max_epochs, remedy="-1 stands for no limit.")
    if epochs is None and updates is None:
        if max_epochs == -1:
            raise UsageError("lightning without end", got=Verbatim("max_epochs=-1, max_steps=-1"), expected="a limit")
        epochs = 1000
    return {
        **loader(b, drop),
        "epochs": epochs,
        "updates": updates,
        **epochs_of(s, "restart", "short_epoch"),
        **windows(k, accumulation_boundary="epoch", accumulation_remainder=remainder, loss_normalization="window"),
    }


PRESET = Preset(
    make=_fields,
    trainer="lightning 2.6.6",
    renamed={
        "epochs": "max_epochs",
        "updates": "max_steps",
        "steps_per_epoch": "limit_train_batches",
        "gradient_accumulation_steps": "accumulate_grad_batches",
    },
    missing={"steps": "Lightning's max_steps counts updates: ask for updates."},
    drop={"drop_last": True},
)
