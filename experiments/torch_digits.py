"""Handwritten digits in PyTorch, with the lines that record it (marked +).

Usage: torch_digits.py TRACE
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import xframe  # +

images, labels = load_digits(return_X_y=True)
x = torch.from_numpy((images / 16).astype("float32"))
y = torch.from_numpy(labels)
sample_ids = torch.arange(len(x))  # +

model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
random = np.random.default_rng(0)  # both scripts start from the same weights
with torch.no_grad():
    for layer in (model[0], model[2]):
        shape = (layer.in_features, layer.out_features)
        layer.weight.copy_(torch.from_numpy(random.uniform(-0.2, 0.2, shape)).T)
        layer.bias.zero_()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()
num_updates = 0  # +

plan = xframe.TrainingPlan(epochs=3, batch_size=64)
sampler = xframe.sampler(plan, len(x))  # and see the samples in the same order
loader = DataLoader(TensorDataset(x, y, sample_ids), batch_size=64, sampler=sampler)

with xframe.record(sys.argv[1], num_samples=len(x)) as rec:  # +
    for epoch in range(3):
        for features, targets, ids in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(features), targets)
            loss.backward()
            optimizer.step()
            num_updates += 1  # +
            rec.step(ids=ids, updates=num_updates, loss=loss, lr=optimizer.param_groups[0]["lr"], epoch=epoch)  # +
        print(f"epoch {epoch}: loss {loss.item():.4f}")
