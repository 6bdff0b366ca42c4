"""Records that average or lag are read as what they are, and hide nothing beside them.

Sixty steps of ten samples, the last of each epoch of four; losses vary, and rates fall along a cosine.
"""

import numpy as np
import pytest

import xframe

STEPS, IN_EPOCH, N = 60, 20, 194
PLAN = xframe.TrainingPlan(batch_size=10, epochs=3)
SIZES = np.tile([10] * 19 + [4], 3)
LOSS = 2 * np.exp(-np.arange(STEPS) / 40) * (1 + 0.1 * np.sin(1.7 * np.arange(STEPS)))
RATE = 0.05 * (1 + np.cos(np.pi * np.arange(STEPS) / STEPS))
UPDATES = np.arange(STEPS) + 1
EPOCH = np.arange(STEPS) // IN_EPOCH


def averaged(losses, weights=None, begins=EPOCH, kind=np.float32):
    """The mean so far since each beginning."""
    means, weights = np.empty(STEPS), np.ones(STEPS) if weights is None else weights
    for at in range(STEPS):
        since = (begins == begins[at]) & (np.arange(STEPS) <= at)
        means[at] = kind(np.average(losses[since], weights=weights[since]))
    return means


def late(values, first):
    return np.concatenate([[first], values[:-1]])


@pytest.fixture
def compared(tmp_path):
    def run(
        name, *, loss=LOSS, lr=RATE, updates=UPDATES, epoch=EPOCH, weights=None, plan=None, accuracy=None, settings=None
    ):
        with xframe.record(tmp_path / f"{name}.trace", num_samples=N, plan=plan) as rec:
            rec.settings(settings or {})
            for i, step in enumerate(PLAN.each_step(N)):
                labels = {} if epoch is None else {"epoch": int(epoch[i])}
                known = {"loss": loss[i], "lr": lr[i], "updates": int(updates[i])}
                known["accuracy"] = None if accuracy is None else accuracy[i]
                rec.step(ids=step.sample_ids, **{k: v for k, v in known.items() if v is not None}, **labels)
            if weights is not None:
                rec.weights({"w": np.full(3, weights)})
        return tmp_path / f"{name}.trace"

    def compared(reference, candidate, **options):
        a, b = run("a", **reference), run("b", **candidate)
        comparison = xframe.compare(a, b, **options)
        for path in (a, b):
            path.unlink()
            path.with_suffix(".weights.safetensors").unlink(missing_ok=True)
        return comparison

    return compared


RIGHT = (np.arange(STEPS) * 7 % (SIZES + 1)) / SIZES  # of each batch, the share predicted rightly
NEARLY = LOSS * (1 + 2e-7 * np.cos(np.arange(STEPS)))  # the same training, with its rounding
RECORDS = {
    "the mean since the epoch began, by samples": {"loss": averaged(NEARLY, SIZES)},
    "the mean since the epoch began, by batches": {"loss": averaged(NEARLY)},
    "a mean in Python floats": {"loss": averaged(NEARLY, kind=float)},
    "the mean since the start": {"loss": averaged(NEARLY, begins=EPOCH * 0)},
    "a mean over passes that no label shows": {"loss": averaged(NEARLY, SIZES), "epoch": None},
    "each loss a step late": {"loss": late(NEARLY, None)},
    "each loss a step late, the first a zero": {"loss": late(NEARLY, 0.0)},
    "each loss a step early": {"loss": np.append(NEARLY[1:], 0.3)},
    "the rate after the update": {"lr": np.append(RATE[1:], 0.0), "loss": NEARLY},
    "the rate of the step before": {"lr": late(RATE, 0.1), "loss": NEARLY},
    "updates before the optimizer stepped": {"updates": UPDATES - 1, "loss": NEARLY},
    "updates before, the rate after, and a mean": {
        "updates": UPDATES - 1,
        "lr": np.append(RATE[1:], 0.0),
        "loss": averaged(NEARLY, SIZES),
    },
}


@pytest.mark.parametrize("planned", [False, True])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("record", RECORDS)
def test_a_record_that_averages_or_lags_passes_and_is_named(compared, record, side, planned):
    sides = [{"weights": 1.0}, {"weights": 1.0}]
    sides[side] |= RECORDS[record]
    options = {"plan": PLAN, "num_samples": N} if planned else {}
    comparison = compared(*sides, **options)
    assert comparison.verdict == "passed", comparison
    assert not comparison.causes
    for column in RECORDS[record].keys() - {"epoch"}:
        if column != "loss" or RECORDS[record][column] is not NEARLY:
            detail = comparison.check(column).detail
            names = f"{'ab'[side]} records the mean", f"{'ab'[side]} counts", "one step earlier", "one step later"
            assert any(name in detail for name in names)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("loss", [NEARLY, averaged(NEARLY, SIZES)])
