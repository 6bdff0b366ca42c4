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
