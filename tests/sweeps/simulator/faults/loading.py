"""Batches and samples that the loop is not given, or is given twice or in other places."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from sweeps.simulator.faults.fault import Fault, Kind
from sweeps.simulator.script import Script, Steps
from sweeps.simulator.walk import Refused

Faults = Iterator[Fault]
_PLACES = 24  # at which a change is tried


def _fault(text: str, causes: set[str], change: Callable[[Steps], Steps]) -> Fault:
    def careful(steps: Steps) -> Steps:
        try:
            return change(steps)
        except IndexError:
            raise Refused(text) from None

    return Fault(text, frozenset(causes), lambda script: script.but(loading=(*script.loading, careful)))


def _places(script: Script, rng: Random) -> list[int]:
    steps = len(script.walk()[0])
    return sorted({0, steps - 1, *rng.sample(range(steps), min(steps, _PLACES))})


def _single(script: Script) -> bool:
    return int(script.fields["batch_size"]) == 1


def lost(script: Script, rng: Random) -> Faults:
    """A batch that never reaches the loop, or several in a row."""
    alone = {"sample-lost"} if _single(script) else set()
    for at in _places(script, rng):
        ends = {"one-step-less", "limit-confused", "short-batch-dropped"}
        yield _fault(f"loses batch {at}", {"batch-lost", *ends} | alone, lambda s, t=at: _without(s, t, 1))
        names = {"batch-lost", "resumed-at-wrong-place", "limit-confused"}
        yield _fault(f"loses batches {at} and {at + 1}", names, lambda s, t=at: _without(s, t, 2))


def _without(steps: Steps, at: int, many: int) -> Steps:
    if at + many > len(steps):
        raise Refused("there is no such batch")
    return steps[:at] + steps[at + many :]


def again(script: Script, rng: Random) -> Faults:
    """A batch trained on again: at once, or in place of another."""
    alone = {"sample-repeated"} if _single(script) else set()
    for at in _places(script, rng):
        names = {"batch-repeated", "one-step-more"} | alone
        yield _fault(f"batch {at} again at once", names, lambda s, t=at: [*s[: t + 1], replace(s[t]), *s[t + 1 :]])
        if at:
            text = f"the first batch again at {at}, in place of its own"
            yield _fault(text, {"batch-repeated"} | alone, lambda s, t=at: _taken(s, t, s[0].sample_ids))


def _taken(steps: Steps, at: int, samples: list[int]) -> Steps:
    return [*steps[:at], replace(steps[at], sample_ids=list(samples)), *steps[at + 1 :]]


def swapped(script: Script, rng: Random) -> Faults:
    """Batches, or samples, in each other's place."""
    alone = {"samples-swapped"} if _single(script) else set()
    for at in _places(script, rng):

        def batches(steps: Steps, at: int = at) -> Steps:
            other = _taken(steps, at, steps[at + 1].sample_ids)
            return _taken(other, at + 1, steps[at].sample_ids)

        yield _fault(f"batches {at} and {at + 1} swapped", {"batches-swapped"} | alone, batches)

        def samples(steps: Steps, at: int = at) -> Steps:
            a, b = list(steps[at].sample_ids), list(steps[at + 1].sample_ids)
            a[-1], b[0] = b[0], a[-1]
            return _taken(_taken(steps, at, a), at + 1, b)

        names = {"samples-swapped"} | ({"batches-swapped"} if _single(script) else set())
        yield _fault(f"samples of {at} and {at + 1} swapped", names, samples)

        def turned(steps: Steps, at: int = at) -> Steps:
            return _taken(steps, at, steps[at].sample_ids[::-1])

        yield _fault(f"batch {at} turned round", {"order-inside-batches", "samples-swapped"}, turned)


def samples(script: Script, rng: Random) -> Faults:
    """A sample lost, or twice, or of no training set."""
    n = script.num_samples
    for at in _places(script, rng):
        place = rng.randrange(64)

        def gone(steps: Steps, at: int = at, place: int = place) -> Steps:
            batch = steps[at].sample_ids
            if len(batch) < 2:
                raise Refused("its only sample")
            place %= len(batch)
            return _taken(steps, at, batch[:place] + batch[place + 1 :])

        yield _fault(f"a sample of batch {at} lost", {"sample-lost"}, gone)

        def twice(steps: Steps, at: int = at, place: int = place) -> Steps:
            batch = list(steps[at].sample_ids)
            if len(batch) < 2:
                raise Refused("its only sample")
            batch[place % len(batch)] = batch[(place + 1) % len(batch)]
            return _taken(steps, at, batch)

        yield _fault(f"a sample of batch {at} twice", {"sample-repeated", "samples-swapped"}, twice)

        def more(steps: Steps, at: int = at) -> Steps:
            batch = steps[at].sample_ids
            return _taken(steps, at, [*batch, batch[0]])

        yield _fault(f"a sample put into batch {at}", {"sample-repeated"}, more)
        if at == 0:

            def foreign(steps: Steps, at: int = at, place: int = place) -> Steps:
                batch = list(steps[at].sample_ids)
                batch[place % len(batch)] = n + place
                return _taken(steps, at, batch)

            yield _fault(f"a validation sample in batch {at}", {"validation-in-training"}, foreign)


def resumed(script: Script, rng: Random) -> Faults:
    """From some step on the walk goes on elsewhere, as after a restart."""
    for at in _places(script, rng):
        for by in (2, 3):

            def back(steps: Steps, at: int = at, by: int = by) -> Steps:
                if at < by or at >= len(steps):
                    raise Refused("too early")
                batches = [one.sample_ids for one in steps]
                moved = batches[:at] + batches[at - by :]
                return [replace(one, sample_ids=list(moved[i])) for i, one in enumerate(steps)]

            names = {"resumed-at-wrong-place", "batch-repeated"}
            yield _fault(f"goes on {by} batches back at {at}", names, back)


def in_a_row(script: Script, rng: Random) -> Faults:
    """Every batch several times, as where all workers read all data."""
    for times in (2, 3):

        def every(steps: Steps, times: int = times) -> Steps:
            return [replace(one, sample_ids=list(steps[i // times].sample_ids)) for i, one in enumerate(steps)]

        yield _fault(f"every batch {times} times", {"shard-repeated"}, every)


KINDS: tuple[Kind, ...] = (lost, again, swapped, samples, resumed, in_a_row)
