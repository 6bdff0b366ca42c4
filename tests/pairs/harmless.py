"""Variants that train the same: recorded a little differently, or computed elsewhere. All must pass.

A rate noted after the update is none of them where the orders differ: no loss shows there whether the rate is a tick
ahead or only its record, and a schedule that is a tick ahead must fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pairs.cases import Case
from pairs.pairs import PAIRS, Pair

SCHEDULES: dict[str, dict[str, Any]] = {
    "exponential": {"ticks": 20},
    "step": {"ticks": 15},
    "piecewise": {"ticks": 60},
    "polynomial": {"ticks": 87},
    "inverse time": {"ticks": 30},
    "cosine": {"ticks": 87},
    "restarts": {"ticks": 29},
    "warmup": {"ticks": 87},
    "one cycle": {"ticks": 87},
}
# By pair: what the variant is called, and which script notes what.
LEFT: dict[str, dict[str, dict[str, Any]]] = {
    "fit": {"Keras' logs as they are": {"note_loss": "logs"}},
    "fit, plan": {
        "Keras' logs as they are": {"note_loss": "logs"},
        "Keras' logs, epochs from 1": {"note_loss": "logs", "note_epoch": 1},
    },
    "fit, stopping": {"Keras' logs as they are": {"note_loss": "logs"}},
    "fit, windows, plan": {"Keras' logs as they are": {"note_loss": "logs"}},
    "tape": {
        "epochs from 1 in Keras": {"note_epoch": 1},
        "the rate after the update in Keras": {"note_rate": "ahead"},
        "the loss a step late in Keras": {"note_loss": "late"},
        "no labels in Keras": {"note_epoch": None},
    },
    "tape, plan": {
        "every tenth loss in Keras": {"note_loss": "ten"},
        "updates before the step in Keras": {"note_updates": "before"},
    },
    "windows": {"the rate after the update in Keras": {"note_rate": "ahead"}},
}
RIGHT: dict[str, dict[str, dict[str, Any]]] = {
    "fit": {
        "the loss a step late": {"note_loss": "late"},
        "every tenth loss": {"note_loss": "ten"},
        "four decimals": {"note_loss": "rounded"},
        "epochs from 1": {"note_epoch": 1},
        "no labels": {"note_epoch": None},
        "no rate": {"note_rate": "none"},
        "no final weights": {"note_weights": "none"},
        "half precision claimed": {"note_metadata": (("precision", "bfloat16"),)},
        "the rate after the epoch's last update": {"note_rate": "ahead"},
    },
    "fit, plan": {
        "updates before the step": {"note_updates": "before"},
        "epochs from 1": {"note_epoch": 1},
        "the mean since the epoch began": {"note_loss": "running"},
        "the number of samples not noted": {"note_n": False},
    },
    "tape": {
        "the rate after the update": {"note_rate": "ahead"},
        "the mean since the epoch began": {"note_loss": "running"},
        "no loss": {"note_loss": "none"},
        "in one block": {"by_block": True},
    },
    "tape, plan": {
        "the loss a step late": {"note_loss": "late"},
        "the rate after the update": {"note_rate": "ahead"},
        "in one block": {"by_block": True},
    },
    "stream": {
        "a closure": {"closure": True},
        "every tenth loss": {"note_loss": "ten"},
        "updates before the step": {"note_updates": "before"},
        "the number of samples not noted": {"note_n": False},
    },
    "stream, carried": {"the loss a step late": {"note_loss": "late"}},
    "windows": {"updates before the step": {"note_updates": "before"}, "epochs from 1": {"note_epoch": 1}},
    "fit, own order": {"another seed": {"seed": 5}, "epochs from 1": {"note_epoch": 1}},
    "tape, own order": {
        "another seed": {"seed": 5},
        "no labels": {"note_epoch": None},
    },
    "fit, stopping": {"epochs from 1": {"note_epoch": 1}},
    "tape, stopping, plan": {"updates before the step": {"note_updates": "before"}},
}
BOTH: dict[str, dict[str, dict[str, Any]]] = {
    "fit": {"both drop the short batch": {"last": "drop"}, "both note the accuracy": {"note_accuracy": "right"}},
    "tape, own order": {"both drop the short batch": {"last": "drop"}},
    "stream": {"both fill the batch up": {"last": "pad"}},
}


def case(pair: Pair, name: str, left: dict[str, Any], right: dict[str, Any]) -> Case:
    return Case(f"{pair.name}: {name}", pair, replace(pair.left, **left), replace(pair.right, **right), "harmless")


def cases() -> Iterator[Case]:
    """The pairs as they are, each schedule in both frameworks, and all variants."""
    for pair in PAIRS.values():
        yield case(pair, "as it is", {}, {})
    for name, settings in SCHEDULES.items():
        change = {"optimizer": "sgd", "momentum": 0.0, "decay": 0.0, "rate": 0.1, "schedule": name, **settings}
        yield case(PAIRS["tape"], f"schedule {name}", change, change)
    for table, sides in ((LEFT, (1, 0)), (RIGHT, (0, 1)), (BOTH, (1, 1))):
        for pair_name, variants in table.items():
            for name, change in variants.items():
                yield case(PAIRS[pair_name], name, change if sides[0] else {}, change if sides[1] else {})
