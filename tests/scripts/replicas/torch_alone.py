"""One process."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

torch.manual_seed(0)
features, targets = (part[:205] for part in load_digits(return_X_y=True))
data = TensorDataset(torch.tensor(features / 16, dtype=torch.float32), torch.tensor(targets))
sampler = DistributedSampler(data, num_replicas=1, rank=0)  # its order, without sharing it
loader = DataLoader(data, batch_size=40, sampler=sampler)
model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda tick: 0.97**tick)
for epoch in range(3):
    sampler.set_epoch(epoch)
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        schedule.step()
