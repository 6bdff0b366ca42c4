"""Events of a training become rows: one a batch, with the updates that came of it."""

import numpy as np
import pytest

import xframe
from xframe.recording.attach.machine import Batch, Machine, Walk


class Counter:
    applied = attempts = 0
    evidence = "said so"


@pytest.fixture
def machine(tmp_path):
    with xframe.record(tmp_path / "a.trace") as recorder:
        machine = Machine(lambda: recorder)
        machine.rows_of = lambda: (machine.finish(), recorder.close(), xframe.Trace.open(tmp_path / "a.trace"))[2]
        yield machine


def batch(*ids, **place):
    return Batch(np.array(ids), len(ids), **place)


def update(machine, optimizer=1, lr=0.5):
    counter = machine.counters.setdefault(optimizer, Counter())
    counter.applied += 1
    counter.attempts += 1
    machine.evidence = counter.evidence
    machine.stepped(optimizer, lr)


def train(machine, used, *optimizers, loss=1.0):
    machine.used(used)
    machine.backward(loss)
    for optimizer in optimizers:
        update(machine, optimizer)


def test_steps_wait_for_the_update_of_their_window(machine):
    for index in range(5):
        train(machine, batch(index), *([1] if index % 2 else []))
    trace = machine.rows_of()
    assert [trace.ids(i).tolist() for i in range(5)] == [[i] for i in range(5)]
    assert trace.frame().updates.tolist() == [0, 1, 1, 2, 2]
    assert trace.end["evidence"] == "said so"


def test_two_optimizers_on_a_batch_are_one_step_and_one_that_steps_again_is_another(machine):
    same = batch(3, 4)
    train(machine, same, 1)
    train(machine, same, 2, loss=2.0)
    train(machine, same, 1, loss=3.0)
    rows = machine.rows_of().frame()
    assert rows.updates.tolist() == [2, 3]
    assert rows.loss.tolist() == [1.0, 3.0]


def test_without_an_optimizer_updates_are_not_known(machine):
    train(machine, batch(1))
    train(machine, batch(2))
    assert machine.rows_of().frame().updates.isna().all()


def test_what_led_to_no_gradients_is_no_step(machine):
    machine.used(batch(9))
    train(machine, batch(1), 1)
    assert machine.rows_of().num_rows == 1


def test_a_loss_tells_whose_targets_they_are_where_the_model_s_input_does_not(machine):
    for known, wanted in ((False, 7), (True, 5)):
        machine.used(batch(5) if known else Batch(None, 1))
        machine.used(batch(7), by_loss=True)
        machine.backward(1.0)
        update(machine)
        assert machine._step.batch.ids.tolist() == [wanted]


def test_of_an_unknown_batch_the_size_is_recorded(machine):
    train(machine, Batch(None, 12), 1)
    rows = machine.rows_of().frame()
    assert rows.batch_size.tolist() == [12]
    assert rows.ids_digest.isna().all()


def test_walks_that_trained_are_counted_as_epochs(machine):
    first, unused, second = Walk(), Walk(), Walk()
    train(machine, batch(1, walk=first, place=0), 1)
    machine.used(batch(2, walk=unused, place=0))
    train(machine, batch(3, walk=second, place=4), 1)
    rows = machine.rows_of().frame()
    assert rows.epoch.tolist() == [0, 1]
    assert rows.step_in_epoch.tolist() == [0, 4]


def test_what_one_loss_and_another_share_of_a_batch_is_one_step(machine):
    train(machine, batch(1, 2), 1)
    machine.backward(2.0)  # of the same model's call
    machine.used(Batch(None, 2))  # noise
    machine.backward(3.0)
    update(machine, 2)
    rows = machine.rows_of()
    assert [rows.num_rows, rows.ids(0).tolist(), rows.frame().updates.tolist()] == [1, [1, 2], [2]]


def test_noise_of_a_size_of_its_own_is_of_the_step_that_a_second_network_takes_with_it(machine):
    machine.counters[2] = Counter()
    train(machine, batch(1, 2), 1)
    train(machine, Batch(None, 16), 2, loss=9.0)
    train(machine, batch(3), 1)
    rows = machine.rows_of().frame()
    assert rows.updates.tolist() == [2, 3]
    assert rows.loss.tolist() == [1.0, 1.0]
    assert rows.batch_size.tolist() == [2, 1]


def test_a_training_on_unknown_batches_after_one_on_known_ones_takes_none_of_their_samples(machine):
    train(machine, batch(1, 2), 1)
    for _ in range(2):
        train(machine, Batch(None, 2), 1)
    train(machine, Batch(None, 3), 1)
    rows = machine.rows_of().frame()
    assert rows.ids_digest.isna().tolist() == [False, True, True, True]
    assert rows.batch_size.tolist() == [2, 2, 2, 3]
    assert rows.updates.tolist() == [1, 2, 3, 4]


def test_noise_beside_a_batch_does_not_stand_for_it_and_a_later_unknown_batch_does(machine):
    machine.used(batch(1, 2))
    machine.used(Batch(None, 2))
    machine.backward(1.0)
    update(machine)
    machine.handed_out += 1  # something that nobody could follow
    machine.used(Batch(None, 2))
    machine.backward(1.0)
    update(machine)
    rows = machine.rows_of().frame()
    assert rows.ids_digest.isna().tolist() == [False, True]
    assert rows.batch_size.tolist() == [2, 2]


