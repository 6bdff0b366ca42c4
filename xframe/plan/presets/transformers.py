"""``transformers.Trainer.train`` in one process on one device. *ran* with transformers 5.23.0.

``max_steps`` counts updates and overrides ``num_train_epochs``, a fraction of which is turned into updates.
Windows are cut at each epoch's end, which updates with what is there, divided by the steps present.
``num_items_in_batch`` stands for a model whose loss is divided by that argument: with as many labels in every
row, a mean over the rows of the window. ``data`` is ``iterable`` for a data set without a length: it needs
``max_steps``, keeps its last batch whatever ``dataloader_drop_last`` says, and leaks what is left of a window
at its end, each part with a divisor of its own, which no plan expresses.

Source: transformers/trainer.py (``set_initial_training_values``, ``_inner_training_loop``, ``get_batch_samples``).
"""

from __future__ import annotations

import math
from typing import Literal

from xframe.errors import UsageError, Verbatim
from xframe.plan.presets._preset import Fields, Preset, batches_of_pass, choice, count, flag, loader, windows


def _fields(
    *,
    num_samples: int,
    per_device_train_batch_size: int = 8,
    num_train_epochs: float = 3.0,
    max_steps: int = -1,
    gradient_accumulation_steps: int = 1,
    dataloader_drop_last: bool = False,
    num_items_in_batch: bool = False,
    data: Literal["map", "iterable"] = "map",
) -> Fields:
    b = count("per_device_train_batch_size", per_device_train_batch_size)
    drop = flag("dataloader_drop_last", dataloader_drop_last)
    samples = flag("num_items_in_batch", num_items_in_batch)
    k = count("gradient_accumulation_steps", gradient_accumulation_steps)
    choice("data", data, ("map", "iterable"))
    drop = drop and data == "map"
    batches = batches_of_pass(num_samples, b, drop)
    updates = None
    if max_steps != 0 and type(max_steps) is int and max_steps < 0:
        if data == "iterable":
            raise UsageError("transformers on an iterable without max_steps", got=max_steps, expected="max_steps > 0")
        epochs = num_train_epochs
        if isinstance(epochs, bool) or not isinstance(epochs, (int, float)) or not 0 < epochs < math.inf:
            raise UsageError("the argument num_train_epochs", got=epochs, expected="a number above 0")
        if epochs != int(epochs):
            updates = math.ceil(epochs * -(-batches // k))
        limit: Fields = {"epochs": int(epochs)} if updates is None else {"updates": updates}
    else:
        limit = {"updates": count("max_steps", max_steps, remedy="-1 stands for num_train_epochs.")}
        if data == "iterable" and batches % k and limit["updates"] > batches // k:
            raise UsageError(
                "transformers on an iterable that ends inside a window, whose gradients leak with a divisor of their "
                "own: no plan expresses that",
                got=Verbatim(f"{batches:,} batches, gradient_accumulation_steps={k:,}"),
                expected=f"gradient_accumulation_steps that divides {batches:,}, or max_steps up to {batches // k:,}",
            )
    return {
        **loader(b, drop),
        **limit,
        **windows(
            k,
            accumulation_boundary="epoch",
            accumulation_remainder="flush",
            loss_normalization="samples" if samples else "actual",
        ),
    }


PRESET = Preset(
    make=_fields,
    trainer="transformers 5.23.0",
    renamed={"batch_size": "per_device_train_batch_size", "epochs": "num_train_epochs", "updates": "max_steps"},
    missing={
        "steps": "Transformers' max_steps counts updates: ask for updates.",
        "steps_per_epoch": "An epoch of the Trainer is a whole pass.",
    },
    drop={"dataloader_drop_last": True},
)
