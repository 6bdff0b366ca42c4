"""Batches that are moved to a device, in another precision; here the device is the CPU, and the types differ."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

torch.manual_seed(0)
x = torch.rand(150, 6, dtype=torch.float64)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,), dtype=torch.int32)


class Samples(Dataset):
    def __len__(self):
        return len(x)

    def __getitem__(self, index):
        return x[index].half(), y[index].long()


model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
steps, updates = [], 0
for epoch in range(2):
    for inputs, targets in DataLoader(Samples(), batch_size=50, shuffle=True):
        inputs, targets = inputs.to("cpu", torch.float32, non_blocking=True), targets.to(torch.int64)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        updates += 1
        steps.append((inputs[:, 0].tolist(), updates, epoch, loss.item(), 0.1))
    order = torch.randperm(150)
    for start in range(0, 150, 60):
        chosen = order[start : start + 60]
        inputs, targets = x[chosen].float(), y[chosen].to(torch.long)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        updates += 1
        steps.append((inputs[:, 0].tolist(), updates, None, loss.item(), 0.1))
