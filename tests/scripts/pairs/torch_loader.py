"""Handwritten digits, a loop by hand over a DataLoader."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

features, targets = load_digits(return_X_y=True)
dataset = TensorDataset(torch.tensor(features / 16, dtype=torch.float32), torch.tensor(targets))
start = {name: torch.tensor(value) for name, value in np.load("start.npz").items()}
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
model.load_state_dict(
    {
        "0.weight": start["kernel"].T,
        "0.bias": start["bias"],
        "2.weight": start["kernel_1"].T,
        "2.bias": start["bias_1"],
    }
)

loader = DataLoader(dataset, batch_size=64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
criterion = nn.CrossEntropyLoss()
for _ in range(3):
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
