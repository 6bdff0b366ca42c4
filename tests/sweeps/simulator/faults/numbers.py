"""Mistakes that only numbers show: rates, losses, weights."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from sweeps.simulator.faults.fault import Fault, Kind
from sweeps.simulator.script import Script, Steps
from sweeps.simulator.walk import resolve

Faults = Iterator[Fault]


def _computing(text: str, causes: set[str], **changes: Any) -> Fault:
    return Fault(
        text,
        frozenset(causes),
        lambda script: script.but(computing=replace(script.computing, **changes)),
        only_numbers=True,
    )


def rate(script: Script, rng: Random) -> Faults:
    """Another learning rate, all through or from some step on; a schedule that is late, or ticks by another clock."""
    own, at = script.computing.rate, rng.randint(1, 30)
    for factor in (0.1, 0.5, 2.0):
        text = f"{factor} times the rate"
        yield _computing(text, {"learning-rate"}, rate=lambda s, u, e, f=factor: f * own(s, u, e))
        yield _computing(
            f"{text} from step {at} on",
            {"learning-rate"},
            rate=lambda s, u, e, f=factor: (f if s >= at else 1.0) * own(s, u, e),
        )
    # A constant rate is late in nothing.
    yield _computing("a schedule one tick late", {"schedule-late"}, rate=lambda s, u, e: own(s, max(u - 1, 0), e))
    yield _computing("a schedule by steps", {"schedule-clock"}, rate=lambda s, u, e: own(s, s, e))


def gradient(script: Script, rng: Random) -> Faults:
    """Gradients that are another loss's, or not divided as they should be, and what an optimizer does to them."""
    causes = {"other-gradient", "starting-weights", "different-data"}
    yield _computing("a loss that is summed over the batch", {"loss-scale", "different-loss", *causes}, total=True)
    k = resolve(script.fields)["gradient_accumulation_steps"]
    yield _computing("gradients divided once more", causes, divided=float(k if k > 1 else 2))
    for decay in (1e-3, 1e-1):
        yield _computing(f"weight decay {decay}", causes, decay=decay)
    yield _computing("momentum", causes, momentum=0.9)


def start(script: Script, rng: Random) -> Faults:
    """Other starting weights, other data."""
    seed = rng.randint(1, 99)
    both = {"starting-weights", "different-data"}
    yield _computing("other starting weights", both, weights=seed)
    yield _computing("other data", both, data=seed)


def _stating(text: str, causes: set[str], state: Callable[[list[Any], Steps], list[Any]]) -> Fault:
    return Fault(text, frozenset(causes), lambda script: script.but(stated=(*script.stated, state)), only_numbers=True)


def stated(script: Script, rng: Random) -> Faults:
    """A loss that is computed right and recorded wrong."""
    k, names = resolve(script.fields)["gradient_accumulation_steps"], {"loss-scale", "different-loss"}
    for factor in (2.0, 1 / k if k > 1 else 0.5, float(script.fields["batch_size"])):
        if factor != 1.0:
            yield _stating(f"a loss recorded {factor:g} times", names, lambda one, s, f=factor: [f * x for x in one])
    yield _stating("a constant loss recorded", names, lambda one, s: [one[0]] * len(one))


def kept(script: Script, rng: Random) -> Faults:
    """Final weights that are not those that were trained."""
    causes = frozenset({"weights-elsewhere"})
    yield Fault(
        "other weights kept",
        causes,
        lambda one: one.but(kept=(*one.kept, lambda w: w * 1.01 + 0.01)),
        only_numbers=True,
    )


def rated(script: Script, rng: Random) -> Faults:
    """A rate that is recorded wrong."""

    def into(script: Script) -> Script:
        return script.but(rated=(*script.rated, lambda rates: [10 * one for one in rates]))

    yield Fault("a rate recorded wrong", frozenset({"learning-rate"}), into, only_numbers=True)


KINDS: tuple[Kind, ...] = (rate, gradient, start, stated, kept, rated)
