"""skorch: arrays of NumPy, a fifth kept for validation by the trainer's own split; predictions at the end."""

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch import nn

torch.manual_seed(0)
x = np.random.default_rng(0).random((129, 6), dtype=np.float32)
x[:, 0] = np.arange(129) / 103  # each sample can be told from its first feature
y = np.random.default_rng(1).integers(0, 3, 129)
batches, updates, validations = [], [], []


class Counting(Callback):
    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        if training:
            batches.append(batch[0][:, 0].tolist())
            updates.append(len(updates) + 1)

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        validations.append((len(batches), len(dataset_valid), net.history[-1, "valid_loss"]))


net = NeuralNetClassifier(
    nn.Linear(6, 3),
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.01,
    max_epochs=2,
    batch_size=10,
    iterator_train__shuffle=True,
    train_split=ValidSplit(5, stratified=False),
    callbacks=[Counting()],
    verbose=0,
)
net.fit(x, y)
validations.append((len(batches), 129, None))
net.predict(x)
