"""Three folds, each with a model and an optimizer of its own; losses summed by the reduction and divided by hand."""

import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))

data = ConcatDataset([TensorDataset(x[:100], y[:100]), TensorDataset(x[100:], y[100:])])
steps, updates, validations = [], 0, []
for fold in range(3):
    chosen = [index for index in range(150) if index % 3 != fold]
    held_out = [index for index in range(150) if index % 3 == fold]
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss(reduction="sum")
    for inputs, targets in DataLoader(Subset(data, chosen), batch_size=40, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets) / len(inputs)
        loss.backward()
        optimizer.step()
        updates += 1
        steps.append((inputs[:, 0].tolist(), updates, fold, loss.item(), 0.1))
    total = 0
    with torch.no_grad():
        for inputs, targets in DataLoader(Subset(data, held_out), batch_size=25):
            total += criterion(model(inputs), targets).item()
    validations.append((updates, [25, 25], total / 50))
