"""Runs of one plan, and scripts, that differ in the order of the samples: compared by ``--order coverage``."""

import itertools
import math

import numpy as np
import pytest
from following import PLAN, STRUCTURAL, WITH_PLAN, N, consistent, departs, results

import xframe


def reordered(seed):
    def change(rows):
        rng = np.random.default_rng(seed)
        for epoch in (0, 1):
            inside = [row for row in rows if row["epoch"] == epoch]
            mixed = np.split(rng.permutation(np.concatenate([row["ids"] for row in inside])), [4, 8])
            for row, ids in zip(inside, mixed, strict=True):
                row.update(ids=ids, loss=float(rng.random()))

    return change


@pytest.mark.parametrize("options", [{}, WITH_PLAN])
def test_coverage_of_other_orders(follow, options):
    traces = [follow(reordered(seed), **options) for seed in (1, 2)]
    comparison = consistent(xframe.compare(*traces, order="coverage"))
    assert (comparison.verdict, comparison.structure, comparison.numbers) == ("passed", "identical", "not judged")
    assert "drew the samples in different orders" in str(comparison)
    assert comparison.check("boundaries").rule.endswith("per pass")
    expected = {"lr": "pass", "loss": "not judged", "weights": "not judged"}  # a rate does not depend on the order
    assert expected.items() <= results(comparison).items()
    departs(xframe.compare(*traces), 0, "boundaries")


def test_coverage_of_the_same_order(follow):
    comparison = consistent(xframe.compare(follow(), follow(), order="coverage"))
    assert comparison
    assert comparison.numbers == "not judged"
    assert not any("different orders" in text for text in comparison.explanation)


@pytest.mark.parametrize("labels", ["both", "one", "none"])
def test_coverage_of_other_samples(follow, labels):
    def unlabelled(rows):
        for row in rows:
            row.pop("epoch")

    def replaced(rows):
        reordered(1)(rows)
        rows[4]["ids"][0] = rows[5]["ids"][0]
        if labels != "both":
            unlabelled(rows)

    reference = follow(unlabelled if labels == "none" else None)
    comparison = departs(xframe.compare(reference, follow(replaced), order="coverage"), 3, "boundaries")
    assert "1 sample differs" in comparison.check("boundaries").detail


@pytest.mark.parametrize("name", ["batch dropped", "last batch short", "update lost", "one step more"])
def test_coverage_of_other_structure(follow, name):
    change, step, check, *_ = STRUCTURAL[name]
    departs(xframe.compare(follow(reordered(1)), follow(change), order="coverage"), step, check)


@pytest.mark.parametrize("side", ["candidate", "reference"])
@pytest.mark.parametrize("steps", [1, 2, 4, 5])
def test_coverage_of_a_truncated_run(follow, side, steps):
    """Of a pass that was cut nobody knows which samples were to come."""

    def cut(rows):
        reordered(1)(rows)
        del rows[steps:]

    traces = [follow(), follow(cut, cut=True)]
    comparison = consistent(xframe.compare(*traces[:: 1 if side == "candidate" else -1], order="coverage"))
    assert (comparison.verdict, comparison.exit_code) == ("inconclusive", 4)


def test_coverage_across_passes(follow):
    """A sample that moved to another pass is a difference, though the whole run has the same samples."""

    def moved(rows):
        rows[0]["ids"][0], rows[3]["ids"][[*rows[3]["ids"]].index(other)] = other, rows[0]["ids"][0]

    rows = list(PLAN.each_step(N))
    other = next(i for i in rows[3].sample_ids.tolist() if i != rows[0].sample_ids[0])
    departs(xframe.compare(follow(), follow(moved), order="coverage"), 0, "boundaries")


def test_coverage_needs_ids(follow):
    comparison = consistent(xframe.compare(follow(), follow(reordered(1), ids=False), order="coverage"))
    assert (comparison.verdict, results(comparison)["boundaries"]) == ("inconclusive", "not judged")


# Scripts that shuffle on their own, recorded in three lines


@pytest.fixture
def script(tmp_path):
    """Records an order of samples in batches as a script would; labels and the size of the data set are extras."""
    number = itertools.count()

    def make(order, batch, *, epochs=None, num_samples=None, loss=1.0):
        path = tmp_path / f"script{next(number)}.trace"
        with xframe.record(path, num_samples=num_samples) as rec:
            for i, ids in enumerate(order):
                assert len(ids) <= batch
                label = None if epochs is None else epochs[i]
                rec.step(ids=ids, updates=i + 1, loss=loss, epoch=label)
        return xframe.Trace.open(path)

    return make


def cut(stream, batch, drop=False):
    batches = [stream[i : i + batch] for i in range(0, len(stream), batch)]
    return [b for b in batches if len(b) == batch] if drop else batches


def passes(seed, samples, batch, drop=False):
    random = np.random.default_rng(seed)
    return [b for _ in range(3) for b in cut(random.permutation(samples), batch, drop)]


@pytest.mark.parametrize("num_samples", [12, None])
@pytest.mark.parametrize("batch", [4, 5])
def test_passes_are_found_without_labels(script, batch, num_samples):
    """Where no epoch is labelled, a pass ends when all samples have been through; shuffling over passes is found."""
    one, other = (script(passes(seed, 12, batch), batch, num_samples=num_samples) for seed in (1, 2))
    assert xframe.compare(one, other, order="coverage").verdict == "passed"
    random = np.random.default_rng(3)
    stream = random.permutation(np.tile(np.arange(12), 3))
    mixed = [b for i in range(3) for b in cut(stream[12 * i : 12 * (i + 1)], batch)]
    departs(xframe.compare(one, script(mixed, batch, num_samples=num_samples), order="coverage"), 0, "boundaries")


def test_dropped_remainders_under_coverage(script):
    """Scripts that drop what is left drop different samples: fine if told the size, undecided if not."""
    epochs = [0, 0, 1, 1, 2, 2]
    for options, verdict, told in (
        ({"epochs": epochs, "num_samples": 13}, "passed", "left some samples out"),
        ({"epochs": epochs}, "inconclusive", "give num_samples="),
        ({"num_samples": 13}, "inconclusive", "give epoch="),
        ({}, "inconclusive", "give epoch="),
    ):
        traces = [script(passes(seed, 13, 5, drop=True), 5, **options) for seed in (1, 2)]
        comparison = xframe.compare(*traces, order="coverage")
        assert (comparison.verdict, told in comparison.check("boundaries").detail) == (verdict, True), options


def test_coverage_says_when_a_loss_is_no_number(script):
    traces = [script(passes(seed, 12, 4), 4, loss=loss) for seed, loss in ((1, 1.0), (2, math.nan))]
    assert any("the loss is nan at step 0" in text for text in xframe.compare(*traces, order="coverage").explanation)
