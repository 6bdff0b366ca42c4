"""A DataLoader that shuffles; a validation after each epoch."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
criterion = nn.CrossEntropyLoss()
steps, updates, validations = [], 0, []
for epoch in range(2):
    model.train()
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        updates += 1
        steps.append((inputs[:, 0].tolist(), updates, epoch, loss.item(), scheduler.get_last_lr()[0]))
    model.eval()
    with torch.no_grad():
        loss = criterion(model(x), y)
        print(epoch, loss.item())
    validations.append((updates, [150], loss.item()))
    scheduler.step()
