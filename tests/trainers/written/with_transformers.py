"""Transformers' Trainer, which takes whole windows of batches ahead."""

import tempfile

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

torch.manual_seed(0)
x = torch.rand(103, 6)
x[:, 0] = torch.arange(103) / 103  # each sample can be told from its first feature
y = torch.randint(0, 3, (103,))
batches = []


class Samples(Dataset):
    def __len__(self):
        return 103

    def __getitem__(self, index):
        return {"x": x[index], "labels": y[index]}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, x, labels):
        batches.append(x[:, 0].tolist())
        outputs = self.linear(x)
        return {"loss": nn.functional.cross_entropy(outputs, labels), "logits": outputs}


with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder,
        num_train_epochs=2,
        per_device_train_batch_size=10,
        gradient_accumulation_steps=4,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(Model(), arguments, train_dataset=Samples())
    trainer.train()
updates = trainer.state.global_step
