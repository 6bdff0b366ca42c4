"""``create_supervised_trainer(...).run`` over a DataLoader. *ran* with pytorch-ignite 0.5.5.

``max_iters`` counts steps and excludes ``max_epochs``; with neither, one epoch. An ``epoch_length`` other than
the loader's does not restart it: the pass goes on in the next epoch, or the next pass begins. Windows are
counted over the whole run: they go on over epochs, and what is left at the end is never applied.

Source: ignite/engine/engine.py (``run``, ``_run_once_on_dataset_as_gen``) and ignite/engine/__init__.py.
"""

from __future__ import annotations

from typing import Any

from xframe.errors import UsageError, Verbatim
from xframe.plan.presets._arguments import free
from xframe.plan.presets._loader import ACCEPTS, drawn
from xframe.plan.presets._preset import Fields, Preset, batches_of_pass, count, epochs_of, flag, loader, maybe, windows


def _fields(
    *,
    num_samples: int,
    batch_size: int,
    max_epochs: int | None = None,
    max_iters: int | None = None,
    epoch_length: int | None = None,
    gradient_accumulation_steps: int = 1,
    drop_last: bool = False,
    shuffle: bool | None = None,
    sampler: Any = None,
) -> Fields:
    b, drop = count("batch_size", batch_size), flag("drop_last", drop_last)
    k, s = count("gradient_accumulation_steps", gradient_accumulation_steps), maybe("epoch_length", epoch_length)
    epochs, steps = maybe("max_epochs", max_epochs), maybe("max_iters", max_iters)
    batches_of_pass(num_samples, b, drop)
    if epochs is not None and steps is not None:
        raise UsageError(
            "ignite with both max_epochs and max_iters",
            got=Verbatim(f"max_epochs={epochs}, max_iters={steps}"),
            expected="at most one of them, which is all that Engine.run takes",
        )
    return {
        **loader(b, drop),
        **drawn("ignite", shuffle, sampler),
        "epochs": 1 if steps is None and epochs is None else epochs,
        "steps": steps,
        **epochs_of(s, "continue", "repeat"),
        **windows(k, accumulation_remainder="carry", accumulation_at_end="drop", loss_normalization="window"),
    }


PRESET = Preset(
    make=_fields,
    trainer="pytorch-ignite 0.5.5",
    renamed={"epochs": "max_epochs", "steps": "max_iters", "steps_per_epoch": "epoch_length"},
    missing={
        "updates": "Ignite's max_iters counts steps: ask for steps.",
        "replicas": "An engine knows of no others: how a script shares out its samples is its own.",
    },
    drop={"drop_last": True},
    accepts=ACCEPTS
    | free(
        "data process_function model optimizer loss_fn non_blocking prepare_batch model_transform output_transform",
        "deterministic amp_mode scaler model_fn device",
    ),
)
