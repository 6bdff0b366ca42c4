"""What the contract suite runs: the ledger of 23 samples, and plans that between them use the whole vocabulary."""

from __future__ import annotations

from typing import Any

from xframe.plan.training_plan import TrainingPlan
from xframe.tasks.builtin.ledger import ledger

LEDGER = ledger(23)
_GOES_ON = {"steps_per_epoch": 3, "epoch_iterator": "continue"}


def _windows(steps: int, **policy: str) -> dict[str, Any]:
    return {"gradient_accumulation_steps": steps, **policy}


_CARRIED = _windows(4, accumulation_remainder="carry", loss_normalization="window")
PLANS = tuple(
    TrainingPlan.from_mapping(fields)
    for fields in (
        {"batch_size": 5, "epochs": 3},
        {"batch_size": 5, "epochs": 3, "remainder": "drop"},
        {"batch_size": 23, "epochs": 2, "remainder": "error"},
        {"batch_size": 7, "steps": 9},
        {"batch_size": 7, "steps": 2, "epochs": 2},
        {"batch_size": 6, "updates": 11, "remainder": "drop", "seed": 7},
        {"batch_size": 4, "epochs": 2, "order": "sequential"},
        {"batch_size": 8, "epochs": 3, "reshuffle": False, "seed": 2**62},
        {"batch_size": 100, "epochs": 4},
        {"batch_size": 1, "updates": 25, "epochs": 2},
        {"batch_size": 5, "epochs": 2, "remainder": "pad", **_windows(2, loss_normalization="samples")},
        {"batch_size": 50, "epochs": 2, "remainder": "pad"},
        {"batch_size": 6, "epochs": 3, "remainder": "carry", **_windows(2)},
        {"batch_size": 5, "epochs": 2, "steps_per_epoch": 3},
        {"batch_size": 5, "epochs": 3, **_GOES_ON, **_windows(2)},
        {"batch_size": 5, "epochs": 3, **_GOES_ON, **_windows(2, accumulation_boundary="pass")},
        {"batch_size": 5, "epochs": 4, **_GOES_ON, "steps_per_epoch": 4, "on_exhaustion": "short_epoch", **_windows(2)},
        {"batch_size": 5, "epochs": 4, **_GOES_ON, "steps_per_epoch": 4, "on_exhaustion": "stop", **_windows(3)},
        {"batch_size": 5, "epochs": 2, **_windows(2, loss_normalization="window")},
        {"batch_size": 5, "steps": 5, **_windows(2)},
        {"batch_size": 5, "epochs": 2, **_CARRIED},
        {"batch_size": 5, "epochs": 2, **_CARRIED, "accumulation_at_end": "flush"},
        {"batch_size": 5, "epochs": 3, **_windows(3, accumulation_remainder="leak")},
        {"batch_size": 5, "epochs": 2, **_windows(3, accumulation_remainder="drop", loss_normalization="sum")},
    )
)
TWIN_PLANS = tuple(
    TrainingPlan.from_mapping({"batch_size": 64, **fields})
    for fields in ({"epochs": 2}, {"epochs": 2, "remainder": "drop"}, {"steps": 33, "seed": 5})
)
NUMBER_PLANS = (
    TWIN_PLANS[0],
    *(
        TrainingPlan.from_mapping({"batch_size": 64, "epochs": 4, **_windows(2 + i, loss_normalization=kind)})
        for i, kind in enumerate(("actual", "samples", "window"))
    ),
)


def name_of(plan: TrainingPlan) -> str:
    """A test's name for the plan."""
    return "-".join(f"{value}" if name == "batch_size" else f"{name}={value}" for name, value in plan.to_dict().items())
