"""A gradient scaler; the gradients of one batch overflow, and its update is skipped."""

import torch
from torch import nn

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
steps, updates = [], 0
for start in range(0, 150, 32):
    inputs, targets = x[start : start + 32], y[start : start + 32]
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(inputs), targets)
    scaler.scale(loss).backward()
    if start == 64:
        model[0].weight.grad.fill_(torch.inf)
    scaler.step(optimizer)
    scaler.update()
    updates += start != 64
    steps.append((inputs[:, 0].tolist(), updates, None, loss.item(), 0.1))
attempts = [1, 2, 3, 4, 5]
