"""Rows of rows: what a loop takes from a permuted copy, or from a batch, is known by its indices in the data."""

import numpy as np
import pytest
import torch

import xframe

pytestmark = pytest.mark.xdist_group("torch")
N = 60


def sliced(x, y, order):
    x, y = x[order], y[order]
    for i in range(0, N, 16):
        yield x[i : i + 16], y[i : i + 16]


def split(x, y, order):
    yield from zip(x[order].split(16), y[order].split(16), strict=True)


def copied_and_viewed(x, y, order):
    x, y = x[order].clone().view(-1, 1), y[order].clone()
    for i in range(0, N, 16):
        yield x[i : i + 16], y[i : i + 16]


def slices_of_slices(x, y, order):
    x, y = x[order], y[order]
    for i in range(0, N, 16):
        yield x[i : i + 16][:8], y[i : i + 16][:8]


def chosen_in_a_part(x, y, order):
    x, y = x[order[:40]], y[order[:40]]
    for i in range(0, 40, 8):
        j = torch.randperm(40)[:16] if i else torch.arange(16)
        yield x[j], y[j]


def chosen_in_a_batch(x, y, order):
    from torch.utils.data import DataLoader, TensorDataset

    for inputs, targets in DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True):
        j = torch.randperm(len(inputs))[:7]
        yield inputs[j], targets[j]


def detached(x, y, order):
    from torch.utils.data import DataLoader, TensorDataset

    for inputs, targets in DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True):
        yield inputs.detach(), targets.data


def subset_of_a_subset(x, y, order):
    from torch.utils.data import DataLoader, Subset, TensorDataset

    some = Subset(Subset(TensorDataset(x, y), order[:50].tolist()), range(4, 40))
    yield from DataLoader(some, batch_size=16, shuffle=True)


def inside_a_batch_of_its_own_kind(x, y, order):
    from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

    class Pair:
        def __init__(self, inputs, targets):
            self.inputs, self.targets = inputs, targets

    class Pairs(Dataset):
        def __getitem__(self, index):
            return Pair(x[index], y[index])

    batches = BatchSampler(RandomSampler(order), 16, drop_last=False)
    for pair in DataLoader(Pairs(), batch_size=None, sampler=batches, collate_fn=lambda pair: pair):
        yield pair.inputs, pair.targets


WAYS = (sliced, split, copied_and_viewed, slices_of_slices, chosen_in_a_part, chosen_in_a_batch, detached)
WAYS += (subset_of_a_subset, inside_a_batch_of_its_own_kind)


@pytest.mark.parametrize("way", WAYS)
def test_rows_of_rows_are_those_of_the_data(way, tmp_path):
    x, y = (torch.arange(N) / N).reshape(N, 1), torch.zeros(N, dtype=torch.long)
    model = torch.nn.Linear(1, 2)
    optimizer, used = torch.optim.SGD(model.parameters(), 0.1), []
    with xframe.watch(tmp_path / "a.trace"):
        for inputs, targets in way(x, y, torch.randperm(N)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            used.append(np.round(N * inputs[:, 0].numpy()).astype(int).tolist())
    assert [row.tolist() for row in xframe.Trace.open(tmp_path / "a.trace").frame().ids] == used
