"""Samples identified by their content: the same ids for the same content, in exact bits or up to rounding."""

import numpy as np
import pytest

import xframe
from xframe.cli.app import execute
from xframe.comparison import identity
from xframe.comparison.pairing import Run
from xframe.errors import UsageError
from xframe.recording.identity import prints
from xframe.trace.rows import Rows

N, BATCH, EPOCHS = 60, 8, 3
X = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32)
LOSS = 1 / np.arange(1, 100)


@pytest.fixture
def record(tmp_path):
    """Records passes over the data in these orders, with ids or without."""

    def record(name, features=X, orders=None, *, ids=True, prints_too=True, settings=None, targets=None):
        orders = [np.random.default_rng(p).permutation(N) for p in range(EPOCHS)] if orders is None else orders
        batches = [order[i : i + BATCH] for order in orders for i in range(0, len(order), BATCH)]
        with xframe.record(tmp_path / f"{name}.trace") as rec:
            if settings:
                rec.settings(settings)
            for k, batch in enumerate(batches):
                given = {"ids": batch} if ids else {}
                also = {"features": prints(features[batch])} if prints_too else {}
                also |= {} if targets is None else {"targets": prints(targets[batch])}
                labels = {"epoch": [k // (len(batches) // len(orders))]}
                rec.block(
                    **given, batch_sizes=[len(batch)], updates=[k + 1], loss=[LOSS[k]], lr=[0.1], also=also, **labels
                )
        return xframe.Trace.open(tmp_path / f"{name}.trace")

    return record


def _ids(*runs, by=None):
    runs, said = identity.identified([Run(str(i), Rows.of_trace(t), t.facts, t) for i, t in enumerate(runs)], by)
    return [run.rows.column("ids").values for run in runs], said


def test_runs_with_indices_are_compared_by_them(record):
    a = record("a")
    (own, other), said = _ids(a, record("b", X + 1))
    assert np.array_equal(own, a.column("ids"))
    assert np.array_equal(own, other)
    assert not said


def test_a_run_without_indices_gets_those_of_the_other_by_content(record):
    a = record("a")
    comparison = xframe.compare(a, record("b", ids=False))
    assert comparison
    assert comparison.check("boundaries").result == "pass"
    assert "60 contents" in comparison.explanation[0]
    (own, other), _ = _ids(a, record("c", ids=False))
    assert np.array_equal(own, other)
    assert np.array_equal(own, a.column("ids"))


@pytest.mark.parametrize("factor", [1 + 2e-7, 1 - 3e-6])
def test_contents_that_rounding_moved_are_one_unless_exact_ones_are_asked_for(record, factor):
    a, b = record("a", ids=False), record("b", X * np.float32(factor), ids=False)
    comparison = xframe.compare(a, b)
    assert comparison
    assert "agree only up to rounding" in comparison.explanation[0]
    exact = xframe.compare(a, b, identity="exact", order="exact")
    assert (exact.verdict, exact.first_difference["step"]) == ("failed", 0)


def test_contents_that_differ_by_more_are_others(record):
    other = X.copy()
    other[7] += 0.01
    comparison = xframe.compare(record("a", ids=False), record("b", other, ids=False))
    assert comparison.check("boundaries").result == "fail"
    assert "1 of 8 samples differ" in comparison.check("boundaries").detail


def test_scaled_features_are_matched_and_said_to_be(record):
    comparison = xframe.compare(record("a", ids=False), record("b", X * 16 + 3, ids=False))
    assert comparison.check("boundaries").result == "pass"
    assert "16 x a's, shifted by a constant" in comparison.check("features").detail


@pytest.mark.parametrize("listed", [True, False])
def test_features_augmented_otherwise_are_no_other_samples_where_targets_come_in_order(tmp_path, listed):
    labels, rng = np.random.default_rng(1).integers(10, size=N), np.random.default_rng(2)
    for name in ("a", "b"):
        with xframe.record(tmp_path / f"{name}.trace") as rec:
            rec.settings({"loader.workers": 4 if name == "b" else 0})
            for k in range(N // BATCH):
                batch = np.arange(BATCH * k, BATCH * (k + 1))
                also = {"features": prints(X[batch] + rng.normal(size=(BATCH, 6))), "targets": prints(labels[batch])}
                given = {"ids": batch} if listed and name == "b" else {}
                rec.block(**given, batch_sizes=[BATCH], updates=[k + 1], loss=[rng.random()], also=also)
    comparison = xframe.compare(tmp_path / "a.trace", tmp_path / "b.trace")
    assert (comparison.first_difference["step"], comparison.first_difference["check"]) == (0, "features")
    assert comparison.check("boundaries").result == "not judged"
    assert comparison.causes[0].name == "same-draws-in-workers"
    assert "compared by their places" in comparison.explanation[0]


def test_samples_of_equal_content_share_an_identity_and_are_counted(record):
    twice = X.copy()
    twice[[5, 9]] = twice[3]
    comparison = xframe.compare(record("a", twice), record("b", twice, ids=False))
    assert comparison
    assert any("a: 2 samples equal other ones, and share their identity" in text for text in comparison.explanation)


def test_content_without_prints_is_refused(record):
    with pytest.raises(UsageError, match="identified by content"):
        xframe.compare(record("a"), record("b", prints_too=False), identity="close")


def test_scripts_without_a_common_order_are_compared_by_coverage_and_told_so(record):
    settings = {"loader.shuffle": True}
    other = [np.random.default_rng(10 + p).permutation(N) for p in range(EPOCHS)]
    a, b = record("a", settings=settings), record("b", orders=other, settings=settings)
    comparison = xframe.compare(a, b)
    assert (comparison.verdict, comparison.exit_code, comparison.order) == ("inconclusive", 4, "coverage")
    assert comparison.by_run["b"]["verdict"] == "inconclusive"
    assert any("--order coverage accepts that" in text for text in comparison.explanation)
    assert xframe.compare(a, b, order="coverage").verdict == "passed"
    assert xframe.compare(a, b, order="exact").verdict == "failed"
    assert xframe.compare(a, record("c", orders=other)).order == "exact"  # recorded by hand: the order was meant


def test_orders_of_contents_are_compared_by_coverage_too(record):
    other = [np.random.default_rng(10 + p).permutation(N) for p in range(EPOCHS)]
    comparison = xframe.compare(record("a", ids=False), record("b", X / 255, other, ids=False))
    assert (comparison.verdict, comparison.order) == ("failed", "exact")  # nothing in common, not even by a scale
    assert any("hardly any content is in both" in text for text in comparison.explanation)
    comparison = xframe.compare(record("c", ids=False), record("d", orders=other, ids=False))
    assert (comparison.verdict, comparison.order) == ("inconclusive", "coverage")
    assert comparison.check("features").result == "pass"


def test_so_are_scripts_one_of_which_keeps_its_order_and_its_short_batch(record):
    settings = {"loader.shuffle": True}
    kept = [np.random.default_rng(0).permutation(N)] * EPOCHS
    drawn = [np.random.default_rng(10 + p).permutation(N)[: N - N % BATCH] for p in range(EPOCHS)]
    a, b = record("a", orders=kept, settings=settings), record("b", orders=drawn, settings=settings)
    comparison = xframe.compare(a, b)
    assert (comparison.order, comparison.first_difference["step"]) == ("coverage", N // BATCH)
    assert [cause.name for cause in comparison.causes] == ["short-batch-dropped"]
    exact = xframe.compare(a, b, order="exact")
    assert exact.first_difference["step"] == 0
    assert exact.causes[0].name != "reshuffled"


@pytest.mark.parametrize("ids", [True, False])
def test_in_any_order_each_sample_has_the_target_that_the_other_run_has(record, ids):
    other = [np.random.default_rng(10 + p).permutation(N) for p in range(EPOCHS)]
    labels = np.random.default_rng(1).integers(10, size=N)
    swapped = labels.copy()
    swapped[[3, 8]] = 10 - swapped[[3, 8]] + (swapped[[3, 8]] == 5)
    given = {"ids": ids, "settings": {"loader.shuffle": True}}
    a = record("a", targets=labels, **given)
    found = {}
    one_hot = np.eye(10, dtype=np.float32)[labels]
    for name, targets in {"b": labels, "c": swapped, "d": one_hot, "e": labels[::-1]}.items():
        comparison = xframe.compare(a, record(name, orders=other, targets=targets, **given))
        found[name] = comparison.verdict, comparison.check("targets").result
        assert comparison.check("features").result == "pass"
        if name == "c":
            assert comparison.check("targets").detail == "2 of 60 samples have other targets in c than in a"
    assert found == {
        "b": ("inconclusive", "pass"),
        "c": ("failed", "fail"),
        "d": ("inconclusive", "not judged"),
        "e": ("failed", "fail"),
    }


def test_the_command_line_asks_for_an_identity(record, capsys):
    paths = [str(record("a").path), str(record("b", X * np.float32(1 + 2e-7)).path)]
    assert [execute(["compare", *paths, "--identity", kind]) for kind in ("index", "close", "exact")] == [0, 0, 1]
    assert "identified by their content (exactly)" in capsys.readouterr().out


def test_scripts_that_train_on_other_samples_are_not_excused(record):
    settings = {"loader.shuffle": True}
    half = [np.random.default_rng(10 + p).permutation(N // 2).repeat(2) for p in range(EPOCHS)]
    comparison = xframe.compare(record("a", settings=settings), record("b", orders=half, settings=settings))
    assert comparison.verdict == "failed"


def test_an_order_that_parts_later_is_compared_step_by_step(record):
    settings = {"loader.shuffle": True}
    orders = [np.random.default_rng(p).permutation(N) for p in (0, 1, 7)]
    comparison = xframe.compare(record("a", settings=settings), record("b", orders=orders, settings=settings))
    assert (comparison.order, comparison.first_difference["step"]) == ("exact", 16)


def test_the_nearest_of_many_contents_is_found():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(20_000, 4))
    own = known[::-1] * (1 + 1e-6 * rng.uniform(-1, 1, size=(20_000, 4)))
    assert np.array_equal(identity._nearest(known, own), np.arange(20_000)[::-1])
    assert (identity._nearest(known, rng.normal(size=(20_000, 4))) == -1).all()


def test_indices_that_count_positions_in_a_copy_give_way_to_content(record, tmp_path):
    """One script permutes the data anew in each epoch and goes through the copy from its begin."""
    orders = [np.random.default_rng(p).permutation(N) for p in range(EPOCHS)]
    with xframe.record(tmp_path / "copies.trace") as rec:
        for k, (epoch, start) in enumerate((e, i) for e in range(EPOCHS) for i in range(0, N, BATCH)):
            own = np.arange(N)[start : start + BATCH]
            also = {"features": prints(X[orders[epoch][own]])}
            given = {"updates": [k + 1], "loss": [LOSS[k]], "lr": [0.1], "epoch": [epoch], "also": also}
            rec.block(ids=own, batch_sizes=[len(own)], **given)
    comparison = xframe.compare(record("a"), xframe.Trace.open(tmp_path / "copies.trace"))
    assert comparison, comparison
    assert comparison.check("boundaries").result == "pass"
    assert "positions of their own" in comparison.explanation[0]


def test_the_same_indices_of_other_data_are_no_order_of_its_own(record):
    """Both draw the same indices in every step, and other rows lie behind them."""
    other = X[np.random.default_rng(9).permutation(N)]
    comparison = xframe.compare(record("a"), record("b", other))
    said = " ".join(comparison.explanation)
    assert "the same indices hold other data in a and in b" in said
    assert "orders of their own" not in said
    elsewhere = [np.random.default_rng(p + 50).permutation(N) for p in range(EPOCHS)]
    assert "orders of their own" in " ".join(xframe.compare(record("c"), record("d", other, elsewhere)).explanation)
