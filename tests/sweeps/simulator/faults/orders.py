"""Samples that come in an order, or in a number, that is not the plan's."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from sweeps.simulator.faults.fault import Fault, Kind
from sweeps.simulator.script import Script
from sweeps.simulator.walk import Refused

Faults = Iterator[Fault]


def _shuffled(samples: Sequence[Any], *seed: int) -> list[Any]:
    """The samples in an order of their own."""
    shuffled = list(samples)
    Random(repr(seed)).shuffle(shuffled)
    return shuffled


def _of_stored(script: Script) -> set[str]:
    """What a shuffle is called where the plan has none: of the run, or of what it is compared with."""
    return {"reshuffled", "not-shuffled"} if script.fields.get("order") == "sequential" else set()


def stored(script: Script, rng: Random) -> Faults:
    """A forgotten shuffle."""

    def into(script: Script) -> Script:
        return script.but(order=lambda p: sorted(script.order(p)))

    yield Fault("not shuffled", frozenset({"not-shuffled"}), into)


def kept(script: Script, rng: Random) -> Faults:
    """One order in every pass."""
    yield Fault(
        "the first pass's order in every pass",
        frozenset({"same-order-every-pass"}),
        lambda script: script.but(order=lambda p: script.order(0)),
    )


def own(script: Script, rng: Random) -> Faults:
    """An order of its own, shuffled for each pass or once."""
    seed = rng.randrange(1 << 20)
    names = frozenset({"shuffled-independently", "other-seed", "reshuffled"} | _of_stored(script))
    for each in (True, False):

        def into(script: Script, *, each: bool = each) -> Script:
            return script.but(order=lambda p: _shuffled(sorted(script.order(p)), seed, p if each else 0))

        more = set() if each else {"same-order-every-pass"}
        yield Fault(f"shuffles on its own, {'each pass' if each else 'once'}", names | more, into)


def later(script: Script, rng: Random) -> Faults:
    """The orders of later passes, as where epochs are counted from 1."""
    for by in (1, 2):
        yield Fault(
            f"the order of the pass {by} later",
            frozenset({"pass-skipped", "resumed-at-wrong-place"}),
            lambda script, by=by: script.but(order=lambda p: script.order(p + by)),
        )


def in_a_buffer(script: Script, rng: Random) -> Faults:
    """A buffer smaller than the data."""
    n, seed = script.num_samples, rng.randrange(1 << 20)

    def drawn(samples: list[int], size: int, p: int) -> list[int]:
        buffer, order, rest = samples[:size], [], iter(samples[size:])
        random = Random(repr((seed, p)))
        while buffer:
            i = random.randrange(len(buffer))
            order.append(buffer[i])
            new = next(rest, None)
            if new is None:
                del buffer[i]
            else:
                buffer[i] = new
        return order

    for size in sorted({max(2, n // 10), max(2, n // 4)}):

        def into(script: Script, size: int = size) -> Script:
            return script.but(order=lambda p: drawn(sorted(script.order(p)), size, p))

        names = {"buffer-shuffle", "shuffled-independently"} | _of_stored(script)
        yield Fault(f"a buffer of {size}", frozenset(names), into)


def by_batches(script: Script, rng: Random) -> Faults:
    """Whole batches shuffled."""
    n, seed = script.num_samples, rng.randrange(1 << 20)

    def order(script: Script, p: int) -> list[int]:
        samples, b = sorted(script.order(p)), script.fields["batch_size"]
        batches = [samples[at : at + b] for at in range(0, len(samples), b)]
        return [one for batch in _shuffled(batches, seed, p) for one in batch]

    def into(script: Script) -> Script:
        return script.but(order=lambda p: order(script, p))

    if script.fields["batch_size"] > 1 and n % script.fields["batch_size"] == 0:
        yield Fault("shuffled after batching", frozenset({"shuffle-after-batch", "batches-swapped"}), into)


def replaced(script: Script, rng: Random) -> Faults:
    """Samples drawn with replacement."""
    seed = rng.randrange(1 << 20)

    def order(samples: list[int], p: int) -> list[int]:
        random = Random(repr((seed, p)))
        return [random.choice(samples) for _ in samples]

    def into(script: Script) -> Script:
        return script.but(order=lambda p: order(sorted(script.order(p)), p))

    yield Fault("draws with replacement", frozenset({"with-replacement"}), into)


def without_one(script: Script, rng: Random) -> Faults:
    """A sample that is never drawn."""

    def order(script: Script, sample: int, p: int) -> list[int]:
        samples = [one for one in script.order(p) if one != sample]
        if len(samples) != script.num_samples - 1:
            raise Refused("it is drawn not once")
        return samples

    for sample in range(script.num_samples):

        def into(script: Script, sample: int = sample) -> Script:
            if script.num_samples < 2:
                raise Refused("there is one sample")
            return script.but(num_samples=script.num_samples - 1, order=lambda p: order(script, sample, p))

        yield Fault(f"never draws sample {sample}", frozenset({"sample-lost", "subset"}), into)


def a_share(script: Script, rng: Random) -> Faults:
    """One worker's share, walked as often as there are workers."""

    def into(script: Script, times: int) -> Script:
        def order(p: int) -> list[int]:
            samples = list(script.order(p))
            return [samples[i - i % times] for i in range(len(samples))]

        return script.but(order=order)

    for times in (2, 4):
        if script.num_samples >= 4 * times:
            yield Fault(
                f"one share of {times}, {times} times",
                frozenset({"shard-repeated", "one-shard"}),
                lambda script, times=times: into(script, times),
            )


KINDS: tuple[Kind, ...] = (stored, kept, own, later, in_a_buffer, by_batches, replaced, without_one, a_share)