def test_mode_rows_and_norms_stand_with_their_step(machine):
    for training, rows, norms in ((True, 4, None), (False, None, (2.0, 1.0)), (True, 4, (3.0, 3.0))):
        machine.used(batch(rows or 9))
        machine.called(training=training)
        machine.averaged(rows)
        machine.backward(1.0)
        if norms:
            update(machine)
            machine.stepped(2, 0.5, norms)
            machine.backward(1.0)  # on what was made of the batch
            machine.stepped(3, 0.5, (7.0, 7.0))  # a further loss's: the first one's are recorded
    rows = machine.rows_of().frame()
    assert rows.training.tolist() == [1, 0, 1]
    assert rows.loss_rows.fillna(0).tolist() == [4, 0, 4]
    assert rows.gradient_norm.fillna(0).tolist() == [0, 2, 3]
    assert rows.clipped_norm.fillna(0).tolist() == [0, 1, 3]


def test_optimizers_that_share_the_gradients_of_a_loss_share_their_norm(machine):
    machine.used(batch(1))
    machine.backward(1.0)
    update(machine)
    machine.stepped(2, 0.5, (3.0, 2.0))
    machine.stepped(3, 0.5, (4.0, 2.0))
    rows = machine.rows_of().frame()
    assert rows.gradient_norm.tolist() == [5.0]
    assert rows.clipped_norm.tolist() == pytest.approx([8**0.5])


def evaluate(machine, *batches, losses=()):
    for each in batches:
        machine.evaluated(each)
        for loss in losses:
            machine.evaluated_loss(loss, each.size)


def test_a_walk_that_trains_nothing_is_a_validation(machine):
    training, held_out = Walk(), Walk()
    for epoch in range(2):
        train(machine, batch(1, 2, walk=training, place=epoch), 1)
        evaluate(machine, batch(1, 2, walk=training))  # an accuracy of what was trained
        evaluate(machine, batch(5, 6, 7, walk=held_out), batch(8, walk=held_out))
        machine.evaluated(Batch(None, 30))  # a prediction
    validations = machine.rows_of().validations
    assert [each.after for each in validations] == [1, 2]
    assert [(each.num_samples, each.num_batches, each.loss) for each in validations] == [(4, 2, None)] * 2


def test_what_a_second_model_makes_of_the_first_s_output_is_of_the_same_pass(machine):
    train(machine, batch(1), 1)
    walk = Walk()
    for ids in ((5, 6), (7, 8)):
        machine.handed_out += 1
        machine.evaluated(batch(*ids, walk=walk))
        machine.evaluated(Batch(None, 2))
        machine.evaluated_loss(1.0, 2)
    assert [(each.num_samples, each.loss) for each in machine.rows_of().validations] == [(4, 1.0)]


def test_a_validation_s_loss_is_weighted_by_rows_and_unknown_if_there_are_two(machine):
    train(machine, batch(1), 1)
    for losses in ((3.0,), (3.0, 4.0)):
        walk = Walk()
        evaluate(machine, batch(5, 6, 7, walk=walk), losses=losses)
        evaluate(machine, batch(8, walk=walk), losses=[loss * 2 for loss in losses])
    assert [each.loss for each in machine.rows_of().validations] == [(3 * 3.0 + 6.0) / 4, None]


def test_what_is_trained_in_evaluation_mode_is_no_validation(machine):
    walk = Walk()
    for index in range(3):
        used = batch(index, walk=walk, place=index)
        evaluate(machine, used, losses=[1.0])
        train(machine, used, 1)
    trace = machine.rows_of()
    assert (trace.num_rows, trace.validations) == (3, ())


def test_settings_wait_for_the_first_row(tmp_path):
    opened = []
    machine = Machine(lambda: opened.append(xframe.record(tmp_path / "a.trace")) or opened[0])
    machine.settings({"optimizer.class": "SGD"})
    walk = Walk(lambda: {"loader.batch_size": 1})
    assert not opened
    train(machine, batch(1, walk=walk), 1)
    machine.finish()
    opened[0].close()
    assert xframe.Trace.open(tmp_path / "a.trace").settings == {"optimizer.class": "SGD", "loader.batch_size": 1}


def test_steps_with_ids_and_without_are_of_one_block(machine):
    """Of batches without an index the size is known, and what else was seen."""
    walk = Walk()
    for place, one in enumerate((batch(3, 1), Batch(None, 3, walk, 1), batch(5))):
        machine.used(one)
        machine.prints["features"] = np.full((one.size, 3), place)
        machine.backward(0.5)
        update(machine)
    rows = machine.rows_of().frame()
    assert rows.batch_size.tolist() == [2, 3, 1]
    assert [None if ids is None else ids.tolist() for ids in rows.ids] == [[3, 1], None, [5]]
    assert rows.ids_digest.isna().tolist() == [False, True, False]
    assert [len(prints) for prints in rows.features] == [6, 9, 3]
    assert rows.updates.tolist() == [1, 2, 3]
