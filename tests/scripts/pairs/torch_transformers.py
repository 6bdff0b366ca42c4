"""Handwritten digits with Transformers' Trainer."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments


class Digits(Dataset):
    """Images and what they show."""

    def __init__(self):
        images, targets = load_digits(return_X_y=True)
        self.images, self.targets = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(targets)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return {"inputs": self.images[index], "labels": self.targets[index]}


class Classifier(nn.Module):
    """A network of two layers, and its loss."""

    def __init__(self):
        super().__init__()
        start = {name: torch.tensor(value) for name, value in np.load("start.npz").items()}
        self.layers = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        weights = {"0.weight": start["kernel"].T, "0.bias": start["bias"]}
        self.layers.load_state_dict({**weights, "2.weight": start["kernel_1"].T, "2.bias": start["bias_1"]})

    def forward(self, inputs, labels):
        outputs = self.layers(inputs)
        return {"loss": nn.functional.cross_entropy(outputs, labels), "logits": outputs}


model = Classifier()
arguments = TrainingArguments(
    "trained",
    num_train_epochs=3,
    per_device_train_batch_size=64,
    lr_scheduler_type="constant",
    max_grad_norm=0,
    train_sampling_strategy="sequential",
    report_to=[],
    save_strategy="no",
    logging_strategy="no",
    use_cpu=True,
    disable_tqdm=True,
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
Trainer(model, arguments, train_dataset=Digits(), optimizers=(optimizer, None)).train()
