"""Learning rates and their schedules."""

from __future__ import annotations

from pairs.cases import Mistake
from pairs.pairs import Pair
from pairs.places import at, end_of_pass, first_tick, named, scheduled, where


def geometric(pair: Pair) -> bool:
    return pair.right.schedule in ("step", "exponential")


def other_clock(pair: Pair) -> str:
    if pair.right.window > 1:
        return "steps"
    return "updates" if pair.right.clock == "epochs" else "epochs"


def after_warmup(pair: Pair) -> int:
    """The first step after a fifth of the ticks, where the shorter horizon has as many; else they differ at once."""
    shorter = pair.right.epochs * end_of_pass(pair)
    return pair.right.ticks // 5 + 1 if shorter // 5 == pair.right.ticks // 5 else 1


MISTAKES = [
    Mistake(
        "ten times the rate",
        "schedule",
        lambda pair: {"rate": 10 * pair.right.rate},
        "lr",
        at(0),
        named("learning-rate"),
    ),
    Mistake(
        "ticked by another clock",
        "schedule",
        lambda pair: {"clock": other_clock(pair)} if scheduled(pair) else None,
        "lr",
        at(1),
        named("schedule-clock"),
    ),
    Mistake(
        "a tick early",
        "schedule",
        where(lambda pair: scheduled(pair) and not geometric(pair), early=1),
        "lr",
        at(0),
        named("schedule-late"),
    ),
    Mistake(  # every rate is that of the reference times one factor: a different rate from the first on, as well
        "a tick early, by a factor",
        "schedule",
        where(geometric, early=1),
        "lr",
        at(0),
        named("schedule-late", "learning-rate"),
    ),
    Mistake(
        "the schedule forgotten",
        "schedule",
        where(scheduled, schedule="constant"),
        "lr",
        lambda pair: 0 if pair.right.schedule == "warmup" else first_tick(pair),
        named("learning-rate", "schedule-missing"),
    ),
    Mistake(
        "a horizon of whole batches",
        "schedule",
        lambda pair: (
            {"ticks": pair.right.epochs * end_of_pass(pair)} if pair.right.schedule in ("cosine", "warmup") else None
        ),
        "lr",
        lambda pair: after_warmup(pair) if pair.right.schedule == "warmup" else 1,
        named("learning-rate", "schedule-horizon"),
    ),
    Mistake(
        "a horizon in samples",
        "schedule",
        lambda pair: (
            {"ticks": pair.right.epochs * pair.right.n} if pair.right.schedule in ("cosine", "warmup") else None
        ),
        "lr",
        at(1),
        named("learning-rate", "schedule-horizon"),
    ),
    Mistake(
        "another decay",
        "schedule",
        where(geometric, factor=0.1),
        "lr",
        lambda pair: first_tick(pair),
        named("learning-rate"),
    ),
]
