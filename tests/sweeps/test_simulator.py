"""The simulator against runs worked out on paper."""

import random
from fractions import Fraction

import pytest

from sweeps.simulator import (
    EDGES,
    REPLICA_VALUES,
    VALUES,
    Refused,
    random_case,
    random_plan,
    replicated_case,
    resolve,
    simulate,
)

WALK = {"batch_size": 10, "epochs": 5, "steps_per_epoch": 4}
SHORT = {"batch_size": 10, "steps_per_epoch": 4, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"}


def run(num_samples, **fields):
    """The run over ids that name their pass: sample 3 of pass 2 is 2003."""
    return simulate(fields, num_samples, lambda index: range(1000 * index, 1000 * index + num_samples))


def ids(run):
    return [step.sample_ids for step in run.steps]


def epochs(run):
    """The steps of each epoch that has any."""
    numbers = [step.epoch for step in run.steps]
    assert numbers == sorted(numbers)
    for number in set(numbers):
        assert [s.step_in_epoch for s in run.steps if s.epoch == number] == list(range(numbers.count(number)))
    return [numbers.count(number) for number in sorted(set(numbers))]


def windows(run):
    """The steps of each update."""
    return [list(update.weights) for update in run.updates]


def test_keep_ends_each_pass_with_a_short_batch():
    kept = run(5, batch_size=2, epochs=2)
    assert ids(kept) == [[0, 1], [2, 3], [4], [1000, 1001], [1002, 1003], [1004]]
    assert [step.update for step in kept.steps] == [1, 2, 3, 4, 5, 6]
    assert kept.counts == {
        "num_steps": 6,
        "num_updates": 6,
        "num_epochs": 2,
        "steps_per_epoch": 3,
        "samples_seen": 10,
        "samples_dropped": 0,
        "samples_padded": 0,
        "last_batch_size": 1,
    }


def test_drop_counts_passes_whose_last_full_batch_was_trained():
    assert ids(run(7, batch_size=3, steps=3, remainder="drop")) == [[0, 1, 2], [3, 4, 5], [1000, 1001, 1002]]
    dropped = [run(7, batch_size=3, steps=steps, remainder="drop").counts["samples_dropped"] for steps in (1, 2, 3, 4)]
    assert dropped == [0, 1, 1, 2]


def test_pad_goes_round():
    padded = run(2, batch_size=5, epochs=2, remainder="pad")
    assert ids(padded) == [[0, 1, 0, 1, 0], [1000, 1001, 1000, 1001, 1000]]
    assert [step.padding for step in padded.steps] == [3, 3]
    assert padded.counts["samples_seen"] == 4
    assert padded.counts["samples_padded"] == 6
    assert padded.counts["last_batch_size"] == 5
    assert ids(run(5, batch_size=3, epochs=1, remainder="pad")) == [[0, 1, 2], [3, 4, 0]]


def test_data_that_does_not_fit():
    for fields in ({"remainder": "drop"}, {"remainder": "error"}):
        with pytest.raises(Refused):
            run(5, batch_size=8, steps=1, **fields)
    with pytest.raises(Refused):
        run(10, batch_size=4, steps=1, remainder="error")
    assert run(8, batch_size=4, steps=1, remainder="error").counts["num_steps"] == 1


def test_carry_cuts_one_stream():
    carried = run(5, batch_size=3, epochs=2, remainder="carry")
    assert ids(carried) == [[0, 1, 2], [3, 4, 1000], [1001, 1002, 1003], [1004]]
    assert [step.epoch for step in carried.steps] == [0, 0, 1, 1]
    assert epochs(carried) == [2, 2]
    assert carried.counts["steps_per_epoch"] == 2
    endless = run(5, batch_size=3, steps=4, remainder="carry")
    assert ids(endless)[-1] == [1004, 2000, 2001]
    assert endless.counts["samples_seen"] == 12


def test_carry_leaves_epochs_without_steps():
    wide = run(2, batch_size=5, epochs=4, remainder="carry")
    assert ids(wide) == [[0, 1, 1000, 1001, 2000], [2001, 3000, 3001]]
    assert [(step.epoch, step.step_in_epoch) for step in wide.steps] == [(0, 0), (2, 0)]
    assert wide.counts["num_epochs"] == 3
    assert wide.counts["steps_per_epoch"] is None  # 1, 0, 1, 0


@pytest.mark.parametrize(
    ("fields", "lengths", "common"),
    [
        ({}, [4, 4, 4, 4, 4], 4),
        ({"epoch_iterator": "continue"}, [4, 4, 4, 4, 4], 4),
        ({"epoch_iterator": "continue", "on_exhaustion": "short_epoch"}, [4, 4, 2, 4, 4], None),
        ({"epoch_iterator": "continue", "on_exhaustion": "stop"}, [4, 4, 2], None),
        ({"steps_per_epoch": 5, "epoch_iterator": "continue", "on_exhaustion": "stop"}, [5, 5], 5),
        ({"steps_per_epoch": 5, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"}, [5, 5, 5, 5, 5], 5),
        ({"steps_per_epoch": 15}, [15, 15, 15, 15, 15], 15),
        ({"steps_per_epoch": 15, "on_exhaustion": "short_epoch"}, [10, 10, 10, 10, 10], 10),
        ({"steps_per_epoch": 15, "on_exhaustion": "stop"}, [10], 10),
        ({"steps_per_epoch": 10, "on_exhaustion": "stop"}, [10, 10, 10, 10, 10], 10),
    ],
)
def test_epochs_of_ten_batches_a_pass(fields, lengths, common):
    walked = run(100, **WALK | fields)
    assert epochs(walked) == lengths
    assert walked.counts["num_steps"] == sum(lengths)
    assert walked.counts["steps_per_epoch"] == common


def test_restart_abandons_and_continue_goes_on():
    fields = {"batch_size": 2, "epochs": 3, "steps_per_epoch": 2, "remainder": "drop"}
    restarted = run(7, **fields)
    assert ids(restarted) == [[0, 1], [2, 3], [1000, 1001], [1002, 1003], [2000, 2001], [2002, 2003]]
    assert restarted.counts["samples_dropped"] == 0
    continued = run(7, **fields, epoch_iterator="continue")
    assert ids(continued) == [[0, 1], [2, 3], [4, 5], [1000, 1001], [1002, 1003], [1004, 1005]]
    assert continued.counts["samples_dropped"] == 2
    repeated = run(7, **fields | {"epochs": 2, "steps_per_epoch": 4})
    assert [step[0] for step in ids(repeated)] == [0, 2, 4, 1000, 2000, 2002, 2004, 3000]
    assert repeated.counts["samples_dropped"] == 2
    fields = {"batch_size": 3, "epochs": 2, "steps_per_epoch": 2, "remainder": "carry"}
    assert ids(run(4, **fields)) == [[0, 1, 2], [3, 1000, 1001], [1002, 1003, 2000], [2001, 2002, 2003]]
    restarted = run(4, **fields, epoch_iterator="restart")
    assert ids(restarted) == [[0, 1, 2], [3, 1000, 1001], [2000, 2001, 2002], [2003, 3000, 3001]]


def test_accumulation_over_eleven_steps_a_pass():
    fields = {"batch_size": 10, "epochs": 3, "gradient_accumulation_steps": 4}
    flushed = run(103, **fields)
    assert flushed.counts["num_updates"] == 9
    assert windows(flushed)[:3] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert [step.update for step in flushed.steps[:12]] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3]
    assert run(103, **fields, accumulation_remainder="drop").counts["num_updates"] == 6
    carried = run(103, **fields, accumulation_remainder="carry")
    assert carried.counts["num_updates"] == 8
    at_end = run(103, **fields, accumulation_remainder="carry", accumulation_at_end="flush")
    assert windows(at_end)[8] == [32]
    assert [carried.steps[32].update, at_end.steps[32].update] == [8, 9]
    leaked = run(103, **fields, accumulation_remainder="leak", accumulation_at_end="flush")
    assert leaked.counts["num_updates"] == 6
    assert windows(leaked)[2] == [8, 9, 10, 11, 12, 13, 14]
    assert leaked.updates[2].after_step == 14


@pytest.mark.parametrize(
    ("normalization", "weights"),
    [
        ("sum", [1, 1, 1]),
        ("window", [Fraction(1, 4)] * 3),
        ("actual", [Fraction(1, 3)] * 3),
        ("samples", [Fraction(10, 23), Fraction(10, 23), Fraction(3, 23)]),
    ],
)
def test_weights_of_a_cut_window(normalization, weights):
    flushed = run(103, batch_size=10, epochs=1, gradient_accumulation_steps=4, loss_normalization=normalization)
    assert list(flushed.updates[2].weights.values()) == weights


def test_weights_after_a_leak():
    fields = {"batch_size": 10, "epochs": 2, "gradient_accumulation_steps": 4, "accumulation_remainder": "leak"}
    assert set(run(103, **fields).updates[2].weights.values()) == {Fraction(1, 7)}
    assert run(103, **fields, loss_normalization="samples").updates[2].weights[10] == Fraction(3, 63)
    assert run(103, **fields, loss_normalization="samples").updates[2].weights[11] == Fraction(10, 63)


def test_leak_leaves_nothing_open():
    fields = {"batch_size": 2, "gradient_accumulation_steps": 3, "accumulation_remainder": "leak"}
    assert windows(run(4, **fields, steps=6, accumulation_at_end="flush")) == []
    assert windows(run(4, **fields, steps=5, accumulation_at_end="flush")) == [[0, 1, 2, 3, 4]]
    assert windows(run(4, **fields, steps=5)) == []


def test_exhaustion_comes_when_the_next_step_is_due():
    fields = SHORT | {"gradient_accumulation_steps": 4}
    at_limit = run(100, **fields, steps=10)
    assert windows(at_limit) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert at_limit.counts["steps_per_epoch"] == 4
    at_end = run(100, **fields, steps=10, accumulation_at_end="flush")
    assert windows(at_end)[2] == [8, 9]
    beyond = run(100, **fields, steps=11)
    assert windows(beyond)[2] == [8, 9]
    assert [step.update for step in beyond.steps[8:]] == [2, 3, 3]
    assert beyond.counts["steps_per_epoch"] is None
    assert run(100, **fields, updates=3).counts["num_steps"] == 10
    assert run(100, **fields, epochs=3).counts["num_steps"] == 10
    stopped = run(100, **fields | {"on_exhaustion": "stop"}, epochs=5)
    assert windows(stopped)[2] == [8, 9]
    assert stopped.steps[9].update == 3
    carried = run(100, **fields | {"on_exhaustion": "stop"}, epochs=5, accumulation_remainder="carry")
    assert carried.counts["num_updates"] == 2


def test_cut_by_passes():
    fields = {"gradient_accumulation_steps": 3, "accumulation_boundary": "pass"}
    # A pass ends after step 9; the epochs of 4, 4 and 2 steps do not cut.
    assert windows(run(100, **SHORT | fields, steps=12)) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    # Samples 0-2, 3-5, 6-8, 9-11, 12-14 of passes of 5: a pass ends in steps 1, 3 and 4.
    carried = run(5, batch_size=3, steps=5, steps_per_epoch=5, remainder="carry", **fields)
    assert windows(carried) == [[0, 1], [2, 3], [4]]
    # Epochs of two of a pass's three steps: none ends.
    abandoned = run(6, batch_size=2, updates=1, steps_per_epoch=2, **fields | {"gradient_accumulation_steps": 5})
    assert windows(abandoned) == [[0, 1, 2, 3, 4]]


def test_endless_plans_are_refused():
    never = {"batch_size": 2, "updates": 1, "gradient_accumulation_steps": 3, "accumulation_remainder": "drop"}
    with pytest.raises(Refused):
        run(4, **never)
    with pytest.raises(Refused):
        run(4, **never | {"accumulation_remainder": "leak"})
    with pytest.raises(Refused):
        run(6, **never, steps_per_epoch=2, on_exhaustion="stop")
    stopped = run(4, **never, steps_per_epoch=5, on_exhaustion="stop")
    assert (stopped.counts["num_steps"], stopped.counts["num_updates"]) == (2, 0)
    # The first window is cut after five steps; the next has two of them and four of the pass begun by the restart.
    late = never | {"gradient_accumulation_steps": 6, "accumulation_boundary": "pass", "steps_per_epoch": 7}
    assert windows(run(10, **late)) == [[5, 6, 7, 8, 9, 10]]


def shares(num_samples, **fields):
    """Of each step of one pass, what each of the replicas has; a row of padding is negative."""
    run = simulate({"epochs": 1, **fields}, num_samples, lambda _: range(num_samples))
    return [[[-sample if fills else sample for sample, fills in rows] for rows in step.shares] for step in run.steps]


def test_replicas_share_each_step():
    fields = {"batch_size": 6, "replicas": 3}
    assert shares(10, **fields) == [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], []]]
    assert shares(10, **fields, replica_split="interleaved") == [[[0, 3], [1, 4], [2, 5]], [[6, 9], [7], [8]]]
    assert shares(9, **fields) == [[[0, 1], [2, 3], [4, 5]], [[6], [7], [8]]]
    assert shares(9, **fields, replica_split="dealt") == [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8], []]]
    assert shares(10, batch_size=10, replicas=4) == [[[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]]


def test_passes_are_made_even_for_replicas():
    fields = {"batch_size": 4, "replicas": 2, "replica_split": "interleaved"}
    assert shares(7, **fields, replica_remainder="pad") == [[[0, 2], [1, 3]], [[4, 6], [5, 0]]]
    padded = run(7, epochs=1, **fields, replica_remainder="pad")
    assert (padded.counts["samples_padded"], [step.padding for step in padded.steps]) == (1, [0, 1])
    dropped = run(7, epochs=1, **fields, replica_remainder="drop")
    assert ids(dropped) == [[0, 1, 2, 3], [4, 5]]
    assert dropped.counts["samples_dropped"] == 1
    completed = run(7, epochs=1, **fields, replica_remainder="pad", remainder="drop")
    assert ids(completed)[1] == [4, 5, 6, 0]
    assert completed.counts["samples_dropped"] == 0
    with pytest.raises(Refused):
        run(1, epochs=1, **fields, replica_remainder="drop")


def test_edges_and_random_cases_reach_everything():
    assert len(EDGES) >= 60
    rng = random.Random(0)
    for cases in (EDGES, [random_case(rng) for _ in range(500)], [(random_plan(rng), 240) for _ in range(500)]):
        seen, refused = set(), 0
        for fields, num_samples in cases:
            seen |= {(name, value) for name, value in resolve(fields).items() if name in VALUES and value is not None}
            try:
                run(num_samples, **fields)
            except Refused:
                refused += 1
        assert seen == {(name, value) for name, values in VALUES.items() for value in values}
        assert 0 < refused < len(cases) / 4
    seen = set()
    for fields, _ in (replicated_case(rng) for _ in range(200)):
        seen |= {(name, value) for name, value in resolve(fields).items() if name in REPLICA_VALUES}
    assert seen == {(name, value) for name, values in REPLICA_VALUES.items() for value in values}
