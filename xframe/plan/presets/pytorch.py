"""The tutorials' loop over a DataLoader. *ran* with torch 2.13.0.

``leftover`` says how the script treats steps that fill no window at the end of an epoch. ``flush``: it updates at
the loader's last batch too. ``zero``: it zeroes the gradients as each epoch begins. ``carry``: it counts over
epochs. ``leak``: ``if (i + 1) % k == 0: optimizer.step(); optimizer.zero_grad()``, the shortest and so the most
common: the count starts again and the gradients stay, to enter the next epoch's first update. ``normalization``
is ``window`` where the loss is divided by k before ``backward``. ``max_steps`` counts batches; without ``epochs``
passes repeat until then.

Source: torch/utils/data/dataloader.py; the loops are tests/trainers/torch_loop.py.
"""

from __future__ import annotations

from typing import Any, Literal

from xframe.errors import UsageError
from xframe.plan.presets._loader import ACCEPTS, drawn
from xframe.plan.presets._preset import Fields, Preset, batches_of_pass, choice, count, flag, loader, maybe, windows


def _fields(
    *,
    num_samples: int,
    batch_size: int = 1,
    epochs: int | None = None,
    gradient_accumulation_steps: int = 1,
    leftover: Literal["flush", "zero", "carry", "leak"] = "leak",
    normalization: Literal["window", "sum"] = "window",
    drop_last: bool = False,
    max_steps: int | None = None,
    shuffle: bool | None = None,
    sampler: Any = None,
) -> Fields:
    b, drop = count("batch_size", batch_size), flag("drop_last", drop_last)
    if epochs is None and max_steps is None:
        raise UsageError("pytorch needs epochs or max_steps", expected="at least one of them")
    choice("leftover", leftover, ("flush", "zero", "carry", "leak"))
    choice("normalization", normalization, ("window", "sum"))
    batches_of_pass(num_samples, b, drop)
    return {
        **loader(b, drop),
        **drawn("pytorch", shuffle, sampler),
        "epochs": maybe("epochs", epochs),
        "steps": maybe("max_steps", max_steps),
        **windows(
            count("gradient_accumulation_steps", gradient_accumulation_steps),
            accumulation_boundary="epoch",
            accumulation_remainder="drop" if leftover == "zero" else leftover,
            accumulation_at_end="drop",
            loss_normalization=normalization,
        ),
    }


PRESET = Preset(
    make=_fields,
    trainer="torch 2.13.0",
    renamed={"steps": "max_steps"},
    missing=dict.fromkeys(("updates", "steps_per_epoch"), "The loop is the script's: here it is whole epochs."),
    drop={"drop_last": True},
    accepts=ACCEPTS,
    switches={
        "a last update at the end of each epoch": {"leftover": "flush"},
        "zero_grad() as each epoch begins": {"leftover": "zero"},
        "a step counter that goes on over epochs": {"leftover": "carry"},
    },
    variants={"leftover": ("leak", "flush", "zero", "carry"), "normalization": ("window", "sum")},
)
