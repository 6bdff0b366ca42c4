"""xframe_torch.UpdateCounter in the trainers that call an optimizer in ways of their own."""

import warnings

import lightning
import pytest
import torch
from accelerate import Accelerator
from xframe_torch import UpdateCounter

ROWS = torch.eye(10)


class Counted(lightning.LightningModule):
    """A linear model; ``seen`` has, after each update, how often the counter has seen one."""

    def __init__(self, automatic):
        super().__init__()
        self.linear = torch.nn.Linear(10, 1)
        self.seen, self.automatic_optimization = [], automatic

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1)

    def on_train_start(self):
        self.counter = UpdateCounter(self.optimizers())  # Lightning's own wrapper

    def training_step(self, batch):
        loss = self.linear(batch).mean()
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return loss

    def on_train_batch_end(self, *_):
        self.seen.append((self.counter.attempts, self.counter.applied))


@pytest.mark.parametrize(("automatic", "window"), [(True, 1), (True, 2), (False, 1)])
def test_lightning(automatic, window, tmp_path):
    """Lightning zeroes the gradients and makes them inside the closure that it hands to the optimizer."""
    module = Counted(automatic)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            accumulate_grad_batches=window,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(module, torch.utils.data.DataLoader(ROWS, batch_size=2))
    expected = [1, 2, 3, 4, 5] if window == 1 else [0, 1, 1, 2, 3]
    assert module.seen == [(count, count) for count in expected]


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("closed", [False, True])
def test_accelerate(window, closed):
    model = torch.nn.Linear(10, 1)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=window)
    loader = torch.utils.data.DataLoader(ROWS, batch_size=2)
    model, optimizer, loader = accelerator.prepare(model, torch.optim.AdamW(model.parameters()), loader)
    counter, seen = UpdateCounter(optimizer), []
    for batch in loader:
        with accelerator.accumulate(model):

            def backward(batch=batch):
                accelerator.backward(model(batch).mean())

            if not closed:
                backward()
            optimizer.step(backward if closed and accelerator.sync_gradients else None)
            optimizer.zero_grad()
        seen.append((counter.attempts, counter.applied))
    expected = [1, 2, 3, 4, 5] if window == 1 else [0, 1, 1, 2, 3]
    assert seen == [(count, count) for count in expected]
