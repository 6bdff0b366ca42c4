"""Handwritten digits with Lightning."""

import lightning
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Digits(lightning.LightningModule):
    """A network of two layers."""

    def __init__(self):
        super().__init__()
        start = {name: torch.tensor(value) for name, value in np.load("start.npz").items()}
        self.model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        weights = {"0.weight": start["kernel"].T, "0.bias": start["bias"]}
        self.model.load_state_dict({**weights, "2.weight": start["kernel_1"].T, "2.bias": start["bias_1"]})

    def training_step(self, batch, _):
        inputs, labels = batch
        return nn.functional.cross_entropy(self.model(inputs), labels)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


features, targets = load_digits(return_X_y=True)
dataset = TensorDataset(torch.tensor(features / 16, dtype=torch.float32), torch.tensor(targets))
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", **quiet)
trainer.fit(Digits(), DataLoader(dataset, batch_size=64))
