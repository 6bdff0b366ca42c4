"""Mistakes that show in numbers only: the rows agree. What is said of them must not be more than is known."""

from __future__ import annotations

from typing import Any

from pairs.cases import Mistake
from pairs.pairs import Pair
from pairs.places import NO_STEP, at, exact, named, only, stops, where

# Differences of this size are no rounding; and where the first loss differs, data and loss come before the weights.
_ROUNDING = named("rounding")
_AT_ONCE = named("rounding", "starting-weights")


def plain(pair: Pair) -> bool:
    """One update in each step, and numbers are judged."""
    return exact(pair) and pair.right.window == 1


def sgd(pair: Pair) -> bool:
    return plain(pair) and pair.right.optimizer == "sgd"


def with_momentum(pair: Pair) -> bool:
    return sgd(pair) and pair.right.momentum > 0 and pair.right.model == "perceptron"


def adamw(pair: Pair) -> bool:
    return pair.right.optimizer == "adamw"


def windows(pair: Pair) -> bool:
    return pair.right.window > 1


def numeric(name: str, change: Any, check: Any, step: Any, *causes: str, forbidden: Any = _ROUNDING) -> Mistake:
    return Mistake(name, "numeric", change, check, step, frozenset(causes), forbidden=forbidden)


MISTAKES = [
    numeric(
        "gradients not zeroed",
        where(lambda pair: sgd(pair) and not stops(pair), zeroes=False),
        "loss",
        at(2),
        "other-gradient",
    ),
    numeric("no momentum", where(with_momentum, momentum=0.0), "loss", at(2), "other-gradient"),
    numeric("Nesterov's momentum", where(with_momentum, nesterov=True), "loss", at(1), "other-gradient"),
    numeric("L2 for decoupled decay", where(adamw, optimizer="adam"), "", NO_STEP, "other-gradient"),
    numeric("a tenth of the decay", where(adamw, decay=0.01), "", NO_STEP, "other-gradient"),
    numeric("another first beta", where(adamw, beta=0.8), "loss", NO_STEP, "other-gradient"),
    numeric("another epsilon", where(adamw, epsilon=1e-3), "loss", NO_STEP, "other-gradient"),
    numeric(
        "smoothing forgotten",
        where(lambda pair: pair.right.smoothing > 0, smoothing=0.0),
        "loss",
        at(0),
        "different-loss",
        "other-gradient",
        "different-data",
        forbidden=_AT_ONCE,
    ),
    numeric(
        "targets of other samples",
        where(only("fit", "tape, plan", "windows", "stream"), labels="shifted"),
        "loss",
        at(0),
        "different-data",
        forbidden=_AT_ONCE,
    ),
    numeric("the hidden state kept", where(only("rows"), state="kept"), "loss", NO_STEP, "other-gradient"),
    numeric(
        "batch and sequence exchanged",
        where(only("rows"), batch_first=False),
        "loss",
        at(0),
        "different-data",
        forbidden=_AT_ONCE,
    ),
    numeric(
        "features off by one",
        where(only("fit", "stream, carried"), labels="features shifted"),
        "loss",
        at(0),
        "different-data",
        forbidden=_AT_ONCE,
    ),
    Mistake(
        "another accuracy",
        "numeric",
        where(only("fit", "tape", "windows"), note_accuracy="wrong"),
        "loss",
        at(0),
        named("other-accuracy"),
        forbidden=named("rounding", "starting-weights", "other-gradient", "different-data"),
        both={"note_accuracy": "right"},
    ),
    numeric(
        "features not scaled",
        where(only("tape", "fit, plan", "fit, stopping"), scale=1.0),
        "loss",
        at(0),
        "different-data",
        forbidden=_AT_ONCE,
    ),
    numeric(
        "other starting weights",
        where(only("fit", "stream", "fit, windows, plan"), start=3),
        "loss",
        at(0),
        "starting-weights",
        "different-data",
    ),
    numeric(
        "the loss summed",
        where(only("fit", "tape", "windows"), reduction="sum"),
        "loss",
        at(0),
        "loss-scale",
        forbidden=_AT_ONCE,
    ),
    numeric(
        "softmax twice",
        where(only("fit, plan", "stream, carried"), softmax=True),
        "loss",
        at(0),
        "different-data",
        forbidden=_AT_ONCE,
    ),
    numeric(
        "another activation",
        where(only("tape, plan", "stream", "tape, stopping, plan"), activation="tanh"),
        "loss",
        at(0),
        "different-data",
        forbidden=_AT_ONCE,
    ),
    numeric("clipped by tensor", where(only("windows"), clip="tensor"), "loss", NO_STEP, "other-gradient"),
    numeric(
        "not divided by the window",
        where(only("fit, windows, plan"), divisor="nothing"),
        "loss",
        at(4),
        "other-gradient",
    ),
    numeric(
        "weights of an average",
        where(only("fit", "tape", "stream", "fit, windows, plan"), note_weights="average"),
        "weights",
        NO_STEP,
        "weights-elsewhere",
    ),
    numeric(
        "the best weights not restored",
        where(only("tape, stopping, plan"), restore=False),
        "weights",
        NO_STEP,
        "weights-elsewhere",
    ),
    numeric(
        "half precision claimed, and no momentum",
        where(with_momentum, momentum=0.0, note_metadata=(("precision", "bfloat16"),)),
        "loss",
        at(2),
        "other-gradient",
    ),
    numeric(
        "the first rate noted throughout",
        where(lambda pair: pair.right.schedule != "constant" and exact(pair), note_rate="defaults"),
        "lr",
        lambda pair: pair.right.in_pass if pair.right.clock == "epochs" else pair.right.window,
        "learning-rate",
    ),
    numeric(
        "no loss but every tenth, from other weights",
        where(only("fit", "stream"), start=3, note_loss="ten", note_weights="none"),
        "loss",
        at(0),
        "starting-weights",
        "different-data",
    ),
    Mistake(
        "a mean of batch means",
        "validation",
        where(stops, averaged="batch"),
        "validation",
        lambda pair: pair.right.in_pass - 1,
        named("validation-by-batch"),
    ),
]
