"""Windows of three batches, clipped by their global norm; samples are drawn by weight, and the leftover is dropped."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

sampler = WeightedRandomSampler(torch.rand(150), 150)
loader = DataLoader(TensorDataset(x, y), batch_size=20, sampler=sampler)
optimizer = torch.optim.AdamW(
    [{"params": model[0].parameters(), "weight_decay": 0.1}, {"params": model[2].parameters()}], lr=0.01
)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=8)
steps, updates, norms, rate = [], 0, [], 0.002
for epoch in range(3):
    optimizer.zero_grad()
    for index, (inputs, targets) in enumerate(loader):
        loss = nn.functional.cross_entropy(model(inputs), targets) / 3
        loss.backward()
        if (index + 1) % 3 == 0:
            norms.append((len(steps), nn.utils.clip_grad_norm_(model.parameters(), 0.1).item(), 0.1))
            rate = optimizer.param_groups[0]["lr"]
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            updates += 1
        steps.append((inputs[:, 0].tolist(), updates, epoch, 3 * loss.item(), rate))
