"""Slices of a tensor, in the stored order; two optimizers, each with a loss of its own on every batch."""

import torch
from torch import nn

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

other = nn.Linear(6, 1)
optimizers = [torch.optim.SGD(model.parameters(), lr=0.1), torch.optim.Adam(other.parameters(), lr=0.1)]
steps, updates = [], 0
for start in range(0, 150, 32):
    inputs, targets = x[start : start + 32], y[start : start + 32]
    first = nn.functional.cross_entropy(model(inputs), targets)
    optimizers[0].zero_grad()
    first.backward()
    optimizers[0].step()
    optimizers[1].zero_grad()
    other(inputs).square().mean().backward()
    optimizers[1].step()
    updates += 2
    steps.append((inputs[:, 0].tolist(), updates, None, first.item(), 0.1))
