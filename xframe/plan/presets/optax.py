"""A loop over batches with ``optax.MultiSteps``. *ran* with optax 0.2.8 on jax 0.10.2.

Windows go on over epochs, and what is left at the end is never applied. The gradient is the mean of a window's
gradients, or with ``use_grad_mean=False`` their sum.

Source: optax/transforms/_accumulation.py.
"""

from __future__ import annotations

from xframe.errors import UsageError
from xframe.plan.presets._arguments import free, unset
from xframe.plan.presets._preset import Fields, Preset, batches_of_pass, count, flag, loader, windows


def _fields(
    *,
    num_samples: int,
    batch_size: int,
    num_epochs: int,
    every_k_schedule: int = 1,
    use_grad_mean: bool = True,
    drop_remainder: bool = False,
) -> Fields:
    b, drop = count("batch_size", batch_size), flag("drop_remainder", drop_remainder)
    flag("use_grad_mean", use_grad_mean)
    if callable(every_k_schedule):
        raise UsageError(
            "optax with a function as every_k_schedule: a plan's windows are all of one length",
            expected="a number",
            remedy="Give the number that it returns, if that is always the same.",
        )
    batches_of_pass(num_samples, b, drop)
    return {
        **loader(b, drop),
        "epochs": count("num_epochs", num_epochs),
        **windows(
            count("every_k_schedule", every_k_schedule),
            accumulation_remainder="carry",
            accumulation_at_end="drop",
            loss_normalization="window" if use_grad_mean else "sum",
        ),
    }


PRESET = Preset(
    make=_fields,
    trainer="optax 0.2.8",
    renamed={"epochs": "num_epochs", "gradient_accumulation_steps": "every_k_schedule"},
    missing={
        **dict.fromkeys(("steps", "updates", "steps_per_epoch"), "The loop is the script's: here it is whole epochs."),
        "replicas": "MultiSteps knows of no others: how a script shares out its samples is its own.",
    },
    drop={"drop_remainder": True},
    accepts=free("opt accumulator_dtype")
    | unset("should_skip_update_fn", "which updates it skips is decided by the gradients, which no plan knows"),
)
