"""Rows taken by index from a permutation; features are rescaled on the way, targets are not."""

import torch
from torch import nn

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
steps, updates = [], 0
for _ in range(2):
    order = torch.randperm(150)
    for start in range(0, 150, 32):
        chosen = order[start : start + 32]
        inputs, targets = x[chosen], y[chosen]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs * 2 - 1), targets)
        loss.backward()
        optimizer.step()
        updates += 1
        steps.append((inputs[:, 0].tolist(), updates, None, loss.item(), 0.1))
