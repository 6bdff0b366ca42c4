"""Training that ends elsewhere."""

from __future__ import annotations

from pairs.cases import Mistake
from pairs.places import end_of_pass, has_rest, named, stops, streams, where

MISTAKES = [
    Mistake(
        "an epoch fewer",
        "lengths",
        lambda pair: None if streams(pair) or stops(pair) else {"epochs": pair.right.epochs - 1},
        "steps",
        lambda pair: pair.made - pair.right.in_pass,
        named("limit-confused", "epochs"),
    ),
    Mistake(
        "an epoch more",
        "lengths",
        lambda pair: None if streams(pair) or stops(pair) else {"epochs": pair.right.epochs + 1},
        "steps",
        lambda pair: pair.made,
        named("limit-confused", "epochs"),
    ),
    Mistake(
        "steps from whole batches",
        "lengths",
        lambda pair: (
            {"steps": pair.right.epochs * end_of_pass(pair)}
            if has_rest(pair) and not streams(pair) and not stops(pair)
            else None
        ),
        "steps",
        lambda pair: pair.right.epochs * end_of_pass(pair),
        named("limit-confused", "epochs"),
    ),
    Mistake(
        "a step more",
        "lengths",
        lambda pair: {"steps": pair.made + 1} if streams(pair) else None,
        "steps",
        lambda pair: pair.made,
        named("one-step-more"),
    ),
    Mistake(
        "a step less",
        "lengths",
        lambda pair: {"steps": pair.made - 1} if streams(pair) else None,
        "steps",
        lambda pair: pair.made - 1,
        named("one-step-less"),
    ),
    Mistake(
        "more patience", "lengths", where(stops, patience=2), "steps", lambda pair: pair.made, named("early-stopping")
    ),
    Mistake(
        "never stopped early",
        "lengths",
        where(stops, patience=99),
        "steps",
        lambda pair: pair.made,
        named("early-stopping"),
    ),
    Mistake(
        "stopped an epoch early",
        "lengths",
        lambda pair: {"epochs": pair.made // pair.right.in_pass - 1} if stops(pair) else None,
        "steps",
        lambda pair: pair.made - pair.right.in_pass,
        named("early-stopping", "limit-confused", "epochs"),
    ),
]
