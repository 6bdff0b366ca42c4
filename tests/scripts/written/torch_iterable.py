"""A stream that nobody can index, shuffled in a buffer; batches of their own sizes."""

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


class Stream(IterableDataset):
    def __iter__(self):
        for index in torch.randperm(len(x)).tolist():
            yield x[index], y[index]


optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)
steps, updates = [], 0
for epoch in range(2):
    for inputs, targets in DataLoader(Stream(), batch_size=40):
        loss = nn.functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        updates += 1
        steps.append((len(inputs), updates, epoch, loss.item(), 0.01))
