"""A model that is compiled, and its copy that follows it slowly."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

compiled = torch.compile(model, backend="eager")
average = AveragedModel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
steps, updates = [], 0
for epoch in range(2):
    for inputs, targets in DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(compiled(inputs), targets)
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        with torch.no_grad():
            average(inputs)
        updates += 1
        steps.append((inputs[:, 0].tolist(), updates, epoch, loss.item(), 0.1))
