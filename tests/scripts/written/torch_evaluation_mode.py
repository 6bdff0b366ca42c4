"""Batches of a sampler's own making, named by key; after a validation nobody says model.train() again."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


class Samples(Dataset):
    def __len__(self):
        return len(x)

    def __getitem__(self, index):
        return {"inputs": x[index], "target": int(y[index])}


class Growing:
    """Batches of 10, 20, 30, 40 samples, and what is left."""

    def __iter__(self):
        order = torch.randperm(150).tolist()
        for size in (10, 20, 30, 40, 50):
            yield order[:size]
            del order[:size]

    def __len__(self):
        return 5


optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
loader = DataLoader(Samples(), batch_sampler=Growing())
held_out = DataLoader(Samples(), batch_size=60)
steps, updates, modes, validations = [], 0, [], []
model.train()
for epoch in range(2):
    for batch in loader:
        loss = nn.functional.cross_entropy(model(batch["inputs"]), batch["target"], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        updates += 1
        steps.append((batch["inputs"][:, 0].tolist(), updates, epoch, loss.item(), 0.1))
        modes.append(int(model.training))
    model.eval()
    total = 0.0
    with torch.no_grad():
        for batch in held_out:
            output = model(batch["inputs"])
            total += nn.functional.cross_entropy(output, batch["target"], reduction="sum").item()
    validations.append((updates, [60, 60, 30], total / 150))
    print(f"epoch {epoch}: {total / 150:.4f}")
