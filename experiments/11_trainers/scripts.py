"""Each trainer as a script uses it, with its own arguments; each returns what it says of itself when it has ended.

Nothing here knows of xframe. ``samples(n)`` are n samples of ten features.
"""

import math
import tempfile
import warnings

import numpy as np


def samples(num_samples):
    features = np.random.default_rng(0).normal(size=(num_samples, 10)).astype("float32")
    return features, (np.arange(num_samples) % 3).astype("int64")


def parts(num_samples, batch_size=1, drop_last=False):
    """A model, its optimizer and a loader in PyTorch."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    model = torch.nn.Linear(10, 3)
    dataset = TensorDataset(*map(torch.from_numpy, samples(num_samples)))
    loader = DataLoader(dataset, batch_size=batch_size, drop_last=drop_last)
    return model, torch.optim.SGD(model.parameters(), lr=0.1), loader


def pytorch(
    num_samples,
    *,
    batch_size,
    epochs=None,
    max_steps=None,
    gradient_accumulation_steps=1,
    leftover="leak",
    normalization="window",
    drop_last=False,
):
    import torch

    model, optimizer, loader = parts(num_samples, batch_size, drop_last)
    loss_fn, k, steps = torch.nn.CrossEntropyLoss(), gradient_accumulation_steps, 0
    for epoch in range(10**9 if epochs is None else epochs):
        if leftover == "zero":
            optimizer.zero_grad()
        for i, (x, y) in enumerate(loader):
            loss = loss_fn(model(x), y)
            (loss / k if normalization == "window" else loss).backward()
            steps += 1
            done = steps if leftover == "carry" else i + 1
            if done % k == 0 or (leftover == "flush" and done == len(loader)):
                optimizer.step()
                optimizer.zero_grad()
            if steps == max_steps:
                return {"epoch + 1": epoch + 1}
    return {"epoch + 1": epoch + 1}


def lightning(num_samples, *, batch_size, drop_last=False, data="loader", **arguments):
    import lightning
    import torch

    model, optimizer, loader = parts(num_samples, batch_size, drop_last)
    if data == "iterable":
        rows = loader.dataset

        class Stream(torch.utils.data.IterableDataset):
            def __iter__(self):
                return (rows[i] for i in range(num_samples))

        loader = torch.utils.data.DataLoader(Stream(), batch_size=batch_size)

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch, index):
            x, y = batch
            return torch.nn.functional.cross_entropy(self.model(x), y)

        def configure_optimizers(self):
            return optimizer

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **arguments)
    trainer.fit(Module(), loader)
    return {"global_step": trainer.global_step, "current_epoch": trainer.current_epoch}


def transformers(num_samples, *, num_items_in_batch=False, **arguments):
    import torch
    import transformers

    linear, optimizer, loader = parts(num_samples)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = linear

        def forward(self, features, labels):
            return {"loss": torch.nn.functional.cross_entropy(self.model(features), labels)}

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return num_samples

        def __getitem__(self, index):
            x, y = loader.dataset[index]
            return {"features": x, "labels": y}

    settings = transformers.TrainingArguments(
        tempfile.mkdtemp(),
        use_cpu=True,
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        train_sampling_strategy="sequential",
        **arguments,
    )
    trainer = transformers.Trainer(Model(), settings, train_dataset=Rows(), optimizers=(optimizer, None))
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return {"global_step": trainer.state.global_step, "state.epoch": round(trainer.state.epoch, 4)}


def accelerate(
    num_samples,
    *,
    batch_size,
    num_epochs=None,
    max_train_steps=None,
    steps_per_epoch=None,
    gradient_accumulation_steps=1,
    drop_last=False,
):
    import torch
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=gradient_accumulation_steps)
    model, optimizer, loader = accelerator.prepare(*parts(num_samples, batch_size, drop_last))
    if num_epochs is None:
        num_epochs = math.ceil(max_train_steps / math.ceil(len(loader) / gradient_accumulation_steps))
    completed_steps = 0
    for _ in range(num_epochs):
        for step, (x, y) in enumerate(loader):
            with accelerator.accumulate(model):
                accelerator.backward(torch.nn.functional.cross_entropy(model(x), y))
                optimizer.step()
                optimizer.zero_grad()
            completed_steps += accelerator.sync_gradients
            if completed_steps == max_train_steps or step + 1 == steps_per_epoch:
                break
    return {"completed_steps": int(completed_steps)}


def ignite(num_samples, *, batch_size, drop_last=False, gradient_accumulation_steps=1, **arguments):
    import torch
    from ignite.engine import create_supervised_trainer

    model, optimizer, loader = parts(num_samples, batch_size, drop_last)
    loss_fn = torch.nn.CrossEntropyLoss()
    trainer = create_supervised_trainer(
        model, optimizer, loss_fn, gradient_accumulation_steps=gradient_accumulation_steps
    )
    state = trainer.run(loader, **arguments)
    return {"state.iteration": state.iteration, "state.epoch": state.epoch}


def keras(
    num_samples, *, batch_size, data="arrays", drop_remainder=False, gradient_accumulation_steps=None, **arguments
):
    import keras
    import tensorflow as tf

    x, y = samples(num_samples)
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(3)])
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=gradient_accumulation_steps)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    given = {"x": x, "y": y, "batch_size": batch_size}
    if data != "arrays":
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size, drop_remainder=drop_remainder)
        given = {"x": batches.filter(lambda *_: True) if data == "unknown" else batches}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        history = model.fit(**given, shuffle=False, verbose=0, **arguments)
    return {"optimizer.iterations": int(optimizer.iterations), "epochs in history": len(history.epoch)}
