"""Samples that are not drawn once a pass are recognised, whatever the order they come in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xframe.recording.recorder import record
from xframe.trace.trace import Trace
from xframe.verification import compare

N, SIZE, EPOCHS = 500, 32, 4
Pass = Callable[[Any, int], Any]


def ordinary(random: Any, index: int) -> Any:
    return random.permutation(N)


def mixed(random: Any, index: int) -> Any:
    return np.random.default_rng(9).permutation(np.tile(np.arange(N), EPOCHS))[index * N : (index + 1) * N]


def weighted(random: Any, index: int) -> Any:
    weights = 1.0 + np.arange(N) % 10
    return random.choice(N, N, p=weights / weights.sum())


DRAWN: dict[str, list[tuple[str, Pass]]] = {
    "subset": [
        ("the first", lambda random, index: random.permutation(450)),
        ("one fewer", lambda random, index: random.permutation(N - 1)),
        ("some", lambda random, index: random.permutation(np.random.default_rng(3).permutation(N)[:430])),
    ],
    "one-shard": [
        ("strided over the order", lambda random, index: random.permutation(N)[1::2]),
        ("strided over the samples", lambda random, index: random.permutation(np.arange(1, N, 3))),
        ("a block of the samples", lambda random, index: random.permutation(np.arange(250, N))),
    ],
    "passes-mixed": [("repeated first", mixed)],
    "weighted-sampling": [("by weight", weighted)],
    "with-replacement": [("evenly", lambda random, index: random.integers(N, size=N))],
}


def trace(path: Path, draw: Pass, seed: int, size: int = SIZE) -> Trace:
    random = np.random.default_rng(seed)
    passes = [draw(random, index) for index in range(EPOCHS)]
    batches = [ids[start : start + size] for ids in passes for start in range(0, len(ids), size)]
    epochs = [index for index, ids in enumerate(passes) for _ in range(0, len(ids), size)]
    with record(path, num_samples=N) as rec:
        for step, (ids, epoch) in enumerate(zip(batches, epochs, strict=True)):
            rec.step(ids=ids, updates=step + 1, epoch=epoch)
    return Trace.open(path)


@pytest.mark.parametrize("order", ["exact", "coverage"])
@pytest.mark.parametrize(("name", "draw"), [(name, draw) for name, draws in DRAWN.items() for _, draw in draws])
def test_what_is_drawn_is_named_first(tmp_path: Path, name: str, draw: Pass, order: str) -> None:
    comparison = compare(trace(tmp_path / "a", ordinary, 1), trace(tmp_path / "b", draw, 2), order=order)
    assert [one.name for one in comparison.causes][:1] == [name]
    assert not any(one.certain for one in comparison.causes)


def test_passes_over_all_samples_are_none_of_these(tmp_path: Path) -> None:
    for size, seed in ((SIZE, 2), (50, 3), (125, 4)):  # also where a share ends with a batch
        other = trace(tmp_path / f"b{size}", ordinary, seed, size)
        comparison = compare(trace(tmp_path / f"a{size}", ordinary, 1, size), other)
        assert not {one.name for one in comparison.causes} & DRAWN.keys()


SHARES: dict[str, Pass] = {
    "subset": lambda order, index: order[order < 450],
    "one-shard": lambda order, index: order[::2],
}


@pytest.mark.parametrize("name", SHARES)
def test_a_share_of_the_same_order_is_named_where_its_remainder_is_dropped(tmp_path: Path, name: str) -> None:
    """Then its epochs, merely shorter, leave no more than a part of each pass: two causes would be one too many."""

    def dropping(path: Path, share: Pass) -> Trace:
        random, size = np.random.default_rng(1), 40
        with record(path, num_samples=N) as rec:
            for epoch in range(EPOCHS):
                ids = share(random.permutation(N), epoch)
                for start in range(0, len(ids) - size + 1, size):
                    rec.step(ids=ids[start : start + size], epoch=epoch)
        return Trace.open(path)

    whole = dropping(tmp_path / "a", lambda order, index: order)
    comparison = compare(whole, dropping(tmp_path / "b", SHARES[name]))
    assert [one.name for one in comparison.causes][:1] == [name]


class Ranks:
    """Of two ranks; the same order for both, as one seed makes it."""

    @staticmethod
    def one(rank: int = 0, *, order: str = "each") -> Pass:
        def draw(random: Any, index: int) -> Any:
            ids = np.random.default_rng([7, index if order == "each" else 0]).permutation(N)
            return (np.arange(N) if order == "stored" else ids)[rank::2]

        return draw


SHARED: dict[str, tuple[Pass, bool]] = {
    "same-order-every-pass": (Ranks.one(order="one"), False),
    "not-shuffled": (Ranks.one(order="stored"), False),
    "one-shard": (Ranks.one(1), False),
    "short-batch-dropped": (Ranks.one(), True),
}


def dropping(path: Path, draw: Pass, *, drop: bool) -> Trace:
    with record(path, num_samples=N) as rec:
        for epoch in range(EPOCHS):
            ids = draw(np.random.default_rng([3, epoch]), epoch)
            for start in range(0, len(ids) - (SIZE - 1 if drop else 0), SIZE):
                rec.step(ids=ids[start : start + SIZE], epoch=epoch)
    return Trace.open(path)


@pytest.mark.parametrize("name", SHARED)
def test_a_share_that_both_have_is_no_cause(tmp_path: Path, name: str) -> None:
    """Both train as one rank of two; what differs is something else, or which rank."""
    draw, drop = SHARED[name]
    rank, other = dropping(tmp_path / "a", Ranks.one(), drop=False), dropping(tmp_path / "b", draw, drop=drop)
    comparison = compare(rank, other)
    assert [one.name for one in comparison.causes] == [name]
    if not drop:
        back = compare(other, rank).causes
        assert [(one.name, one.run) for one in back] == [(name, "a" if name == "one-shard" else "b")]
    assert ("different rank" in comparison.causes[0].sentence) == (name == "one-shard")


def test_two_differences_of_a_share_are_both_named(tmp_path: Path) -> None:
    rank = dropping(tmp_path / "a", Ranks.one(), drop=False)
    comparison = compare(rank, dropping(tmp_path / "b", Ranks.one(order="one"), drop=True))
    assert [one.name for one in comparison.causes] == ["short-batch-dropped", "same-order-every-pass"]
    assert comparison.causes[1].besides
    assert str(comparison.causes[0].sentence).count("3 fewer") <= 1


def test_two_fixed_parts_are_named_both(tmp_path: Path) -> None:
    """Of either run, not as though the other had all samples."""
    parts = [np.random.default_rng(seed).permutation(N)[: N // 2] for seed in (5, 6)]
    pair = [
        dropping(tmp_path / name, lambda random, index, part=part: random.permutation(part), drop=False)
        for name, part in zip("ab", parts, strict=True)
    ]
    for order in ("exact", "coverage"):
        comparison = compare(*pair, order=order)
        assert [one.name for one in comparison.causes] == ["subset"]
        assert "a goes through as many, not the same ones" in comparison.causes[0].sentence


def test_what_the_reference_never_has_is_outside_no_training_set_of_unknown_size(tmp_path: Path) -> None:
    """The candidate's larger batches reach samples that the reference, of which no plan is known, does not."""

    def stored(name: str, size: int) -> Trace:
        with record(tmp_path / name) as rec:
            for step in range(18):
                ids = np.arange(step * size, (step + 1) * size) % 79
                rec.step(ids=ids, updates=(step + 1) // 9 + (step % 9 == 7))
        return Trace.open(tmp_path / name)

    comparison = compare(stored("a", 4), stored("b", 22))
    assert not any("training set" in one.sentence for one in comparison.causes)


def test_an_epoch_longer_than_the_steps_compared_has_no_known_length(tmp_path: Path) -> None:
    def labelled(name: str, steps: int, each: int) -> Trace:
        order = [np.random.default_rng(index // 3).permutation(48)[index % 3 * 16 :][:16] for index in range(steps)]
        with record(tmp_path / name, num_samples=48) as rec:
            for step, ids in enumerate(order):
                rec.step(ids=ids, updates=step + 1, epoch=step // each)
        return Trace.open(tmp_path / name)

    comparison = compare(labelled("a", 6, 3), labelled("b", 78, 8))
    assert not any("has epochs of 6 steps" in one.sentence for one in comparison.causes)


def test_epochs_a_little_longer_than_a_part_are_no_share_of_its_size(tmp_path: Path) -> None:
    """Thirteen whole batches of each pass in the reference, all of 400 samples in the candidate."""
    begun = dropping(tmp_path / "a", lambda random, index: random.permutation(N)[: 13 * SIZE], drop=False)
    part = dropping(tmp_path / "b", lambda random, index: random.permutation(400), drop=False)
    for order in ("exact", "coverage"):
        assert compare(begun, part, order=order).causes[0].name == "subset"
