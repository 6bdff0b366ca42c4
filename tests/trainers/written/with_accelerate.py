"""Accelerate, whose loader takes a batch ahead: windows of four batches."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.rand(103, 6)
x[:, 0] = torch.arange(103) / 103  # each sample can be told from its first feature
y = torch.randint(0, 3, (103,))
accelerator = Accelerator(gradient_accumulation_steps=4, cpu=True)
model = nn.Linear(6, 3)
optimizer = torch.optim.Adam(model.parameters(), 0.01)
loader = DataLoader(TensorDataset(x, y), batch_size=10, shuffle=True)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
batches, updates = [], 0
for _ in range(2):
    for inputs, targets in loader:
        with accelerator.accumulate(model):
            batches.append(inputs[:, 0].tolist())
            accelerator.backward(nn.functional.cross_entropy(model(inputs), targets))
            optimizer.step()
            optimizer.zero_grad()
            updates += accelerator.sync_gradients
