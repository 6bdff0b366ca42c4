"""Prints that are made for many batches at once are those of each."""

import threading

import numpy as np
import torch
from xframe_torch.instruments.together import Later, Together

from xframe.recording.identity import prints


def test_they_are_those_of_each_batch():
    together, batches, given = Together(), [], []
    rng = np.random.default_rng(0)
    for step in range(160):
        shape = ((64, 16, 2), (7, 5), (1, 3), (2, 40_000))[step % 4 if step % 40 else 3]
        values = rng.random(shape).astype("f4" if step % 3 else "f8")
        tensor = torch.from_numpy(values)
        batches.append(values.copy())
        given.append(together.prints([tensor], "close"))
        tensor.fill_(0)  # a buffer that is used again
        if step == 100:
            given[90].numpy()  # what waits is asked for at any time
    assert sum(isinstance(one, Later) for one in given) > 100
    for one, values in zip(given, batches, strict=True):
        assert len(one) == len(values)
        assert one.numpy()[:, 0].tolist() == prints(values)[:, 0].tolist()


def test_several_tensors_of_a_batch_and_batches_of_any_length():
    together = Together()
    rng = np.random.default_rng(1)
    pairs = [(rng.integers(0, 9, (4, n)), rng.random(4)) for n in [*range(1, 30)] * 2]
    given = [together.prints([*map(torch.from_numpy, pair)], "close") for pair in pairs]
    for one, pair in zip(given, pairs, strict=True):
        assert one.numpy()[:, 0].tolist() == prints(list(pair))[:, 0].tolist()


def test_a_lock_that_nobody_lets_go_of_stops_no_training():
    together = Together()
    first = together.prints([torch.ones(3, 2)], "close")
    first._group._lock.acquire()  # as a thread had that is not in a forked process
    made = []
    thread = threading.Thread(target=lambda: made.append(together.prints([torch.ones(3, 2)], "close")), daemon=True)
    thread.start()
    thread.join(10)
    assert made[0].numpy()[:, 0].tolist() == prints(np.ones((3, 2)))[:, 0].tolist()
