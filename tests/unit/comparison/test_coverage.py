"""Scripts that shuffled on their own: what doesn't depend on the order is judged, and nothing else."""

import itertools

import numpy as np
import pytest

import xframe
from xframe.comparison import drawn
from xframe.report.markdown import markdown
from xframe.report.page.rendering import comparison_page
from xframe.report.text import text

N, BATCH, PASSES = 100, 16, 4


@pytest.fixture
def script(tmp_path):
    """Records batches of ids as a script would, ``num_samples`` stated; ``labels`` are its epochs."""
    number = itertools.count()

    def make(batches, *, labels=None, num_samples=N, rates=None, padding=None, error=None, loss=None):
        path = tmp_path / f"run{next(number)}.trace"
        try:
            with xframe.record(path, num_samples=num_samples) as rec:
                for i, ids in enumerate(batches):
                    rec.step(
                        ids=ids,
                        updates=i + 1,
                        loss=1.0 / (i + 1) if loss is None else loss(i),
                        lr=0.1 if rates is None else rates[i],
                        epoch=None if labels is None else labels[i],
                        padding=None if padding is None else padding[i],
                    )
                if error is not None:
                    raise error
        except RuntimeError:
            pass
        return xframe.Trace.open(path)

    return make


def orders(seed, samples=N, passes=PASSES):
    draw = np.random.default_rng(seed)
    return [draw.permutation(samples) for _ in range(passes)]