@pytest.mark.parametrize("weights", [None, SIZES])
def test_a_mean_of_accuracies_is_read_as_one(compared, weights, loss, side):
    sides = [{"accuracy": RIGHT}, {"accuracy": RIGHT}]
    sides[side] = {"accuracy": averaged(RIGHT, weights), "loss": loss}
    comparison = compared(*sides)
    assert comparison.verdict == "passed", comparison
    means = f"{'ab'[side]} records the mean of the accuracies since the epoch began"
    assert means in comparison.check("loss").detail


def test_an_accuracy_that_differs_beside_its_mean_fails_at_its_step_and_shows_in_the_table(compared):
    wrong = RIGHT.copy()
    wrong[33] = abs(wrong[33] - 0.5)
    for options in ({"accuracy": wrong}, {"accuracy": averaged(wrong, SIZES), "loss": averaged(NEARLY, SIZES)}):
        comparison = compared({"accuracy": RIGHT}, options)
        check = comparison.check("loss")
        assert (check.result, check.first, check.worst_of, check.worst_at) == ("fail", 33, "accuracy", 33)
        assert check.worst == pytest.approx(0.5, abs=1e-4)
        assert "accuracy max abs 0.5 @33" in str(comparison)
        assert comparison.first_difference["reference"]["accuracy"] == pytest.approx(RIGHT[33])


def test_by_how_much_more_means_may_differ_is_in_the_rule(compared):
    comparison = compared({}, {"loss": averaged(LOSS, SIZES)}, rtol=0, atol=0)
    check = comparison.check("loss")
    assert check.result == "pass"
    assert check.rule.startswith("rtol 0, atol 0; means + ")
    assert check.worst <= float(check.rule.rpartition(" ")[2])
    assert check.rule in str(comparison)


def mistaken(at, by=5e-3):
    return NEARLY + by * (np.arange(STEPS) >= at)


@pytest.mark.parametrize("at", [8, 33])
@pytest.mark.parametrize(
    "record",
    [
        lambda losses: {"loss": averaged(losses, SIZES)},
        lambda losses: {"loss": averaged(losses)},
        lambda losses: {"loss": late(losses, None)},
    ],
)
def test_a_mistake_beside_it_fails_at_its_step(compared, record, at):
    for sides in (({}, record(mistaken(at))), (record(mistaken(at)), {})):
        comparison = compared(*sides)
        assert (comparison.first_difference["check"], comparison.first_difference["step"]) == ("loss", at)
        assert "records" in comparison.check("loss").detail


def each(k, values, offset=0):
    return [value if i % k == offset else None for i, value in enumerate(values)]


def moving(losses, keep=0.9, unbiased=False):
    """The exponential moving average, which starts with the first loss, or at 0 with its bias corrected."""
    averages, average = [], 0.0 if unbiased else losses[0]
    for i, loss in enumerate(losses):
        average = keep * average + (1 - keep) * loss
        averages.append(float(average / (1 - keep ** (i + 1)) if unbiased else average))
    return averages


def since_the_last(losses, ends):
    means, start = [None] * STEPS, 0
    for i in np.flatnonzero(ends):
        means[i], start = float(np.mean(losses[start : i + 1])), i + 1
    return means


