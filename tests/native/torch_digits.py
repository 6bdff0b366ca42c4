"""The digits perceptron in plain PyTorch, as a tutorial would write it: torch_digits.py INPUT.npz OUTPUT.npz"""

import sys

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

given = np.load(sys.argv[1])
dataset = TensorDataset(torch.from_numpy(given["features"]), torch.from_numpy(given["targets"]))
model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
layers = {"dense_0": model[0], "dense_1": model[2]}
with torch.no_grad():
    for name, layer in layers.items():
        layer.weight.copy_(torch.from_numpy(given[f"{name}/kernel"].T))
        layer.bias.copy_(torch.from_numpy(given[f"{name}/bias"]))
rates = {"lr": float(given["learning_rate"]), "momentum": float(given["momentum"])}
optimizer = torch.optim.SGD(model.parameters(), **rates)
loss_fn = nn.CrossEntropyLoss()
compute_loss = lambda x, y: loss_fn(model(x), y)  # noqa: E731
if str(given["loop"]) == "compile":
    compute_loss = torch.compile(compute_loss, dynamic=False)
steps = 0
for order in given["orders"]:
    batches = DataLoader(
        dataset, batch_size=int(given["batch_size"]), sampler=order.tolist(), drop_last=bool(given["drop_last"])
    )
    for x, y in batches:
        if steps == given["num_steps"]:
            break
        optimizer.zero_grad()
        compute_loss(x, y).backward()
        optimizer.step()
        steps += 1
weights = {f"{name}/kernel": layer.weight.detach().numpy().T for name, layer in layers.items()}
weights |= {f"{name}/bias": layer.bias.detach().numpy() for name, layer in layers.items()}
np.savez(sys.argv[2], **weights)
