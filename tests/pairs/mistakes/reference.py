"""Mistakes of the reference: the same differences, and the run that differs is the other one.

Where no plan says which of the two is right, the mirror image of a cause is as right.
"""

from __future__ import annotations

from pairs.cases import Mistake
from pairs.places import at, end_of_pass, first_tick, named, only, second_pass, where

MISTAKES = [
    Mistake(
        "Keras drops the short batch",
        "structure",
        where(only("fit", "fit, plan", "tape", "stream"), last="drop"),
        "boundaries",
        end_of_pass,
        named("short-batch-dropped", "short-batch-kept"),
        left=True,
    ),
    Mistake(
        "Keras takes half the batch",
        "structure",
        lambda pair: {"batch": pair.left.batch // 2} if only("fit", "tape", "fit, own order")(pair) else None,
        "boundaries",
        at(0),
        named("batch-size-per-replica", "batch-size"),
        left=True,
    ),
    Mistake(
        "Keras does not shuffle",
        "order",
        where(only("fit", "fit, plan", "tape", "stream"), order="own", drawn=("sequential",)),
        "boundaries",
        at(0),
        named("not-shuffled", "reshuffled"),
        left=True,
    ),
    Mistake(
        "Keras shuffles in a buffer",
        "order",
        where(only("fit", "tape", "fit, plan"), order="own", drawn=("buffer", 128)),
        "boundaries",
        at(0),
        named("buffer-shuffle"),
        left=True,
    ),
    Mistake(
        "Keras shuffles once",
        "order",
        where(only("fit", "tape"), drawn=("one order",)),
        "boundaries",
        second_pass,
        named("same-order-every-pass", "reshuffled"),
        left=True,
    ),
    Mistake(
        "Keras trains an epoch fewer",
        "lengths",
        lambda pair: (
            {"epochs": pair.left.epochs - 1} if only("fit", "fit, plan", "fit, own order", "windows")(pair) else None
        ),
        "steps",
        lambda pair: pair.made - pair.right.in_pass,
        named("limit-confused", "epochs"),
        left=True,
    ),
    Mistake(
        "Keras has a tenth of the rate",
        "schedule",
        lambda pair: {"rate": pair.left.rate / 10} if only("fit", "tape", "stream")(pair) else None,
        "lr",
        at(0),
        named("learning-rate"),
        left=True,
    ),
    Mistake(
        "Keras forgets the schedule",
        "schedule",
        where(only("fit", "tape", "windows"), schedule="constant"),
        "lr",
        first_tick,
        named("learning-rate", "schedule-missing"),
        left=True,
    ),
    Mistake(
        "Keras accumulates over two",
        "structure",
        where(only("tape", "fit"), window=2),
        "updates",
        at(0),
        named("accumulation-steps", "updates-counted-as-steps"),
        left=True,
    ),
]
