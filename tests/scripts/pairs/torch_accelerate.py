"""Handwritten digits, Accelerate's loop, two batches an update."""

import numpy as np
import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

features, targets = load_digits(return_X_y=True)
dataset = TensorDataset(torch.tensor(features / 16, dtype=torch.float32), torch.tensor(targets))
start = {name: torch.tensor(value) for name, value in np.load("start.npz").items()}
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
weights = {"0.weight": start["kernel"].T, "0.bias": start["bias"]}
model.load_state_dict({**weights, "2.weight": start["kernel_1"].T, "2.bias": start["bias_1"]})

accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
accelerator.gradient_state.plugin_kwargs["sync_with_dataloader"] = False  # windows go on over epochs, as Keras' do
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(dataset, batch_size=64))
for _ in range(3):
    for inputs, labels in loader:
        with accelerator.accumulate(model):
            loss = nn.functional.cross_entropy(model(inputs), labels)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
