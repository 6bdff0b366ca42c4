"""The digits perceptron by Accelerate, as a tutorial would write it: accelerate_digits.py INPUT.npz OUTPUT.npz"""

import sys

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

given = np.load(sys.argv[1])
model, names = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), ["dense_0/kernel", "dense_0/bias"]
names += ["dense_1/kernel", "dense_1/bias"]
model.load_state_dict(dict(zip(model.state_dict(), (torch.tensor(given[name].T) for name in names), strict=True)))
dataset = TensorDataset(torch.tensor(given["features"]), torch.tensor(given["targets"]))
optimizer = torch.optim.SGD(model.parameters(), lr=float(given["learning_rate"]), momentum=float(given["momentum"]))
accelerator, steps = Accelerator(cpu=True), 0
model, optimizer = accelerator.prepare(model, optimizer)
for order in given["orders"].tolist():
    batches = DataLoader(dataset, int(given["batch_size"]), sampler=order, drop_last=bool(given["drop_last"]))
    for x, y in accelerator.prepare(batches):
        if steps == given["num_steps"]:
            break
        optimizer.zero_grad()
        accelerator.backward(nn.functional.cross_entropy(model(x), y))
        optimizer.step()
        steps += 1
np.savez(sys.argv[2], **dict(zip(names, (value.numpy().T for value in model.state_dict().values()), strict=True)))
