"""The same samples in a different order, batches lost and made again."""

from __future__ import annotations

from pairs.cases import Mistake
from pairs.places import NO_STEP, at, carried, end_of_pass, exact, middle, named, second_pass, stops, streams, where

MISTAKES = [
    Mistake("not shuffled", "order", where(exact, drawn=("sequential",)), "boundaries", at(0), named("not-shuffled")),
    Mistake(
        "not shuffled, own order",
        "order",
        where(lambda pair: not exact(pair), drawn=("sequential",)),
        "",
        NO_STEP,
        named("not-shuffled"),
    ),
    Mistake(
        "one order for all passes",
        "order",
        where(exact, drawn=("one order",)),
        "boundaries",
        second_pass,
        named("same-order-every-pass"),
    ),
    Mistake(
        "another seed",
        "order",
        where(lambda pair: pair.right.order == "plan", seed=1),
        "boundaries",
        at(0),
        named("other-seed"),
    ),
    Mistake(
        "a permutation of its own",
        "order",
        where(lambda pair: pair.right.order == "saved", drawn=("other",)),
        "boundaries",
        at(0),
        named("shuffled-independently", "other-seed"),
    ),
    Mistake(
        "shuffled in a buffer",
        "order",
        where(exact, drawn=("buffer", 100)),
        "boundaries",
        at(0),
        named("buffer-shuffle"),
    ),
    Mistake(
        "shuffled after batching",
        "order",
        where(lambda pair: exact(pair) and not streams(pair), drawn=("sequential",), batches=("shuffled",)),
        "boundaries",
        at(0),
        named("shuffle-after-batch"),
    ),
    Mistake(
        "repeated before shuffling",
        "order",
        where(lambda pair: not streams(pair) and not stops(pair), drawn=("mixed",)),
        "boundaries",
        at(0),
        named("repeat-before-shuffle", "passes-mixed"),
    ),
    Mistake(
        "sorted inside batches",
        "order",
        where(lambda pair: exact(pair) and not carried(pair), drawn=("sorted",)),
        "boundaries",
        at(0),
        named("order-inside-batches"),
    ),
    Mistake(
        "a look at the first batch takes a pass",
        "order",
        where(exact, drawn=("pass taken",)),
        "boundaries",
        at(0),
        named("pass-skipped"),
    ),
    Mistake(
        "resumed in the next order",
        "order",
        lambda pair: {"drawn": ("resumed", middle(pair))} if exact(pair) and not carried(pair) else None,
        "boundaries",
        middle,
        named("resumed-at-wrong-place", "pass-skipped"),
    ),
    Mistake(
        "two batches swapped",
        "order",
        lambda pair: {"batches": ("swapped", middle(pair))} if exact(pair) else None,
        "boundaries",
        middle,
        named("batches-swapped"),
    ),
    Mistake(
        "a batch lost",
        "order",
        lambda pair: {"batches": ("lost", middle(pair))},
        "boundaries",
        lambda pair: middle(pair) if exact(pair) else pair.right.in_pass + end_of_pass(pair) - 1,
        named("batch-lost"),
    ),
    Mistake(
        "the first batch lost", "order", where(streams, batches=("lost", 0)), "boundaries", at(0), named("batch-lost")
    ),
    Mistake(
        "a batch again",
        "order",
        lambda pair: {"batches": ("repeated", middle(pair))},
        "boundaries",
        lambda pair: middle(pair) + 1 if exact(pair) else pair.right.in_pass + end_of_pass(pair),
        named("batch-repeated"),
    ),
    Mistake(
        "the iterator begun again",
        "order",
        lambda pair: {"batches": ("restarted", middle(pair))},
        "boundaries",
        lambda pair: middle(pair) if exact(pair) else pair.right.in_pass + end_of_pass(pair),
        named("resumed-at-wrong-place", "batch-repeated", "iterator-restarted"),
    ),
]
