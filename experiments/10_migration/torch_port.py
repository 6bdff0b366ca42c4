"""The port once all mistakes are out of it: handwritten digits as images, a loop by hand."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

torch.manual_seed(0)
features, targets = load_digits(return_X_y=True)
features = torch.tensor(features / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
dataset = TensorDataset(features, torch.tensor(targets))
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding="same"),
    nn.BatchNorm2d(8, momentum=0.01, eps=1e-3),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(8 * 8 * 8, 10),
)
kernel, bias, *_, dense, dense_bias = (torch.tensor(values) for values in np.load("start.npz").values())
dense = dense.reshape(8, 8, 8, 10).permute(2, 0, 1, 3).reshape(512, 10)
model[0].load_state_dict({"weight": kernel.permute(3, 2, 0, 1), "bias": bias})
model[4].load_state_dict({"weight": dense.T, "bias": dense_bias})

loader = DataLoader(dataset, batch_size=64)
validation = DataLoader(Subset(dataset, range(360)), batch_size=64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5 ** (1 / 29))
criterion = nn.CrossEntropyLoss()


def validate():
    model.eval()
    with torch.no_grad():
        return sum(criterion(model(inputs), labels).item() * len(labels) for inputs, labels in validation) / 360


for _ in range(3):
    model.train()
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        for parameter in model.parameters():
            nn.utils.clip_grad_norm_([parameter], 0.5)
        optimizer.step()
        scheduler.step()
    print(f"validation loss {validate():.4f}")
