"""Two mistakes at once: the first difference is explained first, the other is named too; half of it is not certain."""

from __future__ import annotations

from pairs.cases import Mistake
from pairs.places import at, exact, has_rest, middle, named, only, stops, streams, where

_OWN = named("shuffled-independently", "other-seed")

MISTAKES = [
    Mistake(
        "an order of its own, the short batch dropped",
        "double",
        where(lambda pair: exact(pair) and has_rest(pair) and not stops(pair), drawn=("other",), last="drop"),
        "boundaries",
        at(0),
        _OWN,
        also=named("short-batch-dropped"),
    ),
    Mistake(
        "an order of its own, an epoch fewer",
        "double",
        where(only("fit", "tape"), drawn=("other",), epochs=2),
        "boundaries",
        at(0),
        _OWN,
        also=named("limit-confused", "epochs"),
    ),
    Mistake(
        "an order of its own, accumulates over two",
        "double",
        where(only("fit", "tape", "fit, plan"), drawn=("other",), window=2),
        "boundaries",
        at(0),
        _OWN,
        also=named("accumulation-steps"),
    ),
    Mistake(
        "the short batch dropped, an update skipped",
        "double",
        where(lambda pair: has_rest(pair) and not stops(pair) and pair.right.window == 1, last="drop", skipped=5),
        "updates",
        at(5),
        named("update-skipped"),
        also=named("short-batch-dropped"),
    ),
    Mistake(
        "a sample lost, an update skipped before",
        "double",
        lambda pair: (
            {"batches": ("sample lost", middle(pair)), "skipped": 5} if pair.right.window == 1 and exact(pair) else None
        ),
        "updates",
        at(5),
        named("update-skipped"),
        also=named("sample-lost"),
    ),
    Mistake(
        "half the batch, an epoch fewer",
        "double",
        lambda pair: (
            None if streams(pair) or stops(pair) else {"batch": pair.right.batch // 2, "epochs": pair.right.epochs - 1}
        ),
        "boundaries",
        at(0),
        named("batch-size-per-replica", "batch-size"),
        also=named("limit-confused", "epochs"),
    ),
    Mistake(
        "ten times the rate, a batch lost",
        "double",
        lambda pair: {"rate": 10 * pair.right.rate, "batches": ("lost", middle(pair))} if exact(pair) else None,
        "lr",
        at(0),
        named("learning-rate"),
        also=named("batch-lost"),
    ),
    Mistake(
        "the short batch dropped in an order of its own, ten times the rate",
        "double",
        lambda pair: None if exact(pair) else {"rate": 10 * pair.right.rate, "last": "drop"},
        "lr",
        at(0),
        named("learning-rate"),
        also=named("short-batch-dropped"),
    ),
]
