"""Two losses on one computation, each with a backward pass of its own; the optimizer is fused."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))

heads = nn.ModuleList([nn.Linear(8, 3), nn.Linear(8, 1)])
body = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
model = nn.ModuleList([body, heads])
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
steps, updates = [], 0
for epoch in range(2):
    for inputs, targets in DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True, drop_last=True):
        hidden = body(inputs)
        classes, values = heads[0](hidden), heads[1](hidden).squeeze(1)
        optimizer.zero_grad()
        first = nn.functional.cross_entropy(classes, targets)
        second = nn.functional.mse_loss(values, inputs[:, 1])
        first.backward(retain_graph=True)
        second.backward()
        optimizer.step()
        updates += 1
        steps.append((inputs[:, 0].tolist(), updates, epoch, (first + second).item(), 0.01))
