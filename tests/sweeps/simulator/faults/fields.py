"""Settings that are not the plan's."""

from collections.abc import Iterator
from random import Random

from sweeps.simulator.faults.fault import Fault, Kind, field
from sweeps.simulator.script import Script
from sweeps.simulator.walk import resolve

Faults = Iterator[Fault]
_SHORT = {
    "drop": "short-batch-dropped",
    "keep": "short-batch-kept",
    "pad": "short-batch-padded",
    "carry": "batches-straddle-passes",
}
_LEFT = {
    "flush": "leftover-flushed",
    "drop": "leftover-dropped",
    "leak": "leftover-leaked",
    "carry": "leftover-carried",
}
_ENDS = {"limit-confused", "one-step-less", "one-step-more"}


def batch_size(script: Script, rng: Random) -> Faults:
    """Half, double, one off, or another."""
    b, n = script.fields["batch_size"], script.num_samples
    for size in sorted({b // 4, b // 2, b - 1, b + 1, 2 * b, 4 * b, 8, 10, 16, 32, *range(1, 41)} - {b}):
        if 1 <= size <= n:
            yield field({"batch-size", "batch-size-per-replica"}, batch_size=size)


def short_batch(script: Script, rng: Random) -> Faults:
    """What becomes of the samples left over at the end of a pass."""
    for remainder, name in _SHORT.items():
        if remainder != resolve(script.fields)["remainder"] and script.num_samples % script.fields["batch_size"]:
            yield field({name}, remainder=remainder)


def accumulation(script: Script, rng: Random) -> Faults:
    """Windows of another length."""
    k = resolve(script.fields)["gradient_accumulation_steps"]
    for steps in range(1, 9):
        if steps == 1 != k:
            yield field({"accumulation-steps", "updates-counted-as-steps"}, gradient_accumulation_steps=1)
        elif steps != k:
            yield field({"accumulation-steps"}, gradient_accumulation_steps=steps)
            if k == 1:
                yield field({"accumulation-steps"}, gradient_accumulation_steps=steps, accumulation_remainder="carry")


def leftover(script: Script, rng: Random) -> Faults:
    """What becomes of a window that an end cuts short."""
    plan = resolve(script.fields)
    for kind, name in _LEFT.items():
        if plan["gradient_accumulation_steps"] > 1 and kind != plan["accumulation_remainder"]:
            yield field({name}, accumulation_remainder=kind)


def window_ends(script: Script, rng: Random) -> Faults:
    """Other ends that cut windows, and the last window."""
    plan = resolve(script.fields)
    if plan["gradient_accumulation_steps"] > 1:
        cut, end = plan["accumulation_boundary"], plan["accumulation_at_end"]
        yield field({"window-cut-elsewhere"}, accumulation_boundary="pass" if cut == "epoch" else "epoch")
        yield field({"window-at-training-end"}, accumulation_at_end="drop" if end == "flush" else "flush")


def limits(script: Script, rng: Random) -> Faults:
    """Training ends elsewhere: other limits, or a limit in another unit."""
    given = {name: script.fields[name] for name in ("epochs", "steps", "updates") if name in script.fields}
    for name, value in given.items():
        for other in sorted({value - 1, value + 1, 2 * value, value // 2, *range(1, 9)} - {value, 0}):
            yield field(_ENDS, **{name: other})
        for unit in ("epochs", "steps", "updates"):
            if unit not in given:
                yield field(_ENDS, **{name: None, unit: value})
                yield field(_ENDS, **{**dict.fromkeys(given), unit: value})
        if len(given) > 1:
            yield field(_ENDS, **{name: None})
    steps = rng.randint(1, 60)
    for limit in {steps, *range(1, 81)}:
        yield field(_ENDS, epochs=None, updates=None, steps=limit)


def epoch_length(script: Script, rng: Random) -> Faults:
    """Epochs of another length, or none of their own."""
    plan = resolve(script.fields)
    s, n, b = plan["steps_per_epoch"], script.num_samples, plan["batch_size"]
    for steps in sorted(
        {*range(1, 12), n // b, n // b + 1, -(-n // b), *((s - 1, s + 1, 2 * s) if s else ())} - {s, 0}
    ):
        # Epochs that begin again before the short batch drop it.
        drops = {"short-batch-dropped"} if steps == n // b else set()
        for kind in (plan["epoch_iterator"],) if s else ("restart", "continue"):
            yield field({"steps-per-epoch"} | drops, steps_per_epoch=steps, epoch_iterator=kind)
    if s:
        yield field({"steps-per-epoch"}, steps_per_epoch=None)


def epoch_ends(script: Script, rng: Random) -> Faults:
    """What an epoch's end does to the walk, and what the end of the data does to an epoch."""
    plan = resolve(script.fields)
    if plan["steps_per_epoch"]:
        kind = "restart" if plan["epoch_iterator"] == "continue" else "continue"
        yield field({"epoch-iterator"}, epoch_iterator=kind)
        for exhaustion in ("repeat", "short_epoch", "stop"):
            if plan["on_exhaustion"] not in (None, exhaustion):
                yield field({"short-epoch"}, on_exhaustion=exhaustion)


KINDS: tuple[Kind, ...] = (
    batch_size,
    short_batch,
    accumulation,
    leftover,
    window_ends,
    limits,
    epoch_length,
    epoch_ends,
)
