"""Handwritten digits as images, batch normalisation, a loop by hand; a validation after each epoch."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

features, targets = load_digits(return_X_y=True)
features = torch.tensor(features / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
dataset = TensorDataset(features, torch.tensor(targets))
start = {name: torch.tensor(value) for name, value in np.load("start.npz").items()}
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding="same"),
    nn.BatchNorm2d(8, momentum=0.01, eps=1e-5),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(8, 10),
)
model[0].load_state_dict({"weight": start["conv"].permute(3, 2, 0, 1), "bias": start["bias_8"]})
model[-1].load_state_dict({"weight": start["conv_out"].T, "bias": start["bias_1"]})

loader = DataLoader(dataset, batch_size=64)
validation = DataLoader(Subset(dataset, range(360)), batch_size=64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
criterion = nn.CrossEntropyLoss()


def validate():
    model.eval()
    with torch.no_grad():
        total = sum(criterion(model(inputs), labels) * len(labels) for inputs, labels in validation)
    print(f"validation loss {total / 360:.4f}")


for _ in range(3):
    model.train()
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
    validate()
