"""Of two scripts that shuffle on their own, compared whatever the order, causes are those that one order would show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xframe.recording.recorder import record
from xframe.trace.trace import Trace
from xframe.verification import compare

N, SIZE = 500, 32
Steps = list[tuple[Any, int, int]]  # the samples, epoch and updates with each step


def steps(seed: int, *, epochs: int = 3, last: str = "keep", window: int = 1) -> Steps:
    made: Steps = []
    random = np.random.default_rng(seed)
    for epoch in range(epochs):
        ids = random.permutation(N)
        if last == "pad":
            ids = np.concatenate([ids, ids[: -N % SIZE]])
        batches = [ids[start : start + SIZE] for start in range(0, len(ids), SIZE)]
        for index, batch in enumerate(batches[:-1] if last == "drop" else batches):
            made.append((batch, epoch, int((index + 1) % window == 0 or index + 1 == len(batches))))
    return made


def changed(at: int, by: Callable[[Steps], Steps]) -> Steps:
    """With the step of that number replaced by what the function makes of those up to it, which end with it."""
    made = steps(2)
    return made[:at] + by(made[: at + 1]) + made[at + 1 :]


MISTAKES: dict[str, tuple[tuple[str, ...], Steps]] = {
    "the short batch dropped": (("short-batch-dropped",), steps(2, last="drop")),
    "the short batch filled up": (("short-batch-padded",), steps(2, last="pad")),
    "an epoch fewer": (("limit-confused",), steps(2, epochs=2)),
    "an epoch more": (("limit-confused",), steps(2, epochs=4)),
    "windows of two": (("accumulation-steps",), steps(2, window=2)),
    "an update skipped": (("update-skipped",), changed(9, lambda before: [(*before[-1][:2], 0)])),
    "an update twice": (("update-doubled",), changed(9, lambda before: [(*before[-1][:2], 2)])),
    "a batch lost": (("batch-lost",), changed(20, lambda before: [])),
    "a batch again": (("batch-repeated",), changed(20, lambda before: 2 * before[-1:])),
    "the iterator begun again": (("batch-repeated",), changed(20, lambda before: before[16:])),
    "a sample lost": (("sample-lost",), changed(20, lambda before: [(before[-1][0][1:], *before[-1][1:])])),
    "every batch twice": (("shard-repeated",), [step for step in steps(2) for _ in range(2)]),
    "the short batch dropped, an update skipped": (
        ("update-skipped", "short-batch-dropped"),
        [(*one[:2], int(index != 9)) for index, one in enumerate(steps(2, last="drop"))],
    ),
}


def trace(path: Path, made: Steps, *, rate: float | None = None) -> Trace:
    with record(path, num_samples=N) as rec:
        updates = np.cumsum([applied for *_, applied in made])
        for (ids, epoch, _), count in zip(made, updates.tolist(), strict=True):
            rec.step(ids=ids, updates=count, epoch=epoch, lr=rate)
    return Trace.open(path)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_cause_is_the_one_that_one_order_would_show(tmp_path: Path, mistake: str) -> None:
    names, made = MISTAKES[mistake]
    comparison = compare(trace(tmp_path / "a", steps(1)), trace(tmp_path / "b", made), order="coverage")
    assert [one.name for one in comparison.causes][: len(names)] == list(names)
    assert comparison.first_difference is not None
    assert comparison.causes[0].step == comparison.first_difference["step"]


def test_epochs_of_one_order_explain_other_samples_and_a_plan_with_the_same_passes_does_not(tmp_path: Path) -> None:
    """Epochs of ten batches, of a new pass each; in the candidate of the first one again."""
    passes = [np.random.default_rng(index).permutation(N) for index in range(4)]
    made = [
        [(order[start : start + 30], epoch, 1) for epoch, order in enumerate(orders) for start in range(0, 300, 30)]
        for orders in (passes, [passes[0]] * 4)
    ]
    comparison = compare(trace(tmp_path / "a", made[0]), trace(tmp_path / "b", made[1]), order="coverage")
    assert not comparison
    assert [one.name for one in comparison.causes] == ["same-order-every-pass"]


def test_a_lost_batch_shows_where_all_batches_are_of_one_size(tmp_path: Path) -> None:
    whole = [
        [
            (np.random.default_rng([seed, epoch]).permutation(N)[i : i + 25], epoch, 1)
            for epoch in range(3)
            for i in range(0, N, 25)
        ]
        for seed in (1, 2)
    ]
    comparison = compare(
        trace(tmp_path / "a", whole[0]), trace(tmp_path / "b", whole[1][:30] + whole[1][31:]), order="coverage"
    )
    assert comparison.causes[0].name == "batch-lost"
    assert "of the pass that ends with step 39" in comparison.causes[0].sentence


def test_what_no_order_of_these_samples_gives_is_not_named(tmp_path: Path) -> None:
    """The sizes are those of a lost batch, but samples of the pass come twice."""
    made = changed(20, lambda before: [])
    made[18] = (made[17][0], *made[18][1:])
    comparison = compare(trace(tmp_path / "a", steps(1)), trace(tmp_path / "b", made), order="coverage")
    assert "batch-lost" not in {one.name for one in comparison.causes}


def passes_of(*orders: Any, last: str = "keep") -> Steps:
    made: Steps = []
    for epoch, ids in enumerate(orders):
        stop = len(ids) // SIZE * SIZE if last == "drop" else len(ids)
        made += [(ids[start : start + SIZE], epoch, 1) for start in range(0, stop, SIZE)]
    return made


ONE_ORDER = {
    "not-shuffled": [np.arange(N)] * 3,
    "same-order-every-pass": [np.random.default_rng(5).permutation(N)] * 3,
}


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("name", ONE_ORDER)
def test_one_order_leaves_the_same_samples_out_of_all_passes(tmp_path: Path, name: str, side: int) -> None:
    """Both drop the remainder, so that the order decides which samples are ever drawn."""
    made = passes_of(*ONE_ORDER[name], last="drop")
    pair = [trace(tmp_path / "a", steps(1, last="drop")), trace(tmp_path / "b", made)]
    comparison = compare(*pair[::side], order="coverage")
    assert [one.name for one in comparison.causes] == [name]
    assert comparison.causes[0].run == "b"
    assert comparison.causes[0].sentence.startswith("b ")
    assert "never has 20 samples" in comparison.causes[0].sentence


@pytest.mark.parametrize("name", ONE_ORDER)
def test_a_forgotten_shuffle_is_named_beside_other_sizes(tmp_path: Path, name: str) -> None:
    made = passes_of(*ONE_ORDER[name], last="drop")
    comparison = compare(trace(tmp_path / "a", steps(1)), trace(tmp_path / "b", made), order="coverage")
    assert [one.name for one in comparison.causes] == ["short-batch-dropped"]
    words = {"not-shuffled": "b goes through the samples in their stored order"}
    said = f"{words.get(name, 'b has the same order in each pass')}; a shuffles again for each pass"
    assert said in comparison.explanation


def test_passes_that_run_into_one_another_are_no_remainder(tmp_path: Path) -> None:
    """Repeated first and shuffled after that, in batches of other sizes than the reference's."""
    stream = np.random.default_rng(2).permutation(np.tile(np.arange(N), 3))
    made: Steps = [(stream[start : start + SIZE], start // N, 1) for start in range(0, len(stream), SIZE)]
    comparison = compare(trace(tmp_path / "a", steps(1)), trace(tmp_path / "b", made), order="coverage")
    assert [one.name for one in comparison.causes] == ["passes-mixed"]


@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_rates_are_looked_at_behind_another_order(tmp_path: Path, rate: float) -> None:
    """An order does not change them: where they differ, more than the order does."""
    comparison = compare(trace(tmp_path / "a", steps(1), rate=0.05), trace(tmp_path / "b", steps(2), rate=rate))
    assert [one.name for one in comparison.causes] == ["shuffled-independently", "learning-rate"][: 1 + (rate == 0.1)]
    assert ("nothing but the order" in comparison.causes[0].sentence) == (rate == 0.05)


def test_a_sample_in_place_of_a_different_one_is_named(tmp_path: Path) -> None:
    made = passes_of(*[np.where(order == 37, 38, order) for order in map(order_of, range(3))])
    comparison = compare(trace(tmp_path / "a", steps(1)), trace(tmp_path / "b", made), order="coverage")
    assert [one.name for one in comparison.causes] == ["sample-repeated"]
    assert "sample 38 in place of 37" in comparison.causes[0].sentence


def order_of(index: int) -> Any:
    return np.random.default_rng([3, index]).permutation(N)
