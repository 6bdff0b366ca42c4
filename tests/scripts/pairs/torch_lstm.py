"""Handwritten digits, read row by row, a loop by hand over a DataLoader."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Reader(nn.Module):
    """The last row's state decides."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.out = nn.Linear(16, 10)

    def forward(self, rows):
        states, _ = self.lstm(rows)
        return self.out(states[:, -1])


features, targets = load_digits(return_X_y=True)
features = torch.tensor(features / 16, dtype=torch.float32).reshape(-1, 8, 8)
start = {name: torch.tensor(value) for name, value in np.load("start.npz").items()}
model = Reader()
model.lstm.load_state_dict(
    {
        "weight_ih_l0": start["lstm"].T,
        "weight_hh_l0": start["lstm_hidden"].T,
        "bias_ih_l0": start["lstm_bias"],
        "bias_hh_l0": torch.zeros(64),
    }
)
model.out.load_state_dict({"weight": start["lstm_out"].T, "bias": start["bias_1"]})
model.lstm.bias_hh_l0.requires_grad_(False)  # Keras has one bias

loader = DataLoader(TensorDataset(features, torch.tensor(targets)), batch_size=64)
optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
criterion = nn.CrossEntropyLoss()
for _ in range(3):
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