SPARSE = {
    "the mean since the epoch began, every 5": (lambda x: each(5, averaged(x)), "since the epoch began", 4),
    "the same by samples, every 4": (lambda x: each(4, averaged(x, SIZES), 3), "since the epoch began, by samples", 3),
    "the mean of the last 10": (
        lambda x: since_the_last(x, np.arange(STEPS) % 10 == 9),
        "since the last one recorded, by batches",
        9,
    ),
    "the mean of each window of 3": (
        lambda x: since_the_last(x, np.arange(STEPS) % IN_EPOCH % 3 == 1),
        "since the last one recorded, by batches",
        2,
    ),
    "a moving average": (moving, "an exponential moving average of the losses, of which 0.9", 0),
    "a moving average, unbiased": (
        lambda x: moving(x, 0.98, True),
        "an exponential moving average of the losses, of which 0.98",
        0,
    ),
    "two decimals": (lambda x: np.round(x, 2), "has 2 decimals of each loss", 0),
    "four digits": (lambda x: [float(f"{value / 100:.3e}") * 100 for value in x], "has 4 digits of each loss", 0),
}


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("record", SPARSE)
def test_losses_averaged_or_rounded_some_other_way_are_judged_as_what_they_are(compared, record, side):
    """A mistake beside them fails by the next loss recorded; of rounded ones, if it is larger than their rounding."""
    make, words, behind = SPARSE[record]
    sides = [{}, {}]
    sides[side] = {"loss": make(NEARLY)}
    comparison = compared(*sides)
    assert comparison.verdict == "passed", comparison
    assert f"{'ab'[side]} " in comparison.check("loss").detail
    assert words in comparison.check("loss").detail
    sides[side] = {"loss": make(mistaken(33, by=0.03))}
    first = compared(*sides).first_difference
    assert first["check"] == "loss"
    assert 33 <= first["step"] <= 33 + behind


def test_one_pass_whose_mean_is_by_batches_is_not_read_by_samples(tmp_path):
    """Both fit until the short batch, the last."""
    sizes, losses = [10] * 15 + [4], LOSS[:16]
    for by, weights in (("none", None), ("again", None), ("batches", np.ones(16)), ("samples", sizes)):
        means = losses if weights is None else np.cumsum(losses * weights) / np.cumsum(weights)
        with xframe.record(tmp_path / by, num_samples=154) as rec:
            rec.block(ids=np.arange(154), batch_sizes=sizes, updates=np.arange(16) + 1, loss=means)
        if by == "none":
            continue
        comparison = xframe.compare(tmp_path / "none", tmp_path / by)
        assert comparison.verdict == "passed", comparison
        assert by == "again" or f"by {by}" in comparison.check("loss").detail


@pytest.mark.parametrize("by", [0.004, -0.004])
def test_losses_that_all_lie_on_one_side_of_round_ones_were_not_rounded(compared, by):
    comparison = compared({"loss": np.round(LOSS, 2)}, {"loss": np.round(LOSS, 2) + by})
    assert comparison.first_difference["step"] == 0


@pytest.mark.parametrize("make", [moving, lambda x: since_the_last(x, np.arange(STEPS) % 10 == 9)])
def test_where_each_batch_is_the_whole_data_set_training_itself_may_be_as_smooth(tmp_path, make):
    for name, losses in (("a", LOSS), ("b", make(NEARLY))):
        with xframe.record(tmp_path / name, num_samples=4) as rec:
            for i, loss in enumerate(losses):
                rec.step(ids=np.arange(4), updates=i + 1, **({} if loss is None else {"loss": loss}))
    comparison = xframe.compare(tmp_path / "a", tmp_path / "b")
    assert comparison.first_difference["check"] == "loss"


def test_what_two_runs_round_to_different_sides_is_judged_by_their_places(compared):
    a = np.round(LOSS, 2)
    b = a + 0.01 * (np.arange(STEPS) == 17)
    comparison = compared({"loss": a}, {"loss": b})
    assert comparison.verdict == "passed", comparison
    assert "b and a have 2 decimals of each loss" in comparison.check("loss").detail
    for wrong in (a + 0.02 * (np.arange(STEPS) == 17), a + 0.01 * (np.arange(STEPS) > 17)):
        assert compared({"loss": a}, {"loss": wrong}).first_difference["step"] in (17, 18)


def test_what_is_no_number_stays_so_in_any_record(compared):
    for make, _, _ in SPARSE.values():
        losses = [value if value is None or i < 40 else np.nan for i, value in enumerate(make(NEARLY))]
        comparison = compared({}, {"loss": losses})
        assert comparison.verdict == "failed"
        assert comparison.first_difference["check"] == "loss"


def test_an_update_skipped_behind_updates_counted_before_the_step_fails_at_its_own(compared):
    skipped = UPDATES - (np.arange(STEPS) >= 30)
    comparison = compared({}, {"updates": late(skipped, 0), "loss": mistaken(31)})
    assert (comparison.first_difference["check"], comparison.first_difference["step"]) == ("updates", 30)
    assert comparison.causes[0].name == "update-skipped"


