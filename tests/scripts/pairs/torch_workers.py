"""Handwritten digits, each shifted at random by its dataset, a loop by hand over a DataLoader."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Shifted(Dataset):
    """Images, each rolled by up to two columns."""

    def __init__(self):
        images, self.targets = load_digits(return_X_y=True)
        self.images = (images / 16).astype("float32").reshape(-1, 8, 8)
        self.rng = np.random.default_rng(5)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return np.roll(self.images[index], self.rng.integers(-2, 3), axis=1).reshape(64), self.targets[index]


start = {name: torch.tensor(value) for name, value in np.load("start.npz").items()}
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
weights = {"0.weight": start["kernel"].T, "0.bias": start["bias"]}
model.load_state_dict({**weights, "2.weight": start["kernel_1"].T, "2.bias": start["bias_1"]})

loader = DataLoader(Shifted(), batch_size=64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
criterion = nn.CrossEntropyLoss()
for _ in range(3):
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
