"""What replicas do otherwise is named, from traces that never saw a framework; honest ones raise no alarm."""

import numpy as np
import pytest

import xframe
from xframe.diagnosis.replicas import Replicas

N, R, B, PASSES = 25, 2, 4, 3  # 4 steps a pass, of 8, 8, 8 and 1


def order(pass_index, seed=0):
    return np.random.default_rng([seed, pass_index]).permutation(N)


def alone(path, rates=None):
    """One process."""
    with xframe.record(path, num_samples=N, replica=(0, 1)) as rec:
        step = 0
        for p in range(PASSES):
            for start in range(0, N, R * B):
                ids = order(p)[start : start + R * B]
                rec.step(ids=ids, updates=step + 1, loss=loss_of(step), lr=1 / (1 + step), epoch=p)
                step += 1
    return path


def loss_of(step):
    return 2.5 - 0.05 * step + 0.01 * np.sin(step)


def replicas(
    path,
    deal=None,
    *,
    rate=1,
    mark=None,
    loss=loss_of,
    steps=None,
    settings=None,
    epochs=PASSES,
    left=(),
    **facts_of_all,
):
    """Several, each by ``deal(replica, pass)``: lists of batches, slices of each step by default. Each of ``left`` is a
    replica and a step, whose update it leaves out."""
    for r in range(R):
        with xframe.record(
            path, num_samples=N, metadata={"replica_split": "slices", **facts_of_all}, replica=(r, R)
        ) as rec:
            if settings is not None:
                rec.settings(settings(r))
            step = 0
            for p in range(PASSES):
                for ids in (deal or slices)(r, p):
                    if steps is not None and step >= steps:
                        break
                    facts = {"lr": 1 / (1 + rate * step), "epoch": min(p, epochs - 1), "loss": loss(step)}
                    weights = None if mark is None else mark(r, step)
                    updates = step + 1 - sum(one == r and at <= step for one, at in left)
                    rec.step(ids=ids, updates=updates, weights_mark=weights, **facts)
                    step += 1
    return path


