"""``keras.Model.fit`` of Keras 3 on TensorFlow. *ran* with keras 3.15.1.

There is no limit of steps or updates. With ``steps_per_epoch`` the pass goes on in the next epoch, and where it
is over, the epoch ends early. Accumulation is the optimizer's: windows go on over epochs, what is left at the
end is never applied, and the gradient is divided by ``gradient_accumulation_steps``. With ``steps_per_execution``
an epoch is rounded up to whole executions, as far as the data reaches; without ``steps_per_epoch`` it changes
nothing. ``data`` is how it is given: ``arrays`` (also a PyDataset without workers, a DataLoader), ``dataset``
(a batched tf.data of known cardinality), ``batch-repeat`` and ``repeat-batch`` (endless ones; where ``repeat``
comes first, batches straddle passes).

Under ``MirroredStrategy`` its replicas share each batch of ``batch_size``, a slice each; the gradient is the mean of
the replicas' own. Give ``strategy`` as it is, or ``num_replicas_in_sync``; ``auto_shard_policy`` is the data's. There
``fit`` fails where the first batch cannot be shared evenly, and where its optimizer accumulates gradients.

Source: keras/src/trainers/epoch_iterator.py, backend/tensorflow/trainer.py, optimizers/base_optimizer.py.
"""

from __future__ import annotations

from typing import Any, Literal

from xframe.errors import UsageError, Verbatim
from xframe.plan.presets._arguments import free
from xframe.plan.presets._keras import ACCEPTS, DROP, NO_LIMITS, around, parts, read_arguments
from xframe.plan.presets._preset import Fields, Preset, epochs_of, maybe, windows
from xframe.plan.presets._replicas import distributed


def _fields(
    *,
    num_samples: int,
    batch_size: int | None = None,
    epochs: int = 1,
    steps_per_epoch: int | None = None,
    steps_per_execution: int = 1,
    gradient_accumulation_steps: int | None = None,
    data: Literal["arrays", "dataset", "batch-repeat", "repeat-batch"] = "arrays",
    drop_remainder: bool = False,
    initial_epoch: int = 0,
    validation_split: float = 0.0,
    validation_data: Any = None,
    validation_freq: int = 1,
    validation_batch_size: int | None = None,
    shuffle: bool | None = None,
    callbacks: Any = None,
    strategy: Any = None,
    num_replicas_in_sync: int | None = None,
    auto_shard_policy: Any = "AUTO",
    optimizer: Any = None,
) -> Fields:
    num_samples, epochs = parts("keras", num_samples, data, validation_split, epochs, initial_epoch)
    b, s, per_execution, drop = read_arguments(
        "keras", num_samples, batch_size, steps_per_epoch, steps_per_execution, data, drop_remainder
    )
    if gradient_accumulation_steps is None:
        gradient_accumulation_steps = getattr(optimizer, "gradient_accumulation_steps", None)
    if s is not None:
        s = -(-s // per_execution) * per_execution
    shared = distributed("keras", strategy, maybe("num_replicas_in_sync", num_replicas_in_sync), auto_shard_policy, b)
    if shared:
        _fails(shared["replicas"], b if data == "repeat-batch" else min(b, num_samples), gradient_accumulation_steps)
    return {
        "batch_size": b,
        **shared,
        "remainder": "carry" if data == "repeat-batch" else "drop" if drop else "keep",
        "epochs": epochs,
        **epochs_of(s, "continue", {"batch-repeat": "repeat", "repeat-batch": None}.get(data, "short_epoch")),
        **windows(
            maybe("gradient_accumulation_steps", gradient_accumulation_steps),
            accumulation_remainder="carry",
            accumulation_at_end="drop",
            loss_normalization="window",
        ),
        **around(
            "keras",
            num_samples,
            shuffle,
            callbacks,
            validation_data is not None or validation_split > 0,
            validation_freq,
            validation_batch_size,
            initial_epoch,
        ),
    }


def _fails(replicas: int, first_batch: int, k: int | None) -> None:
    """Refuses what Keras' ``fit`` under a strategy raises an error for. *ran* under MirroredStrategy."""
    if first_batch % replicas:
        raise UsageError(
            "keras with a first batch that replicas do not divide, of which fit makes a mean over them before it "
            "trains, and fails",
            got=Verbatim(f"{first_batch:,} rows for {replicas:,} replicas"),
            expected=f"a multiple of {replicas:,}",
        )
    if k not in (None, 1):
        raise UsageError(
            "keras with gradient_accumulation_steps under a strategy, where its optimizers fail",
            got=k,
            expected="1",
            remedy="Use a loop of your own, or larger batches.",
        )


PRESET = Preset(
    make=_fields,
    trainer="keras 3.15.1",
    missing=NO_LIMITS,
    renamed={"replicas": "num_replicas_in_sync"},
    drop=DROP,
    variants={"data": ("dataset", "batch-repeat")},
    accepts=ACCEPTS | free("auto_scale_loss"),
)