SHIFTS = {"lr": np.append(RATE[1:], 0.0), "updates": UPDATES - 1}
DIFFERENT = {
    "losses that differ from the next step on": {"loss": mistaken(1)},
    "losses that merely pass the tolerance": {"loss": LOSS * (1 + 2e-5)},
    "no loss": {"loss": [None] * STEPS},
    "a loss at every tenth step and no weights": {"loss": each(10, NEARLY), "weights": None},
    "a loss at every tenth step, one of them other": {"loss": each(10, mistaken(41))},
    "other final weights": {"loss": NEARLY, "weights": 1.1},
}


@pytest.mark.parametrize("column", SHIFTS)
@pytest.mark.parametrize("training", DIFFERENT)
def test_what_training_does_not_show_to_be_the_record_stays_a_failure(compared, column, training):
    comparison = compared({"weights": 1.0}, {"weights": 1.0, column: SHIFTS[column], **DIFFERENT[training]})
    assert (comparison.first_difference["check"], comparison.first_difference["step"]) == (column, 0)


@pytest.mark.parametrize("column", SHIFTS)
@pytest.mark.parametrize("sides", [[0], [1], [0, 1]])
def test_losses_at_some_steps_and_equal_weights_show_what_is_only_the_record(compared, column, sides):
    runs = [{"weights": 1.0}, {"weights": 1.0, "loss": NEARLY, column: SHIFTS[column]}]
    for side in sides:
        runs[side] |= {"loss": each(10, LOSS)}
    comparison = compared(*runs)
    assert comparison.verdict == "passed", comparison
    assert "b counts" in str(comparison) or "one step" in comparison.check("lr").detail


def test_rates_of_neighbouring_steps_that_were_never_recorded_at_one_step_are_not_judged(compared):
    runs = (
        {"weights": 1.0, "lr": each(10, RATE)},
        {"weights": 1.0, "lr": each(5, np.append(RATE[1:], 0.0)), "loss": NEARLY},
    )
    for sides in (runs, runs[::-1]):
        comparison = compared(*sides)
        assert comparison.verdict == "passed", comparison
        assert comparison.check("lr").result == "not judged"
        assert "one step" in comparison.check("lr").detail
    other = {**runs[1], "lr": each(5, 0.5 * RATE)}
    assert compared(runs[0], other).first_difference["check"] == "lr"


@pytest.mark.parametrize("column", SHIFTS)
def test_losses_that_do_not_vary_show_nothing(compared, column):
    flat = {"loss": np.full(STEPS, 0.7)}
    assert compared(flat, {**flat, column: SHIFTS[column]}).first_difference["check"] == column


def test_a_loss_that_is_later_in_training_is_no_record(compared, tmp_path):
    """Where each batch is the whole data set, a first update lost gives each loss one step late."""

    def run(name, losses):
        with xframe.record(tmp_path / f"{name}.trace", num_samples=4) as rec:
            rec.block(ids=np.tile(np.arange(4), 30), batch_sizes=[4] * 30, updates=np.arange(30) + 1, loss=losses)
        return tmp_path / f"{name}.trace"

    losses = 2 * np.exp(-np.arange(31) / 9)
    comparison = xframe.compare(run("c", losses[1:]), run("d", losses[:-1]))
    assert comparison.first_difference["step"] == 0


ONE = {"optimizer.class": "SGD", "optimizer.parameters": 83}
TWO = {"optimizer.class": "SGD", "optimizer.parameters": 56, "optimizer.1.class": "SGD", "optimizer.1.parameters": 27}
SKIPPED = 2 * UPDATES - (np.arange(STEPS) >= 31)  # by one of two


@pytest.mark.parametrize(
    ("settings", "updates", "first"),
    [
        (TWO, 2 * UPDATES, None),
        (TWO, SKIPPED, 31),
        (TWO, 2 * np.maximum(UPDATES - (np.arange(STEPS) >= 31), 0), 31),
        (ONE, 2 * UPDATES, 0),
        ({**TWO, "optimizer.1.parameters": 83}, 2 * UPDATES, 0),  # both train all
        (TWO, UPDATES + UPDATES // 5, 0),  # one of them seldom: another network's
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_two_optimizers_that_share_the_weights_count_as_one(compared, settings, updates, first, swapped):
    sides = {"settings": ONE}, {"settings": settings, "updates": updates}
    comparison = compared(*(sides[::-1] if swapped else sides))
    assert comparison.verdict == ("passed" if first is None else "failed")
    difference = comparison.first_difference
    if first:
        assert (difference["step"], difference["check"]) == (first, "updates")
    elif first == 0:
        assert difference["check"] == "updates"
