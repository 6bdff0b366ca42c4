"""A line through the diabetes data, a loop by hand over a DataLoader."""

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

features, targets = load_diabetes(return_X_y=True)
features = torch.tensor(features, dtype=torch.float32)
targets = torch.tensor(targets / 100, dtype=torch.float32)
model = nn.Linear(10, 1)
nn.init.constant_(model.weight, 0.1)
nn.init.zeros_(model.bias)
loader = DataLoader(TensorDataset(features, targets.reshape(-1, 1)), batch_size=64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
criterion = nn.MSELoss()
for _ in range(3):
    for inputs, values in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), values)
        loss.backward()
        optimizer.step()
