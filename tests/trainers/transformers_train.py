"""The real ``transformers.Trainer.train``, watched step by step."""

from __future__ import annotations

import gc
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import transformers
from observed import Observed
from torch import nn
from torch.utils.data import Dataset, IterableDataset

Row = dict[str, torch.Tensor]


class Rows(Dataset[Row]):
    """The unit vectors; one label per row, for the trainer counts the items of a batch by its labels."""

    def __init__(self, num_samples: int) -> None:
        self.rows = [{"rows": row, "labels": torch.tensor(0)} for row in torch.eye(num_samples)]

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)


class Stream(IterableDataset[Row]):
    """The same one after the other, their number unknown."""

    def __init__(self, num_samples: int) -> None:
        self.rows = Rows(num_samples).rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


class WatchedModel(nn.Module):
    """A linear model on unit vectors and its optimizer; ``seen`` fills up as the trainer uses them."""

    def __init__(self, num_samples: int) -> None:
        super().__init__()
        self.seen = Observed()
        self.linear = nn.Linear(num_samples, 1, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        self.optimizer.register_step_pre_hook(self._on_update)

    def forward(self, rows: torch.Tensor, labels: torch.Tensor) -> Row:
        return {"loss": self.losses(rows).mean()}

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.ids.append(rows.argmax(dim=1).tolist())
            self.seen.updates.append(len(self.seen.gradients))
        return -self.linear(rows)

    def _on_update(self, *_: Any) -> None:
        gradient = self.linear.weight.grad.numpy()[0].astype("float64")
        self.seen.gradients.append(0.0 - gradient)  # no negative zeros
        self.seen.updates[-1] = len(self.seen.gradients)


class ItemCountingModel(WatchedModel):
    """The trainer knows by ``**loss_kwargs`` that this model divides by the items of the whole window itself."""

    def forward(self, rows: torch.Tensor, labels: torch.Tensor, **loss_kwargs: Any) -> Row:
        return {"loss": self.losses(rows).sum() / loss_kwargs["num_items_in_batch"]}


@contextmanager
def small_heap() -> Iterator[None]:
    """``Trainer.train`` collects garbage, which takes half a second unless what is loaded anyway is left out."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def run_transformers(
    num_samples: int,
    *,
    per_device_train_batch_size: int,
    num_train_epochs: float = 3.0,
    max_steps: int = -1,
    gradient_accumulation_steps: int = 1,
    dataloader_drop_last: bool = False,
    num_items: bool = False,
    data: Literal["map", "iterable"] = "map",
    script: Iterable[float] = (),
    callbacks: Any = None,
    **others: Any,
) -> Observed:
    """The arguments are those of ``TrainingArguments``, with its defaults.

    Args:
        script: the accuracy of each evaluation, if there are any.
        num_items: the model takes ``num_items_in_batch`` and normalises its loss by it.
        data: ``map``: a data set with a length. ``iterable``: an ``IterableDataset`` without one.
    """
    transformers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            train_sampling_strategy="sequential",
            max_grad_norm=0.0,
            learning_rate=1.0,
            lr_scheduler_type="constant",
            per_device_train_batch_size=per_device_train_batch_size,
            num_train_epochs=num_train_epochs,
            max_steps=max_steps,
            gradient_accumulation_steps=gradient_accumulation_steps,
            dataloader_drop_last=dataloader_drop_last,
            **others,
        )
        accuracies = iter(script)
        model = (ItemCountingModel if num_items else WatchedModel)(num_samples)
        trainer = transformers.Trainer(
            model,
            arguments,
            train_dataset=(Stream if data == "iterable" else Rows)(num_samples),
            eval_dataset=Rows(num_samples) if script else None,
            compute_metrics=lambda _: {"accuracy": next(accuracies)},
            callbacks=callbacks,
            optimizers=(model.optimizer, None),
        )
        trainer.remove_callback(transformers.PrinterCallback)
        with small_heap():
            trainer.train()
    return model.seen
