"""Updates that are skipped, doubled or counted wrongly, and labels that are wrong."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from sweeps.simulator.faults.fault import Fault, Kind
from sweeps.simulator.script import Script, Steps
from sweeps.simulator.walk import resolve

Faults = Iterator[Fault]


def _updates(script: Script) -> int:
    return len(script.walk()[1])


def skipped(script: Script, rng: Random) -> Faults:
    """An update that is not applied."""
    many = _updates(script)
    k = resolve(script.fields)["gradient_accumulation_steps"]
    ends = {"leftover-dropped", "leftover-leaked", "leftover-carried", "window-at-training-end"} if k > 1 else set()
    for i in range(many):
        names = {"update-skipped"} | (ends if i == many - 1 else set())
        yield Fault(f"skips update {i}", frozenset(names), lambda one, i=i: one.but(skipped=one.skipped | {i}))


def doubled(script: Script, rng: Random) -> Faults:
    """An update applied twice, or counted at the end of each pass."""
    for i in range(_updates(script)):
        yield Fault(
            f"applies update {i} twice",
            frozenset({"update-doubled"}),
            lambda one, i=i: one.but(doubled=one.doubled | {i}),
        )


def counted(script: Script, rng: Random) -> Faults:
    """A counter that is read or begun wrongly."""

    def more(updates: list[int], steps: Steps) -> list[int]:
        return [one + 1 for one in updates]

    def exhausted(updates: list[int], steps: Steps) -> list[int]:
        return [one + step.epoch for one, step in zip(updates, steps, strict=True)]

    def twice(updates: list[int], steps: Steps) -> list[int]:
        return [2 * one for one in updates]

    named = {
        "begun at 1": (more, {"update-offset", "update-doubled"}),
        "counting where the data run out": (exhausted, {"counted-without-update"}),
        "counting double": (twice, {"update-doubled"}),
    }
    for text, (count, names) in named.items():
        yield Fault(
            f"a counter {text}", frozenset(names), lambda one, count=count: one.but(counted=(*one.counted, count))
        )


def labelled(script: Script, rng: Random) -> Faults:
    """Labels that are not what the loop does."""
    begin = rng.randrange(1, 1 + len(script.walk()[0]))

    def late(steps: Steps) -> Steps:
        return [replace(one, epoch=one.epoch + (one.index >= begin)) for one in steps]

    def inside(steps: Steps) -> Steps:
        return [replace(one, step_in_epoch=one.step_in_epoch + (one.index >= begin)) for one in steps]

    def padded(steps: Steps) -> Steps:
        return [replace(one, padding=0 if one.padding else 1) for one in steps]

    for text, label, name in (
        (f"epochs one more from step {begin} on", late, "epoch-labels"),
        (f"steps in epoch one more from {begin} on", inside, "epoch-labels"),
        ("padding labelled wrong", padded, "padding-labels"),
    ):
        yield Fault(text, frozenset({name}), lambda one, label=label: one.but(labelled=(*one.labelled, label)))


KINDS: tuple[Kind, ...] = (skipped, doubled, counted, labelled)
