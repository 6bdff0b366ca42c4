"""Lightning's Trainer: a checkpoint of its own every few batches, resumed by ckpt_path."""

import argparse
import logging
import warnings

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--resume", action="store_true")
parser.add_argument("--every", type=int, default=5)
parser.add_argument("--accumulation", type=int, default=1)
parser.add_argument("--exact", action="store_true")
parser.add_argument("--stateful", action="store_true")
given = parser.parse_args()

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.simplefilter("ignore")
torch.manual_seed(0)
x, y = torch.rand(103, 6), torch.randint(0, 3, (103,))


class Order(Sampler):
    """Each pass's order follows from its number; a resumed pass goes on in the midst of it."""

    def __init__(self):
        self.epoch = self.done = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        ids = torch.randperm(103, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        done, self.done = self.done, 0
        return iter(ids[10 * done :])

    def __len__(self):
        return 103


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))

    def training_step(self, batch, _index):
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), 0.01)
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 33)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Save(lightning.Callback):
    """Every few batches."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready % given.every == 0:
            trainer.save_checkpoint(f"{given.folder}/last.ckpt")


class Whole(lightning.Callback):
    """What Lightning leaves out: random numbers, an open window's gradients, the place in the order."""

    def __init__(self):
        self.held = None

    def state_dict(self):
        gradients = [p.grad for p in module.parameters()]
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        return {"random": torch.get_rng_state(), "gradients": gradients, "done": done}

    def load_state_dict(self, state):
        self.held = state
        order.done = state["done"] % 11

    def on_train_batch_start(self, *_):
        held, self.held = self.held, None
        if held is not None:
            torch.set_rng_state(held["random"])
            for parameter, gradient in zip(module.parameters(), held["gradients"], strict=True):
                parameter.grad = gradient


order, module = Order(), Module()
if given.stateful:
    from torchdata.stateful_dataloader import StatefulDataLoader as DataLoader
loader = DataLoader(TensorDataset(x, y), batch_size=10, **({"sampler": order} if given.exact else {"shuffle": True}))
quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
trainer = lightning.Trainer(
    max_epochs=3,
    accumulate_grad_batches=given.accumulation,
    accelerator="cpu",
    callbacks=[Save(), *([Whole()] if given.exact else [])],
    **quiet,
)
trainer.fit(module, loader, ckpt_path=f"{given.folder}/last.ckpt" if given.resume else None, weights_only=False)
