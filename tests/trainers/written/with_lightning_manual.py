"""Lightning without its own optimization: two networks, the second is updated on each other batch."""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.rand(103, 6)
x[:, 0] = torch.arange(103) / 103  # each sample can be told from its first feature
y = torch.randint(0, 3, (103,))
batches, updates, validations = [], [], []


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def training_step(self, batch, index):
        first, second = self.optimizers()
        batches.append(batch[0][:, 0].tolist())
        loss = nn.functional.cross_entropy(self.second(self.first(batch[0])), batch[1])
        self.manual_backward(loss)
        self.clip_gradients(first, gradient_clip_val=0.1, gradient_clip_algorithm="norm")
        first.step()
        first.zero_grad()
        if index % 2:
            second.step()
            second.zero_grad()
        updates.append((updates[-1] if updates else 0) + 1 + index % 2)

    def validation_step(self, batch, _index):
        self.log("loss", nn.functional.cross_entropy(self.second(self.first(batch[0])), batch[1]))

    def on_validation_epoch_end(self):
        if batches:  # not the trainer's own trial before
            validations.append((len(batches), 103, self.trainer.callback_metrics["loss"].item()))

    def configure_optimizers(self):
        return torch.optim.Adam(self.first.parameters(), 0.01), torch.optim.SGD(self.second.parameters(), 0.1)


trainer = lightning.Trainer(
    max_epochs=2,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    num_sanity_val_steps=0,
)
loader = DataLoader(TensorDataset(x, y), batch_size=10, shuffle=True)
trainer.fit(Module(), loader, DataLoader(TensorDataset(x, y), batch_size=50))
