"""Updates counted at some steps only are judged there, and a mistake beside the missing ones has its cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xframe
from xframe.comparison.result import Comparison

N, IN_EPOCH, STEPS = 158, 16, 48  # batches of ten; windows of five do not fill an epoch
Known = Any  # by step and updates so far, whether the run hands its count over


def compared(tmp_path: Path, applied: dict[str, Any], known: Known, order: str) -> Comparison:
    for name, updates in applied.items():
        random = np.random.default_rng(0 if order == "exact" else len(name))
        counts = np.cumsum(updates)
        with xframe.record(tmp_path / name, num_samples=N) as rec:
            for epoch in range(3):
                ids = random.permutation(N)
                for i in range(IN_EPOCH):
                    step = epoch * IN_EPOCH + i
                    count = {} if name != "a" and not known(step, updates) else {"updates": int(counts[step])}
                    rec.step(ids=ids[10 * i : 10 * i + 10], epoch=epoch, **count)
    return xframe.compare(*(tmp_path / name for name in applied), order=order)


def each(k: int, remainder: str = "flush") -> Any:
    at = np.arange(STEPS)
    last = (at % IN_EPOCH == IN_EPOCH - 1) & (remainder == "flush")
    return (((at if remainder == "carry" else at % IN_EPOCH) % k == k - 1) | last).astype(int)


def gaps(step: int, updates: Any) -> bool:
    return step not in (0, 9, 12, 47)


def at_updates(step: int, updates: Any) -> bool:
    return bool(updates[step])


@pytest.mark.parametrize("order", ["exact", "coverage"])
@pytest.mark.parametrize(("k", "known"), [(1, gaps), (5, gaps), (5, at_updates)])
def test_what_agrees_where_both_count_passes(tmp_path: Path, k: int, known: Known, order: str) -> None:
    comparison = compared(tmp_path, {"a": each(k), "bb": each(k)}, known, order)
    assert comparison.verdict == "passed", comparison
    judged = sum(known(step, each(k)) for step in range(STEPS))
    assert f"recorded at {judged} of 48 steps" in comparison.check("updates").detail


def other(at: int, updates: int, k: int = 1) -> Any:
    made = each(k)
    made[at] = updates
    return made


@pytest.mark.parametrize("order", ["exact", "coverage"])
@pytest.mark.parametrize(
    ("applied", "known", "cause", "step"),
    [
        ((each(1), other(20, 0)), gaps, "update-skipped", 20),
        ((each(1), other(20, 2)), gaps, "update-doubled", 20),
        ((each(1), other(9, 0)), gaps, "update-skipped", 10),
        ((each(5), each(5, "carry")), at_updates, "leftover-carried", 15),
    ],
)
def test_a_mistake_beside_missing_counts_is_named(
    tmp_path: Path, applied: Any, known: Known, cause: str, step: int, order: str
) -> None:
    comparison = compared(tmp_path, {"a": applied[0], "bb": applied[1]}, known, order)
    assert comparison.verdict == "failed"
    found = [(one.name, one.step, one.certain) for one in comparison.causes]
    assert found[0] == (cause, step, False), comparison


def test_the_reference_may_lack_them(tmp_path: Path) -> None:
    comparison = compared(tmp_path, {"bb": each(1), "a": other(20, 0)}, gaps, "exact")
    assert [cause.name for cause in comparison.causes] == ["update-skipped"]
