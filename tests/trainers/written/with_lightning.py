"""Lightning: windows of four batches, a validation after each epoch."""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.rand(103, 6)
x[:, 0] = torch.arange(103) / 103  # each sample can be told from its first feature
y = torch.randint(0, 3, (103,))
batches = []


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Linear(6, 3)

    def training_step(self, batch, _index):
        batches.append(batch[0][:, 0].tolist())
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def validation_step(self, batch, _index):
        self.log("loss", nn.functional.cross_entropy(self.model(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)


trainer = lightning.Trainer(
    max_epochs=2,
    accumulate_grad_batches=4,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
loader = DataLoader(TensorDataset(x, y), batch_size=10, shuffle=True)
trainer.fit(Module(), loader, DataLoader(TensorDataset(x, y), batch_size=50))
updates = trainer.global_step
