"""Handwritten digits, a loop by hand over permutations; it stops in mid-epoch and is resumed from a checkpoint."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

features, targets = load_digits(return_X_y=True)
features, targets = torch.tensor(features / 16, dtype=torch.float32), torch.tensor(targets)
start = {name: torch.tensor(value) for name, value in np.load("start.npz").items()}
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
weights = {"0.weight": start["kernel"].T, "0.bias": start["bias"]}
model.load_state_dict({**weights, "2.weight": start["kernel_1"].T, "2.bias": start["bias_1"]})

optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
criterion = nn.CrossEntropyLoss()
rng = np.random.default_rng(7)


def train(epoch, batch, steps):
    """From that batch on, that many steps; a checkpoint of where it stopped."""
    while epoch < 3:
        generator = rng.bit_generator.state
        order = torch.tensor(rng.permutation(len(features))).split(64)
        for place in range(batch, len(order)):
            if steps == 0:
                return {"epoch": epoch, "batch": place, "generator": generator}
            rows = order[place]
            optimizer.zero_grad()
            loss = criterion(model(features[rows]), targets[rows])
            loss.backward()
            optimizer.step()
            steps -= 1
        epoch, batch = epoch + 1, 0
    return None


checkpoint = train(0, 0, steps=40)
rng.bit_generator.state = checkpoint["generator"]
train(checkpoint["epoch"], checkpoint["batch"], steps=-1)