def slices(r, p, seed=0):
    found = []
    for start in range(0, N, R * B):
        ids = order(p, seed)[start : start + R * B]
        share = -(-len(ids) // R)
        found.append(ids[r * share : (r + 1) * share])
    return found


def uneven(r, p):
    """The second replica makes no step where it has no rows."""
    return [ids for ids in slices(r, p) if len(ids)]


def padded(r, p):
    whole = np.concatenate([order(p), order(p)[:1]])
    found = []
    for start in range(0, N, R * B):
        ids = whole[start : start + R * B]
        found.append(ids[r * len(ids) // R : (r + 1) * len(ids) // R])
    return found


def one_share(r, p):
    return slices(0, p)


def shares_of_three(r, p):
    """Every third sample, where two train; the third shares are filled up."""
    own = np.concatenate([order(p), order(p)[:2]])[r::3]
    return [own[start : start + B] for start in range(0, len(own), B)]


def stored_for_three(r, p):
    """Every third sample as they are stored, shuffled since."""
    own = np.random.default_rng([r, p]).permutation(np.arange(r, N - 1, 3))
    return [own[start : start + B] for start in range(0, len(own), B)]


def ahead(r, p):
    return slices(r, p + r)


def unequal(r, p):
    """Files of unequal size: the first replica's has two batches."""
    own = order(p)[:8] if r == 0 else order(p)[8:]
    return [own[start : start + B] for start in range(0, N, B)][:5]


def by_full_batches(step):
    return loss_of(step) * (1 / (R * B) if step % 4 == 3 else 1) + (0.1 if step > 3 else 0)


def apart(r, step):
    """Marks of weights that part behind step 1."""
    return float(r * (step > 1))


def prints(r, of_each=False):
    return {"weights.0.fingerprint": str(r if of_each else 0), "optimizer.learning_rate": 0.1}


def whole_pass(r, p):
    return [order(p)[start : start + B] for start in range(0, N, B)]


def means(step):
    """The short step 3 changes what comes behind it."""
    return loss_of(step) + (0.2 if step > 3 else 0)


def own_means(step):
    """Of each replica, where their gradients are summed: the first update is R times as large."""
    return loss_of(step) - (0.3 * step if step else 0)


def divided_twice(step):
    return loss_of(step) / R**2 + (0.01 * step if step else 0)


CASES = {
    "replicas-unsplit": (0, {"deal": whole_pass}),
    "replicas-of-different-orders": (0, {"deal": lambda r, p: slices(r, p, seed=r)}),
    "set-epoch-forgotten": (4, {"deal": lambda r, p: slices(r, 0)}),
    "replica-ahead": (3, {"deal": uneven, "steps": 9}),
    "replica-remainder": (3, {"deal": padded}),
    "replicas-of-one-share": (0, {"deal": one_share}),
    "replicas-of-other-number": (0, {"deal": shares_of_three}),
    "replicas-exchanged": (0, {"deal": lambda r, p: slices(1 - r, p)}),
    "replicas-not-synchronised": (2, {"mark": apart}),
    "replica-leaves-update-out": (2, {"mark": lambda r, step: float(r * (step > 2)), "left": [(1, 2)]}),
    "replicas-set-otherwise": (2, {"mark": apart, "settings": lambda r: {"optimizer.group1.learning_rate": r}}),
    "replicas-start-apart": (0, {"mark": lambda r, step: float(r), "settings": lambda r: prints(r, of_each=True)}),
    "summed-over-replicas": (0, {"loss": own_means, "replica_losses": "sum"}),
    "replicas-of-unequal-shares": (0, {"deal": unequal}),
    "divided-by-full-batch": (3, {"loss": by_full_batches}),
    "mean-of-replicas-means": (4, {"loss": means}),
    "schedule-ticks-in-each-replica": (1, {"rate": R}),
}


@pytest.mark.parametrize("name", CASES)
def test_each_is_named_first_at_its_step(tmp_path, name):
    first, how = CASES[name]
    comparison = xframe.compare(alone(tmp_path / "a.trace"), replicas(tmp_path / "b.trace", **how))
    assert comparison.verdict == "failed"
    assert comparison.first_difference["step"] == first
    assert next(one.name for one in comparison.causes) == name
    assert comparison.causes[0].fix


@pytest.mark.parametrize("name", CASES)
def test_each_is_named_where_the_reference_does_it(tmp_path, name):
    """First comes what is first where the reference is right: the sentence names the run at fault, on either side."""
    first, how = CASES[name]
    sides = alone(tmp_path / "a.trace"), replicas(tmp_path / "faulty.trace", **how)
    usual, turned = xframe.compare(*sides), xframe.compare(*sides[::-1])
    assert turned.first_difference["step"] == first
    (found, *_), (due, *_) = turned.causes, usual.causes
    assert (found.name, found.step, found.sentence) == (due.name, due.step, due.sentence)
    assert "faulty" in turned.causes[0].sentence
    assert turned.causes[0].run == "a"


@pytest.mark.parametrize(("deal", "never"), [(shares_of_three, 8), (stored_for_three, 9)])
def test_replicas_that_are_fewer_than_the_samples_are_dealt_to(tmp_path, deal, never):
    (cause, *_) = xframe.compare(alone(tmp_path / "a.trace"), replicas(tmp_path / "b.trace", deal)).causes
    assert cause.name == "replicas-of-other-number"
    assert f"deals its samples to 3 replicas, and 2 train: in the first pass {never} of 25 samples" in cause.sentence
    assert "num_replicas" in cause.fix["torch"]


def test_a_pass_that_ends_early_is_dealt_to_those_that_train(tmp_path):
    """As many samples of each pass lack, and these are its last."""
    cut = replicas(tmp_path / "b.trace", lambda r, p: slices(r, p)[:2])
    assert "replicas-of-other-number" not in {
        one.name for one in xframe.compare(alone(tmp_path / "a.trace"), cut).causes
    }


def test_shares_in_each_others_place_are_no_order_inside_batches(tmp_path):
    """Where the samples of a step are in another order besides, it is not said."""
    one = alone(tmp_path / "a.trace")
    exchanged = replicas(tmp_path / "b.trace", lambda r, p: slices(1 - r, p))
    (cause,) = xframe.compare(one, exchanged).causes
    assert "replica 0 has that of replica 1, replica 1 has that of replica 0" in cause.sentence
    assert "the mean of their gradients is the same" in cause.sentence
    turned = replicas(tmp_path / "c.trace", lambda r, p: [ids[::-1] for ids in slices(1 - r, p)])
    causes = xframe.compare(one, turned).causes
    assert causes
    assert "replicas-exchanged" not in {cause.name for cause in causes}


@pytest.mark.parametrize("woven", [False, True])
def test_of_three_replicas_each_has_the_share_that_another_should_have(woven):
    """The last step has fewer rows in one of them."""
    due = np.arange(17)
    own = Replicas(np.array([[2, 2, 1], [2, 2, 2], [2, 2, 2]]), woven)
    ids = Replicas(np.array([[2, 2, 2], [2, 2, 2], [2, 2, 1]]), woven).exchanged(due, [2, 0, 1])
    whose = own.exchange(ids, due)
    assert whose == [1, 2, 0]
    assert own.exchanged(ids, whose).tolist() == due.tolist()
    assert own.exchange(due, np.roll(due, 1)) is None


@pytest.mark.parametrize("turned", [False, True])
def test_few_samples_filled_up_for_the_replicas_are_no_batch_size(tmp_path, turned):
    """A batch has them all, and one again; loaders state as many samples of a step in both."""
    one, several = tmp_path / "a.trace", tmp_path / "b.trace"
    with xframe.record(one, num_samples=3, replica=(0, 1)) as rec:
        rec.settings({"loader.batch_size": 8})
        for p in range(3):
            rec.step(ids=np.roll([0, 1, 2], p), updates=p + 1, epoch=p)
    for r in range(4):
        with xframe.record(several, num_samples=3, metadata={"replica_split": "interleaved"}, replica=(r, 4)) as rec:
            rec.settings({"loader.batch_size": 2})
            for p in range(3):
                rec.step(ids=np.roll([0, 1, 2], p)[[r % 3]], updates=p + 1, epoch=p)
    causes = xframe.compare(*((several, one) if turned else (one, several))).causes
    assert causes[0].name == "replica-remainder"
    assert causes[0].sentence.startswith("b repeats the first of a pass at its end, 1 sample")


def test_an_update_left_out_is_no_gradient_that_is_not_shared(tmp_path):
    """The weights are seen to differ a step later; one that is left out behind that is not why they do."""
    sides = alone(tmp_path / "a.trace"), replicas(tmp_path / "b.trace", **CASES["replica-leaves-update-out"][1])
    for one in (sides, sides[::-1]):
        (cause,) = xframe.compare(*one).causes
        assert cause.sentence == (
            "replica 1 of b leaves out 1 update that replica 0 makes: behind step 2 it has applied 2, replica 0 3"
        )
    alike = replicas(tmp_path / "d.trace", mark=lambda r, step: float(step), left=[(1, 2)])
    assert xframe.compare(sides[0], alike).causes == ()  # perhaps they are but counted otherwise
    later = replicas(tmp_path / "c.trace", mark=apart, left=[(1, 5)])
    (cause,) = xframe.compare(sides[0], later).causes
    assert (cause.name, cause.step) == ("replicas-not-synchronised", 2)


@pytest.mark.parametrize("turned", [False, True])
def test_what_replicas_state_differently_is_no_setting_of_their_run(tmp_path, turned):
    """The momentum of one replica is not the other run's, and is said once, of the run at fault."""
    own = {"optimizer.momentum": 0.9}
    one = replicas(tmp_path / "a.trace", settings=lambda r: own, mark=lambda r, step: float(step))
    loss = {"loss": lambda step: loss_of(step) + 0.1 * (step > 2)}
    states = {"settings": lambda r: {"optimizer.momentum": 0.5} if r else own}
    other = replicas(tmp_path / "b.trace", mark=apart, **states, **loss)
    causes = xframe.compare(*((other, one) if turned else (one, other))).causes
    assert [cause.name for cause in causes] == ["replicas-set-otherwise"]
    assert "optimizer.momentum is 0.5 in replica 1 of b, 0.9 in replica 0" in causes[0].sentence


def test_what_both_runs_do_is_named_of_the_candidate(tmp_path):
    """Two runs that shuffle by seeds of their own, each by others: the reference's is no answer beside."""
    one = replicas(tmp_path / "a.trace", lambda r, p: slices(r, p, seed=r))
    other = replicas(tmp_path / "b.trace", lambda r, p: slices(r, p, seed=2 + r))
    causes = xframe.compare(one, other).causes
    assert [cause.name for cause in causes].count("replicas-of-different-orders") == 1
    assert causes[0].sentence.startswith("b has replicas that take shares of different orders")


def test_one_replica_alone_that_is_not_told_the_epoch(tmp_path):
    other = replicas(tmp_path / "b.trace", lambda r, p: slices(r, 0 if r else p))
    for one in (replicas(tmp_path / "a.trace"), alone(tmp_path / "c.trace")):
        for sides in ((one, other), (other, one)):
            (cause,) = xframe.compare(*sides).causes
            assert (cause.name, cause.step) == ("set-epoch-forgotten", 4)
            assert cause.sentence.startswith("b repeats in every pass the first share of replica 1, while its other")
            assert "in every process" in cause.fix["torch"]


def drawn_alone(path, of_pass):
    """One process whose script was recorded, by the order of each pass."""
    with xframe.record(path, num_samples=N, replica=(0, 1)) as rec:
        rec.settings({"loader.batch_size": R * B})
        for step in range(PASSES * 4):
            ids = of_pass(step // 4)[8 * (step % 4) : 8 * (step % 4) + 8]
            rec.step(ids=ids, updates=step + 1, loss=loss_of(step), lr=1 / (1 + step), epoch=step // 4)
    return path


@pytest.mark.parametrize("turned", [False, True])
def test_one_number_told_in_every_epoch_is_no_epoch_told(tmp_path, turned):
    """No order is in common, which fails nothing; of two that each keep one order, none forgets it."""
    stated = {"settings": lambda r: {"loader.batch_size": B}, "mark": lambda r, step: float(step)}
    constant = replicas(tmp_path / "b.trace", lambda r, p: slices(r, 7), **stated)

    def compared(name, of_pass):
        sides = drawn_alone(tmp_path / name, of_pass), constant
        return xframe.compare(*sides[:: -1 if turned else 1])

    comparison = compared("a.trace", order)
    assert comparison.verdict == "inconclusive"
    (cause,) = comparison.causes
    assert (cause.name, cause.step, cause.certain) == ("set-epoch-forgotten", 4, False)
    assert cause.sentence.startswith("b repeats in every pass what each of its 2 replicas had in the first")
    assert "always with one number" in cause.sentence
    for name, of_pass in (("kept.trace", lambda p: order(5)), ("stored.trace", lambda p: np.arange(N))):
        comparison = compared(name, of_pass)
        assert comparison.verdict == "inconclusive"
        assert comparison.causes == ()


def test_replicas_in_the_stored_order_forget_no_epoch(tmp_path):
    """They never shuffle."""
    stated = {"settings": lambda r: {"loader.batch_size": B}, "mark": lambda r, step: float(step)}

    def stored(r, p):
        return [np.arange(N)[start + r : start + R * B : R] for start in range(0, N, R * B)]

    run = replicas(tmp_path / "b.trace", stored, **stated)
    comparison = xframe.compare(drawn_alone(tmp_path / "a.trace", order), run)
    assert comparison.verdict == "inconclusive"
    assert comparison.causes == ()


def test_a_replica_in_another_epochs_order_is_ahead_and_not_of_another_seed(tmp_path):
    """Its share of a pass is of the order of the next, which it says is the same epoch."""
    one, other = replicas(tmp_path / "a.trace"), replicas(tmp_path / "b.trace", ahead)
    for shuffled in (one, alone(tmp_path / "c.trace")):
        (cause,) = xframe.compare(shuffled, other).causes
        assert cause.name == "replica-ahead"
        assert "1 epoch ahead of the rest, replica 1" in cause.sentence
        assert "set_epoch" in cause.fix["torch"]


def test_a_replica_is_ahead_by_its_batches_where_one_loop_goes_over_all_passes(tmp_path):
    """As over a data set that is repeated: no label says where a replica's own pass ends."""
    other = replicas(tmp_path / "b.trace", uneven, steps=9, epochs=1)
    comparison = xframe.compare(alone(tmp_path / "a.trace"), other)
    assert comparison.first_difference["step"] == 3
    assert comparison.causes[0].name == "replica-ahead"
    assert "step 3 of two passes at once: replica 0 draws the last samples" in comparison.causes[0].sentence


def test_a_sample_that_two_replicas_draw_in_one_step_shows_there_whatever_the_order(tmp_path):
    """The sizes differ from step 3 on."""

    def whole(r, p):
        return [order(p, seed=7)[start : start + B] for start in range(0, N, B)]

    comparison = xframe.compare(alone(tmp_path / "a.trace"), replicas(tmp_path / "b.trace", whole), order="coverage")
    assert (comparison.first_difference["step"], comparison.first_difference["check"]) == (0, "boundaries")
    assert (comparison.causes[0].name, comparison.causes[0].step) == ("replicas-unsplit", 0)


def test_where_replicas_state_different_seeds_the_orders_are_different(tmp_path):
    """A sampler that adds seed and epoch has by another seed what it has ahead by an epoch."""
    seeded = replicas(tmp_path / "b.trace", ahead, settings=lambda r: {"loader.seed": r})
    (cause,) = xframe.compare(alone(tmp_path / "a.trace"), seeded).causes
    assert cause.name == "replicas-of-different-orders"


def test_one_sample_too_often_is_no_other_order(tmp_path):
    def repeating(r, p):
        first, *rest = slices(r, p)
        return [np.array([first[1], *first[1:]]) if r else first, *rest]

    comparison = xframe.compare(alone(tmp_path / "a.trace"), replicas(tmp_path / "b.trace", repeating))
    assert comparison.verdict == "failed"
    assert "replicas-of-different-orders" not in [one.name for one in comparison.causes]


@pytest.mark.parametrize("states", [None, prints])
def test_weights_that_part_are_a_fact_and_why_is_not(tmp_path, states):
    """Beside it nothing is guessed of the losses behind that step; those before it have causes of their own."""
    how = {"loss": means, "settings": states}
    other = replicas(tmp_path / "b.trace", mark=lambda r, step: float(r * (step > 2)), **how)
    comparison = xframe.compare(alone(tmp_path / "a.trace"), other)
    assert {"replicas", "loss"} <= {check.name for check in comparison.checks if check.result == "fail"}
    first, *rest = comparison.causes
    assert first.name == "replicas-not-synchronised"
    assert not first.certain
    assert {one.name for one in rest} <= {"mean-of-replicas-means"}


@pytest.mark.parametrize(("states", "said"), [(None, True), (prints, False)])
def test_that_they_may_start_apart_is_said_where_nothing_shows_it(tmp_path, states, said):
    other = replicas(tmp_path / "b.trace", mark=lambda r, step: float(r), settings=states)
    (cause,) = xframe.compare(alone(tmp_path / "a.trace"), other).causes
    assert cause.name == "replicas-not-synchronised"
    assert ("start from different weights" in cause.sentence) == said


def per_replica(r, p):
    """Batches of a step's size in each replica; the last one is filled up to as many for each."""
    whole, size = np.concatenate([order(p), order(p)[:1]]), 2 * R * B
    cut = [whole[start : start + size] for start in range(0, len(whole), size)]
    return [ids[r * len(ids) // R : (r + 1) * len(ids) // R] for ids in cut]


def test_a_pass_filled_up_for_the_replicas_is_no_padded_batch(tmp_path):
    comparison = xframe.compare(alone(tmp_path / "a.trace"), replicas(tmp_path / "b.trace", padded))
    assert [one.name for one in comparison.causes] == ["replica-remainder"]


def test_a_size_per_replica_is_named_between_two_runs_of_replicas(tmp_path):
    comparison = xframe.compare(replicas(tmp_path / "a.trace", padded), replicas(tmp_path / "b.trace", per_replica))
    assert comparison.causes[0].name == "batch-size-per-replica"
    assert comparison.causes[0].fix["torch"].endswith(f"global {R * B} / world size")


def test_honest_replicas_raise_no_alarm(tmp_path):
    mark = {"mark": lambda r, step: float(step)}
    comparison = xframe.compare(alone(tmp_path / "a.trace"), replicas(tmp_path / "b.trace", **mark))
    assert comparison.verdict == "passed"
    assert comparison.causes == ()


def test_a_loss_divided_by_the_replicas_twice_is_named(tmp_path):
    run = replicas(tmp_path / "b.trace", loss=divided_twice, replica_losses="sum")
    (cause,) = xframe.compare(alone(tmp_path / "a.trace"), run).causes[:1]
    assert cause.name == "summed-over-replicas"
    assert "divided by 2" in cause.sentence


@pytest.mark.parametrize(
    "facts", [{"loss": own_means}, {"loss": lambda step: 1.1 * own_means(step), "replica_losses": "sum"}]
)
def test_no_factor_of_the_replicas_is_named_where_there_is_none(tmp_path, facts):
    """Losses weighted by rows; a factor of 2.2 in two replicas."""
    run = replicas(tmp_path / "b.trace", **facts)
    causes = xframe.compare(alone(tmp_path / "a.trace"), run).causes
    assert causes
    assert "summed-over-replicas" not in {one.name for one in causes}


def test_parts_of_the_steps_losses_raise_no_alarm(tmp_path):
    """The last step of a pass has one row, of the first replica."""
    for r in range(R):
        metadata = {"replica_split": "slices", "replica_losses": "sum"}
        with xframe.record(tmp_path / "b.trace", num_samples=N, metadata=metadata, replica=(r, R)) as rec:
            for step in range(PASSES * 4):
                ids = slices(r, step // 4)[step % 4]
                part = (0.75, 0.25)[r] if step % 4 < 3 else 1 - r
                facts = {"lr": 1 / (1 + step), "epoch": step // 4}
                rec.step(ids=ids, updates=step + 1, loss=loss_of(step) * part, **facts)
    comparison = xframe.compare(alone(tmp_path / "a.trace"), tmp_path / "b.trace")
    assert comparison.verdict == "passed"


def test_replicas_that_part_are_named_though_the_plan_is_all_that_is_known(tmp_path):
    plan = xframe.TrainingPlan(batch_size=R * B, epochs=1, order="sequential", replicas=R)
    for r in range(R):
        with xframe.record(tmp_path / "b.trace", plan=plan, num_samples=16, replica=(r, R)) as rec:
            for step in range(2):
                start = R * B * step + B * r
                rec.step(ids=np.arange(start, start + B), updates=step + 1, weights_mark=float(r))
    comparison = xframe.compare(tmp_path / "b.trace")
    assert comparison.structure == "identical"
    assert [one.name for one in comparison.causes] == ["replicas-not-synchronised"]


def test_a_run_by_one_process_has_none_of_them(tmp_path):
    """The same rows, in one process: what only replicas do is not named."""
    with xframe.record(tmp_path / "b.trace", num_samples=N, replica=(0, 1)) as rec:
        for step in range(PASSES * 4):
            ids = order(0)[8 * (step % 4) : 8 * (step % 4) + 8]
            rec.step(ids=ids, updates=step + 1, loss=loss_of(step), lr=1 / (1 + step), epoch=step // 4)
    comparison = xframe.compare(alone(tmp_path / "a.trace"), tmp_path / "b.trace")
    assert next(one.name for one in comparison.causes) == "same-order-every-pass"
