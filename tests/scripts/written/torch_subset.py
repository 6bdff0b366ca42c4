"""A part of the data set, and a validation between updates that forgets no_grad; the same batch trained on twice."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

torch.manual_seed(0)
x = torch.rand(150, 6)
x[:, 0] = torch.arange(150) / 150  # each sample can be told from its first feature
y = torch.randint(0, 3, (150,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

train, held_out = random_split(TensorDataset(x, y), [120, 30])
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=2)
steps, updates = [], 0
for inputs, targets in DataLoader(train, batch_size=50):
    for _ in range(2):

        def closure(inputs=inputs, targets=targets):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            return loss

        loss = optimizer.step(closure)
        updates += 1
        steps.append((inputs[:, 0].tolist(), updates, 0, None, 0.5))
    for held, wanted in DataLoader(held_out, batch_size=30):
        nn.functional.cross_entropy(model(held), wanted)
