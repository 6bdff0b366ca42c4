"""The digits perceptron by Lightning, as a tutorial would write it: lightning_digits.py INPUT.npz OUTPUT.npz"""

import sys

import lightning
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

given = np.load(sys.argv[1])
orders = given["orders"].tolist()


class Order(Sampler):
    def __iter__(self):
        return iter(orders.pop(0))


class Digits(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def training_step(self, batch):
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=float(given["learning_rate"]), momentum=float(given["momentum"]))


digits, names = Digits(), ["dense_0/kernel", "dense_0/bias", "dense_1/kernel", "dense_1/bias"]
weights = (torch.tensor(given[name].T) for name in names)
digits.model.load_state_dict(dict(zip(digits.model.state_dict(), weights, strict=True)))
dataset = TensorDataset(torch.tensor(given["features"]), torch.tensor(given["targets"]))
loader = DataLoader(dataset, int(given["batch_size"]), sampler=Order(), drop_last=bool(given["drop_last"]))
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
lightning.Trainer(accelerator="cpu", max_epochs=-1, max_steps=int(given["num_steps"]), **quiet).fit(digits, loader)
trained = (value.numpy().T for value in digits.model.state_dict().values())
np.savez(sys.argv[2], **dict(zip(names, trained, strict=True)))
