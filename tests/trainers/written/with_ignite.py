"""Ignite: windows of four batches, the last one left open; a validation after each epoch."""

import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Loss
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.rand(103, 6)
x[:, 0] = torch.arange(103) / 103  # each sample can be told from its first feature
y = torch.randint(0, 3, (103,))
model = nn.Linear(6, 3)
optimizer = torch.optim.Adam(model.parameters(), 0.01)
criterion = nn.CrossEntropyLoss()
trainer = create_supervised_trainer(model, optimizer, criterion, gradient_accumulation_steps=4)
evaluator = create_supervised_evaluator(model, metrics={"loss": Loss(criterion)})
batches, validations = [], []


@trainer.on(Events.ITERATION_STARTED)
def note(engine):
    batches.append(engine.state.batch[0][:, 0].tolist())


@trainer.on(Events.EPOCH_COMPLETED)
def validate(engine):
    evaluator.run(DataLoader(TensorDataset(x, y), batch_size=50))
    validations.append((len(batches), 103, evaluator.state.metrics["loss"]))


trainer.run(DataLoader(TensorDataset(x, y), batch_size=10, shuffle=True), max_epochs=2)
updates = [(step + 1) // 4 for step in range(22)]
