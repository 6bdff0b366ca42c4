"""The digits perceptron by Ignite, as a tutorial would write it: ignite_digits.py INPUT.npz OUTPUT.npz"""

import sys

import numpy as np
import torch
from ignite.engine import create_supervised_trainer
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

given = np.load(sys.argv[1])
orders = given["orders"].tolist()


class Order(Sampler):
    def __iter__(self):
        return iter(orders.pop(0))


model, names = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), ["dense_0/kernel", "dense_0/bias"]
names += ["dense_1/kernel", "dense_1/bias"]
model.load_state_dict(dict(zip(model.state_dict(), (torch.tensor(given[name].T) for name in names), strict=True)))
dataset = TensorDataset(torch.tensor(given["features"]), torch.tensor(given["targets"]))
size, drop = int(given["batch_size"]), bool(given["drop_last"])
loader = DataLoader(dataset, size, sampler=Order(), drop_last=drop)
optimizer = torch.optim.SGD(model.parameters(), lr=float(given["learning_rate"]), momentum=float(given["momentum"]))
trainer = create_supervised_trainer(model, optimizer, nn.CrossEntropyLoss())
length = len(dataset) // size if drop else -(-len(dataset) // size)
trainer.run(loader, max_iters=int(given["num_steps"]), epoch_length=length)
np.savez(sys.argv[2], **dict(zip(names, (value.numpy().T for value in model.state_dict().values()), strict=True)))
