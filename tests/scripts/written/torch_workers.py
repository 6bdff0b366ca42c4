"""Worker processes that prefetch; the last short batch is dropped; gradients of three batches make an update."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True, num_workers=2, drop_last=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
steps, updates = [], 0
for epoch in range(2):
    for index, (inputs, targets) in enumerate(loader):
        loss = nn.functional.cross_entropy(model(inputs.view(len(inputs), -1)), targets)
        (loss / 3).backward()
        if (index + 1) % 3 == 0:
            optimizer.step()
            optimizer.zero_grad()
            updates += 1
        steps.append((inputs[:, 0].tolist(), updates, epoch, loss.item(), 0.1))
