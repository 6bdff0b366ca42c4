"""No sentence says what its table refutes; the first difference is explained first; one cause a difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnosed import diagnose

import xframe
from xframe.comparison.result import Comparison
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

PLAN = TrainingPlan(batch_size=5, epochs=3)
N = 49


def columns(plan: TrainingPlan = PLAN, n: int = N) -> dict[str, Any]:
    """What a run of that plan records."""
    steps = list(plan.each_step(n))
    at = np.arange(len(steps))
    return {
        "ids": [step.sample_ids.tolist() for step in steps],
        "updates": np.array([step.update for step in steps]),
        "loss": 1.0 + np.cos(at),
        "lr": np.full(len(at), 0.1),
    }


def compared(
    folder: Path,
    a: dict[str, Any],
    b: dict[str, Any],
    *,
    plan: TrainingPlan | None = None,
    weights: tuple[float, float] | None = None,
) -> Comparison:
    for i, (name, run) in enumerate((("A", a), ("B", b))):
        rest = {key: value for key, value in run.items() if key not in ("ids", "sizes")}
        flat = np.array([one for batch in run["ids"] for one in batch]) if "ids" in run else None
        sizes = run.get("sizes") or [len(batch) for batch in run["ids"]]
        with xframe.record(folder / f"{name}.trace", plan=plan, num_samples=N) as rec:
            rec.block(ids=flat, batch_sizes=sizes, **rest)
            if weights:
                rec.weights({"w": np.full(3, weights[i])})
    return xframe.compare(folder / "A.trace", folder / "B.trace")


def names(comparison: Comparison) -> list[str]:
    return [cause.name for cause in comparison.causes]


@pytest.mark.parametrize("planned", [False, True])
def test_of_a_loss_and_a_batch_the_one_that_differs_first_comes_first(tmp_path: Path, planned: bool) -> None:
    run = columns()
    run["ids"][6] = list(run["ids"][0])
    run["loss"] = 2 * run["loss"]
    comparison = compared(tmp_path, columns(), run, plan=PLAN if planned else None)
    assert [(cause.name, cause.step) for cause in comparison.causes[:1]] == [("loss-scale", 0)]
    assert ("batch-repeated", 6) in {(cause.name, cause.step) for cause in comparison.causes}
    assert not any(cause.certain for cause in comparison.causes)  # neither explains both


def test_a_rate_that_differs_later_does_not_explain_the_first_loss(tmp_path: Path) -> None:
    run = columns()
    run["loss"], run["lr"] = run["loss"] + 0.5, np.where(np.arange(30) < 9, 0.1, 0.2)
    comparison = compared(tmp_path, columns(), run)
    assert comparison.causes[0].step == 0
    assert comparison.causes[0].name != "learning-rate"
    assert "learning-rate" in names(comparison)
    assert not any(cause.certain for cause in comparison.causes)


def test_two_mistakes_are_two_causes(tmp_path: Path) -> None:
    run = columns(TrainingPlan(batch_size=12, epochs=3))
    run["updates"] = run["updates"] - (np.arange(15) >= 5)
    comparison = compared(tmp_path, columns(), run)
    assert [(cause.name, cause.step, cause.certain) for cause in comparison.causes] == [
        ("batch-size", 0, False),
        ("update-skipped", 5, False),
    ]
    assert comparison.causes[1].sentence == "B, besides, skips the update of step 5"


def test_a_shuffle_comes_before_a_sample_put_in_later(tmp_path: Path) -> None:
    run = columns(TrainingPlan(batch_size=5, epochs=3, order="sequential"))
    run["ids"][7] = [*run["ids"][7], 3]
    assert names(compared(tmp_path, columns(), run))[0] == "not-shuffled"


@pytest.mark.parametrize("recorded", [0, 10, 29, 30])
def test_losses_agree_where_all_were_recorded(tmp_path: Path, recorded: int) -> None:
    runs = [columns(), columns()]
    for run in runs:
        run["loss"] = np.ma.array(run["loss"], mask=np.arange(30) >= recorded)
    comparison = compared(tmp_path, *runs, weights=(1.0, 2.0))
    assert names(comparison) == ["weights-elsewhere" if recorded >= 29 else "other-gradient"]  # more may differ unseen
    assert ("every loss agrees" in comparison.causes[0].sentence) == (recorded == 30)


def test_no_gradient_enters_before_the_first_update(tmp_path: Path) -> None:
    run = columns()
    run["loss"] = run["loss"] + 0.5
    comparison = compared(tmp_path, columns(), run, weights=(1.0, 2.0))
    assert "gradient" not in " ".join(cause.sentence for cause in comparison.causes)


def test_gradients_are_blamed_alone_only_where_rates_agree(tmp_path: Path) -> None:
    run, reference = columns(), columns()
    run["loss"] = run["loss"] + 0.5 * (np.arange(30) > 4)
    del run["lr"], reference["lr"]
    (sentence,) = [c.sentence for c in compared(tmp_path, reference, run).causes if c.name == "other-gradient"]
    assert "or rates that were not recorded" in sentence


def test_sizes_alone_show_no_batches_in_a_row(tmp_path: Path) -> None:
    sizes = {"sizes": [4] * 20, "updates": np.arange(1, 21)}
    twice = {"sizes": [4] * 40, "updates": np.arange(1, 41)}
    assert "shard-repeated" not in names(compared(tmp_path, sizes, twice))


def test_samples_beyond_those_of_the_reference_need_not_be_foreign(tmp_path: Path) -> None:
    """Of a data set whose size is not known, a run may simply have dropped the last."""
    for name, remainder in (("A", "drop"), ("B", "keep")):
        run = columns(TrainingPlan(batch_size=5, epochs=3, remainder=remainder, order="sequential"))
        with xframe.record(tmp_path / name) as rec:
            for ids, updates in zip(run["ids"], run["updates"], strict=True):
                rec.step(ids=ids, updates=int(updates))
    assert names(xframe.compare(tmp_path / "A", tmp_path / "B"))[0] == "short-batch-kept"


@pytest.mark.parametrize("batch_size", [1, 2, 60])
def test_no_seed_is_named_that_chance_gives(tmp_path: Path, batch_size: int) -> None:
    """Of two orders of their own, and of few samples, no seed is known."""

    def shuffled(seed: int, n: int) -> list[int]:
        return np.random.default_rng(seed).permutation(n).tolist()

    for n in (5, 60):
        for seed in range(6):
            folder = tmp_path / f"{n} {seed}"
            folder.mkdir()
            for name, order in (("A", shuffled(99, n)), ("B", shuffled(seed, n))):
                with xframe.record(folder / name, num_samples=n) as rec:
                    for step, begin in enumerate(range(0, n, batch_size)):
                        rec.step(ids=order[begin : begin + batch_size], updates=step + 1)
            causes = xframe.compare(folder / "A", folder / "B").causes
            assert not any("seed" in cause.sentence for cause in causes), causes


def test_a_seed_is_named_where_the_order_is_its(tmp_path: Path) -> None:
    comparison = compared(tmp_path, columns(), columns(TrainingPlan(batch_size=5, epochs=3, seed=7)))
    assert "shuffles by seed 7; A by seed 0" in comparison.causes[0].sentence


def test_a_swap_does_not_explain_an_early_end(tmp_path: Path) -> None:
    run = columns()
    run["ids"][1], run["ids"][2] = run["ids"][2], run["ids"][1]
    run = {name: column[:-4] for name, column in run.items()}
    first, second = compared(tmp_path, columns(), run).causes[:2]
    assert first.sentence.endswith("has the batches of steps 1 and 2 in each other's place")
    assert (first.name, first.step, first.certain) == ("batches-swapped", 1, False)
    assert second.sentence == "B, besides, ends after 26 steps, A after 30"


def test_of_rows_that_another_cause_moved_only_what_is_due_is_said(tmp_path: Path) -> None:
    run = columns(TrainingPlan(batch_size=5, epochs=3, remainder="carry"))
    a, b = run["ids"][11:13]
    a[-1], b[0] = b[0], a[-1]
    (swapped,) = [one for one in compared(tmp_path, columns(), run).causes if one.name == "samples-swapped"]
    assert f"has samples {b[0]} and {a[-1]}, due in steps 11 and 12, in each other's place" in swapped.sentence


def test_passes_are_spoken_of_only_where_the_plan_is_known(tmp_path: Path) -> None:
    """Of one-sample batches in epochs that begin again nothing shows where a pass ends."""
    plan = TrainingPlan(batch_size=1, steps=9, steps_per_epoch=4, epoch_iterator="restart", on_exhaustion="repeat")
    run = columns(plan)
    run["ids"][5] = run["ids"][2]
    for known in (None, plan):
        folder = tmp_path / str(known is None)
        folder.mkdir()
        (first, *_) = [
            one for one in compared(folder, columns(plan), run, plan=known).causes if "sample " in one.sentence
        ]
        assert "its pass" not in first.sentence
        assert first.sentence.endswith("and in step 2 too") == (known is None)


def test_a_foreign_sample_makes_no_buffer_of_the_other_run(tmp_path: Path) -> None:
    """A size of the data set that one sample of the other run gives says nothing of how far a shuffle reaches."""
    plan = TrainingPlan(batch_size=32, epochs=2, remainder="drop", seed=1)
    run = columns(TrainingPlan(batch_size=32, epochs=2, remainder="drop", seed=2, reshuffle=False), 45)
    run["ids"][0][0] = 80
    for name, one in (("A", columns(plan, 45)), ("B", run)):
        with xframe.record(tmp_path / name) as rec:
            rec.block(ids=np.concatenate(one["ids"]), batch_sizes=[32, 32], updates=one["updates"])
    assert "buffer-shuffle" not in names(xframe.compare(tmp_path / "A", tmp_path / "B"))


def test_padding_is_no_second_time_in_a_pass(tmp_path: Path) -> None:
    plan = TrainingPlan(batch_size=18, epochs=2, remainder="pad", order="sequential")
    run = columns(plan, 12)
    run["ids"][0][13] = 11
    given, own = (Rows.of_batches(one["ids"], one["updates"].tolist()) for one in (columns(plan, 12), run))
    (cause,) = [one for one in diagnose(own, given, num_samples=12, plan=plan) if one.name == "sample-repeated"]
    assert cause.sentence == "B has sample 11 in step 0 in place of 1, and so twice"
