"""Gradients asked for by name and applied by hand to the optimizer; an evaluation on slices between."""

import torch
from torch import nn

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)
steps, validations = [], []
for updates, start in enumerate(range(0, 120, 40), 1):
    inputs, targets = x[start : start + 40], y[start : start + 40]
    loss = nn.functional.nll_loss(nn.functional.log_softmax(model(inputs), dim=1), targets)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    steps.append((inputs[:, 0].tolist(), updates, None, loss.item(), 0.05))
    with torch.no_grad():
        print("of what was trained", (model(inputs).argmax(1) == targets).float().mean().item())
        held = nn.functional.cross_entropy(model(x[120:]), y[120:])
    validations.append((updates, [30], held.item()))