def batches(passes, *, remainder="keep", batch=BATCH):
    """The batches of these passes, and their labels."""
    made = []
    for epoch, order in enumerate(passes):
        if remainder == "drop":
            order = order[: len(order) // batch * batch]
        if remainder == "pad":
            order = np.concatenate([order, order[: -len(order) % batch]])
        made += [(order[i : i + batch], epoch) for i in range(0, len(order), batch)]
    return [ids for ids, _ in made], [epoch for _, epoch in made]


def compare(*traces):
    return xframe.compare(*traces, order="coverage")


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("remainder", ["keep", "drop", "pad"])
@pytest.mark.parametrize("seed", range(8))
def test_faithful_shuffles_never_fail(script, remainder, labelled, seed):
    pair = [batches(orders(100 * seed + i), remainder=remainder) for i in (1, 2)]
    comparison = compare(*[script(made, labels=labels if labelled else None) for made, labels in pair])
    assert comparison.verdict == "passed"


@pytest.mark.parametrize("stated", [N, None])
def test_what_is_dropped_without_labels_is_judged(script, stated):
    """Whole batches of all samples ever drawn, none twice in a pass: chance gives that of no other passes."""

    def run(passes):
        return script(batches(passes, remainder="drop")[0], num_samples=stated)

    assert compare(run(orders(1)), run(orders(2)))
    replaced = [np.random.default_rng(index).integers(N, size=N) for index in range(PASSES)]
    assert compare(run(orders(1)), run(replaced)).verdict != "passed"
    part = [np.random.default_rng(index).permutation(np.arange(3, N)) for index in range(8)]
    comparison = compare(run(orders(1, passes=8)), run(part))
    assert comparison.verdict == "failed"
    assert "3 of 100 are never seen" in comparison.check("boundaries").detail


def test_in_small_data_what_is_dropped_is_not_guessed(script):
    pair = [script(batches(orders(seed, samples=7), remainder="drop", batch=3)[0], num_samples=7) for seed in (1, 2)]
    assert compare(*pair).verdict == "inconclusive"


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("side", [1, -1])
def test_a_part_of_the_samples_is_not_all_of_them(script, labelled, side):
    """A script that draws from 64 of 100 samples drops as many as one that is cut short, and always the same."""
    whole = [order[:64] for order in orders(1, passes=8)]
    part = orders(2, samples=64, passes=8)
    pair = [script(made, labels=labels if labelled else None) for made, labels in map(batches, (whole, part))]
    comparison = compare(*pair[::side])
    assert comparison.verdict == "failed"
    assert comparison.first_difference["check"] == "boundaries"
    assert comparison.first_difference["step"] == 4  # the second pass has no sample that the first lacked
    assert "36 of 100 are never seen" in comparison.check("boundaries").detail
    assert f"{pair[1].path.stem} goes on" in comparison.check("boundaries").detail


def test_one_script_that_states_the_number_of_samples_is_enough(script):
    pair = [batches(order, remainder="drop") for order in (orders(1), orders(2))]
    stated = [script(made, labels=labels, num_samples=n) for (made, labels), n in zip(pair, (N, None), strict=True)]
    assert compare(*stated)
    assert compare(*stated[::-1])


@pytest.mark.parametrize("passes", [1, 2, 3, 9])
def test_what_chance_leaves_out_is_no_part(script, passes):
    pair = [batches([order[:64] for order in orders(seed, passes=passes)]) for seed in (1, 2)]
    comparison = compare(*[script(made, labels=labels) for made, labels in pair])
    assert comparison
    assert "no more over the run than by chance" in comparison.check("boundaries").detail


def test_a_remainder_always_dropped_from_one_order_is_no_part(script):
    """Each keeps one order, so that each leaves out the same few; which these are is up to its order."""
    pair = [batches(orders(seed, passes=1) * 9, remainder="drop") for seed in (1, 2)]
    comparison = compare(*[script(made, labels=labels) for made, labels in pair])
    assert comparison
    assert "the same samples out of all passes" in comparison.check("boundaries").detail
    assert "by chance" not in comparison.check("boundaries").detail


def test_two_parts_of_the_samples_are_not_the_same(script):
    pair = [batches([part + order for order in orders(part, samples=64, passes=5)]) for part in (0, 36)]
    comparison = compare(*[script(made, labels=labels) for made, labels in pair])
    assert comparison.first_difference["check"] == "boundaries"
    assert comparison.verdict == "failed"


def test_the_same_part_in_both_is_the_same(script):
    pair = [batches(orders(seed, samples=64)) for seed in (1, 2)]
    assert compare(*[script(made, labels=labels) for made, labels in pair])


@pytest.mark.parametrize("declared", [True, False])
def test_padding_is_distinguished_from_samples(script, declared):
    """The rows that fill up a pass's last batch are no samples of it, declared or not."""
    made, labels = batches(orders(1), remainder="pad")
    padding = [12 if len(labels) == i + 1 or labels[i + 1] != epoch else 0 for i, epoch in enumerate(labels)]
    reference = script(made, labels=labels, padding=padding if declared else None)
    made, labels = batches(orders(2), remainder="pad")
    assert compare(reference, script(made, labels=labels))
    made[6] = np.concatenate([made[6][:3], made[6][:1], made[6][4:]])  # a sample twice instead of another
    comparison = compare(reference, script(made, labels=labels))
    assert (comparison.first_difference["check"], comparison.first_difference["step"]) == ("boundaries", 0)
    assert "1 sample differs" in comparison.check("boundaries").detail


def test_a_stream_is_cut_where_all_samples_were_drawn(script):
    """Passes that end inside batches are passes all the same; labels of a fixed number of steps are none."""
    pair = [np.concatenate(orders(seed)) for seed in (1, 2)]
    made = [[stream[i : i + BATCH] for i in range(0, len(stream), BATCH)] for stream in pair]
    labels = [i // 5 for i in range(25)]  # 80 samples
    for options in ({}, {"labels": labels}):
        assert compare(*[script(one, **options) for one in made])
        wrong = [*made[1][:9], made[1][9][::-1] // 2, *made[1][10:]]
        assert compare(script(made[0], **options), script(wrong, **options)).first_difference["step"] in (0, 6)


OTHER_ORDERS = "drew the samples in different orders"


def test_orders_are_said_to_differ_where_the_samples_are_known_to_be_the_same(script):
    faithful, random = batches(orders(1)), np.random.default_rng(3)
    others = {
        "a subset": batches(orders(2, samples=N - 10)),
        "other samples": batches([np.append(order[order != 37], 38) for order in orders(2)]),
    }
    for made, labels in others.values():
        assert OTHER_ORDERS not in " ".join(compare(script(*faithful[:1]), script(made, labels=labels)).explanation)
    drawn = [batches([random.integers(N, size=N) for _ in range(PASSES)])[0] for _ in range(2)]
    assert OTHER_ORDERS not in " ".join(compare(*map(script, drawn)).explanation)
    said = " ".join(compare(*map(script, drawn)).explanation)
    assert "drew different samples, or the same in different orders" in said


def test_what_chance_leaves_out_is_a_plain_number(script):
    """Two fixed halves."""
    half = [np.random.default_rng(seed).permutation(2 * N)[:N] for seed in (1, 2)]
    pair = [batches([np.random.default_rng(i).permutation(one) for i in range(2)]) for one in half]
    made = [script(ids, labels=labels, num_samples=2 * N) for ids, labels in pair]
    assert "where chance leaves out about 50" in compare(*made).check("boundaries").detail


def oversampled(seed, twice):
    """Some samples twice in each pass."""
    draw = np.random.default_rng(seed)
    return batches([draw.permutation(np.concatenate([np.arange(N), twice])) for _ in range(PASSES)])


def test_epochs_that_oversample_are_passes(script):
    """What the labels of both runs delimit, where these draw the same samples, each as often."""
    pair = [oversampled(seed, np.arange(20)) for seed in (1, 2)]
    assert compare(*[script(made, labels=labels) for made, labels in pair])
    other = oversampled(2, np.arange(20, 40))
    comparison = compare(script(pair[0][0], labels=pair[0][1]), script(other[0], labels=other[1]))
    assert comparison.first_difference["step"] == 0
    assert "20 samples differ" in comparison.check("boundaries").detail


def test_epochs_of_more_and_more_samples_are_passes(script):
    """A curriculum."""
    sizes = (40, 70, N)

    def growing(seed, *, begin=0):
        return batches([begin + np.random.default_rng([seed, size]).permutation(size) for size in sizes])

    pair = [growing(seed) for seed in (1, 2)]
    assert compare(*[script(made, labels=labels) for made, labels in pair])
    drawn = [batches([np.random.default_rng([seed, n]).permutation(N)[:n] for n in sizes]) for seed in (1, 2)]
    comparison = compare(*[script(made, labels=labels) for made, labels in drawn])
    assert comparison.verdict == "inconclusive"
    assert "give" not in comparison.check("boundaries").detail  # labels and size are there


def test_two_samplers_with_replacement_are_not_judged(script):
    draw = np.random.default_rng(1)
    pair = [batches([draw.integers(N, size=N) for _ in range(PASSES)]) for _ in range(2)]
    comparison = compare(*[script(made, labels=labels) for made, labels in pair])
    assert comparison.verdict == "inconclusive"
    assert "draw samples twice in a pass" in comparison.check("boundaries").detail
    made, labels = batches(orders(1))
    assert compare(script(made, labels=labels), script(pair[0][0], labels=labels)).verdict == "failed"


STORED, ONE = "goes through the samples in their stored order", "has the same order in each pass"


@pytest.mark.parametrize("with_plan", [True, False])
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("forgotten", [STORED, ONE])
def test_a_forgotten_shuffle_is_named(script, forgotten, side, with_plan):
    again = batches([np.arange(N)] * PASSES if forgotten == STORED else orders(3, passes=1) * PASSES)
    pair = [script(made, labels=labels) for made, labels in (batches(orders(1)), again)]
    plan = xframe.TrainingPlan(batch_size=BATCH, epochs=PASSES) if with_plan else None
    comparison = xframe.compare(*pair[::side], order="coverage", plan=plan)
    assert comparison  # the samples are the same
    said = " ".join(comparison.explanation)
    assert f"run1 {forgotten}" in said
    assert "run0 shuffles again for each pass" in said
    assert f"run1 {forgotten}" in text(comparison)


def test_orders_of_one_kind_are_not_named(script):
    stored = batches([np.arange(N)] * PASSES)
    for made in ([batches(orders(seed)) for seed in (1, 2)], [stored, stored]):
        comparison = compare(*[script(one, labels=labels) for one, labels in made])
        assert not any("stored order" in note or "each pass" in note for note in comparison.explanation)


def test_rates_are_judged_in_any_order(script):
    (made, labels), (others, _) = batches(orders(1)), batches(orders(2))
    high, low = np.linspace(2e-3, 1.3e-3, len(made)), np.linspace(2e-3, 5e-5, len(made))
    comparison = compare(script(made, labels=labels, rates=high), script(others, labels=labels, rates=low))
    assert (comparison.verdict, comparison.structure, comparison.numbers) == ("failed", "identical", "different")
    assert (comparison.first_difference["check"], comparison.first_difference["step"]) == ("lr", 1)
    for report in (text(comparison), markdown(comparison)):
        assert "structure only: identical, learning rate different" in report


def test_the_verdict_says_structure_only(script):
    (made, labels), (others, _) = batches(orders(1)), batches(orders(2))
    pair = script(made, labels=labels), script(others, labels=labels)
    comparison = compare(*pair)
    assert comparison
    assert comparison.to_dict()["structure_only"]
    assert "structure only" in str(comparison)
    for report in (text(comparison), markdown(comparison)):
        assert "no matter of order" not in report
        assert "PASSED  structure only: identical; losses and weights not judged" in report
        assert "depends on the order of the samples" in report
    assert markdown(comparison).startswith("# PASSED, structure only: ")
    assert f"Each run: {PASSES} epochs." in markdown(comparison)
    assert "</span>, structure only</h1>" in comparison_page(comparison)
    exact = xframe.compare(*pair)
    assert not exact.to_dict()["structure_only"]
    assert "structure only" not in text(exact) + markdown(exact) + str(exact)


@pytest.mark.parametrize("end", [8.0, float("nan")])
def test_losses_that_end_far_apart_are_said_though_none_is_judged(script, end):
    (made, labels), (others, _) = batches(orders(1)), batches(orders(2))
    pair = script(made, labels=labels), script(others, labels=labels, loss=lambda i: end)
    comparison = compare(*pair)
    assert comparison, "the verdict is of the structure"
    assert f"losses end at 0.04 and {end:.2g} (run0 and run1): no matter of order" in text(comparison)


@pytest.mark.parametrize("remainder", ["keep", "drop", "pad"])
@pytest.mark.parametrize("fault", [None, "subset", "twice", "other", "stored"])
def test_in_pieces_as_in_one(script, remainder, fault, monkeypatch):
    """However few samples are looked at together, the judgement is the same; no more than a pass is read at once."""
    drawn_by = [orders(1, passes=9), orders(2, passes=9)]
    if fault == "subset":
        drawn_by[1] = orders(2, samples=64, passes=9)
    elif fault == "stored":
        drawn_by[1] = [np.arange(N)] * 9
    elif fault is not None:
        drawn_by[1][6][-1] = 50 if fault == "twice" else N
    pair = [script(batches(order, remainder=remainder)[0]) for order in drawn_by]
    whole, read = compare(*pair), []
    rows = drawn.Drawn.rows
    monkeypatch.setattr(drawn, "_PIECE", 1)
    monkeypatch.setattr(drawn.Drawn, "rows", lambda side, a, b: read.append(b - a) or rows(side, a, b))
    in_pieces = compare(*pair)
    assert in_pieces.to_dict() == whole.to_dict()
    assert max(read, default=N) <= N + BATCH


def test_numbers_far_apart_are_told_apart(script):
    """Ids that are no small numbers, as fingerprints are none, are compared all the same."""
    far = 2**62 // 3
    pair = [script(batches([order * far % (2**63 - 25) for order in orders(seed)])[0]) for seed in (1, 2)]
    assert compare(*pair).check("boundaries").result == "pass"


@pytest.mark.parametrize("many", [[0, 9, 0, 0, 0, 0], [9, 0] * 3, [0, 0, 0, 0, 2**62, 0]])
def test_more_padding_than_a_batch_has_is_all_of_it(tmp_path, many):
    traces = []
    for name, ids in (("a", [0, 1, 2, 3]), ("b", [3, 2, 1, 0])):
        with xframe.record(tmp_path / f"{name}.trace", num_samples=4) as rec:
            rec.block(ids=ids * 3, batch_sizes=[2] * 6, updates=range(1, 7), epoch=[0, 0, 1, 1, 2, 2], padding=many)
        traces.append(xframe.Trace.open(tmp_path / f"{name}.trace"))
    assert xframe.compare(*traces, order="coverage").structure in ("identical", "different", "not judged")
