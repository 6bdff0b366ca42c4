"""Half precision where it is safe; clipped by value; a scheduler that waits for the validation's loss."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

train = DataLoader(TensorDataset(x[:120], y[:120]), batch_size=50, shuffle=True)
test = DataLoader(TensorDataset(x[120:], y[120:]), batch_size=30)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, foreach=True)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1.0)
steps, updates, norms, validations = [], 0, [], []
for epoch in range(2):
    model.train()
    for inputs, targets in train:
        optimizer.zero_grad(set_to_none=False)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        before = torch.linalg.vector_norm(torch.cat([p.grad.reshape(-1) for p in model.parameters()])).item()
        nn.utils.clip_grad_value_(model.parameters(), 0.02)
        after = torch.linalg.vector_norm(torch.cat([p.grad.reshape(-1) for p in model.parameters()])).item()
        norms.append((len(steps), before, after))
        optimizer.step()
        updates += 1
        steps.append((inputs[:, 0].tolist(), updates, epoch, loss.item(), optimizer.param_groups[0]["lr"]))
    model.eval()
    with torch.inference_mode():
        for inputs, targets in test:
            loss = nn.functional.cross_entropy(model(inputs), targets)
    validations.append((updates, [30], loss.item()))
    scheduler.step(loss)
