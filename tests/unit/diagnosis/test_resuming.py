"""What a resumed run has lost is named from where its traces were joined."""

import numpy as np
import pytest

import xframe
from xframe.testing.faults import BY_NAME, FAULTS, Faulty, make
from xframe.testing.in_two import InTwo

N, BATCH = 103, 10  # 11 steps a pass, the last of 3 samples
RESUMED = [fault.name for fault in FAULTS if fault.resumed is not None]


@pytest.fixture
def runs(tmp_path):
    """Records a run in two parts, and a whole one."""

    def recorded(name, rows, step=None):
        path = tmp_path / f"{name}.trace"
        parts = [(path, rows, {})]
        if step is not None:
            first = tmp_path / f"{name}-1.trace"
            parts = [(first, rows[:step], {}), (path, rows[step:], {"continues": first, "step": step})]
        for file, those, options in parts:
            with xframe.record(file, num_samples=N, **options) as rec:
                for row in those:
                    rec.step(**row)
        return path

    return recorded


def order(number, seed=0):
    return np.random.default_rng([seed, number]).permutation(N)


def rows(batches, *, k=1, loss=lambda i: 2 / (1 + i), lr=lambda i: 0.1, epochs=None):
    made = []
    for i, batch in enumerate(batches):
        epoch, inside = divmod(i, 11) if epochs is None else epochs[i]
        values = {"loss": loss(i), "lr": lr(i), "epoch": epoch, "step_in_epoch": inside}
        made.append({"ids": batch, "updates": (i + 1) // k, **values})
    return made


def batches(number, begin=0, seed=0):
    ids = order(number, seed)
    return [ids[start : start + BATCH] for start in range(begin * BATCH, N, BATCH)]


WHOLE = [*batches(0), *batches(1), *batches(2)]


def cause_of(runs, resumed, at=15, whole=None):
    pair = runs("whole", rows(WHOLE) if whole is None else whole), runs("b", resumed, at)
    comparison, turned = xframe.compare(*pair), xframe.compare(*pair[::-1])
    assert comparison.verdict == turned.verdict == "failed"
    cause = comparison.causes[0]
    same = turned.causes[0]  # whichever of the two is the reference
    assert (same.name, same.step, same.sentence, same.run) == (cause.name, cause.step, cause.sentence, "whole")
    assert cause.step is not None
    assert f"at step {at}, where b.trace goes on" in cause.sentence
    assert any(cause.sentence in one for one in comparison.explanation)
    return cause.name, cause.step


def test_keras_backup_and_restore_repeats_the_epoch_in_the_first_order(runs):
    again = [*WHOLE[:15], *batches(0), *batches(1)]
    labels = [divmod(i, 11) for i in range(15)] + [(1 + i // 11, i % 11) for i in range(22)]
    resumed = rows(again, epochs=labels)
    assert len(resumed) == 37
    assert cause_of(runs, resumed) == ("epoch-repeated-after-resuming", 15)


def test_transformers_without_data_skip_repeats_the_epoch_in_its_own_order(runs):
    again = [*WHOLE[:15], *batches(1), *batches(2)]
    labels = [divmod(i, 11) for i in range(15)] + [(1 + i // 11, i % 11) for i in range(22)]
    assert cause_of(runs, rows(again, epochs=labels)) == ("epoch-repeated-after-resuming", 15)


def test_transformers_ends_after_as_many_updates_though_it_repeats_the_epoch(runs):
    again = [*WHOLE[:21], *batches(1), *batches(2)][:36]
    assert cause_of(runs, rows(again), 21) == ("epoch-repeated-after-resuming", 21)


def test_lightning_takes_the_right_number_of_batches_from_the_first_order(runs):
    again = [*WHOLE[:15], *batches(0)[:7], *batches(1)]
    assert cause_of(runs, rows(again)) == ("pass-order-restarted-after-resuming", 15)


def test_accelerate_draws_another_order_for_the_rest(runs):
    again = [*WHOLE[:15], *batches(1, 4, seed=9), *batches(2, seed=9)]
    assert cause_of(runs, rows(again)) == ("order-drawn-anew-after-resuming", 15)


def test_a_window_that_begins_again_makes_an_update_fewer(runs):
    def updates(counts):
        return [{**row, "updates": count} for row, count in zip(rows(WHOLE, k=4), counts, strict=True)]

    whole = updates([(i + 1) // 4 for i in range(33)])
    resumed = updates([(i + 1) // 4 if i < 18 else 4 + (i - 17) // 4 for i in range(33)])
    assert cause_of(runs, resumed, 18, whole) == ("window-lost-after-resuming", 19)


LOSSES = {
    "window-lost-after-resuming": (18, 4, lambda i: 2 / (1 + i) + 0.1 * (i >= 20), 20),
    "optimizer-state-lost-after-resuming": (16, 4, lambda i: 2 / (1 + i) + 0.1 * (i >= 20), 20),
    "random-state-lost-after-resuming": (16, 1, lambda i: 2 / (1 + i) * (1.3 if i >= 16 else 1), 16),
    "weights-not-restored-after-resuming": (16, 1, lambda i: 2 / (1 + i % 16), 16),
}


@pytest.mark.parametrize("name", LOSSES)
def test_of_equal_structure_the_first_loss_that_differs_says_what_was_lost(runs, name):
    at, k, loss, first = LOSSES[name]
    assert cause_of(runs, rows(WHOLE, k=k, loss=loss), at, rows(WHOLE, k=k)) == (name, first)


def test_a_schedule_that_begins_again(runs):
    def rate(i):
        return 0.1 * 0.9**i

    resumed = rows(WHOLE, lr=lambda i: rate(i % 16))
    assert cause_of(runs, resumed, 16, rows(WHOLE, lr=rate)) == ("schedule-restarted-after-resuming", 16)


def test_without_a_join_where_the_runs_differ_none_of_it_is_said(runs):
    whole = runs("whole", rows(WHOLE))
    lightning = [*WHOLE[:15], *batches(0)[:7], *batches(1)]
    accelerate = [*WHOLE[:15], *batches(1, 4, seed=9), *batches(2, seed=9)]
    for i, resumed in enumerate((lightning, accelerate)):
        for step in (None, 11, 20):
            path = runs(f"b{i}{step}", rows(resumed), step)
            for pair in ((whole, path), (path, whole)):
                comparison = xframe.compare(*pair)
                assert comparison.verdict == "failed"
                assert not [one for one in comparison.causes if one.name.endswith("after-resuming")]


def test_every_cause_that_shows_at_a_join_says_so_whichever_run_was_resumed(runs):
    slower = runs("c", rows(WHOLE, lr=lambda i: 0.1 if i < 15 else 0.05), 15)
    whole = runs("whole", rows(WHOLE))
    for pair in ((slower, whole), (whole, slower)):
        cause = xframe.compare(*pair).causes[0]
        assert cause.step == 15
        assert "step 15 is where" in cause.sentence


OTHERWISE = {
    "rounding": lambda i: 200 / (1 + i) * (1 + 2e-7 * 1.34**i),
    "long after the join": lambda i: 200 / (1 + i) + 0.1 * (i >= 30),
    "before the join": lambda i: 200 / (1 + i) + 0.1 * (i >= 10),
}


@pytest.mark.parametrize("how", OTHERWISE)
def test_what_does_not_begin_at_the_join_was_not_lost_there(runs, how):
    whole = runs("whole", rows(WHOLE, loss=lambda i: 200 / (1 + i)))
    resumed = runs("b", rows(WHOLE, loss=OTHERWISE[how]), 16)
    for pair in ((whole, resumed), (resumed, whole)):
        comparison = xframe.compare(*pair)
        assert comparison.verdict == "failed"
        assert not [one for one in comparison.causes if one.name.endswith("after-resuming")]


@pytest.mark.sweep
@pytest.mark.parametrize("name", RESUMED)
def test_a_fault_in_resuming_is_named(name, tmp_path):
    from xframe.running import registry
    from xframe.running.runtime import Runtime
    from xframe.tasks.lookup import find_task

    fault, adapter, task = BY_NAME[name], registry.load("numpy"), find_task("digits-mlp")
    runtime = Runtime(device="cpu", threads=1, loop=adapter.loops[0])
    known = {"num_samples": task.num_samples}
    with xframe.record(tmp_path / "whole.trace", **known) as rec:
        make(adapter, fault.against or Faulty).run(fault.plan, task, runtime, rec)
    with InTwo(tmp_path / "b.trace", fault.resumed, known) as rec:
        make(adapter, fault.build).run(fault.plan, task, runtime, rec)
    comparison = xframe.compare(tmp_path / "whole.trace", tmp_path / "b.trace")
    first = comparison.first_difference
    assert (first["check"], first["step"], comparison.causes[0].name) == (fault.check, fault.step, *fault.causes)
    assert "where b.trace goes on" in comparison.causes[0].sentence
