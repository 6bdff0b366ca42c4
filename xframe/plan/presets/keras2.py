"""``tf.keras.Model.fit`` of Keras 2. *ran* with tf_keras 2.21.0.

It accumulates no gradients and has no limit of steps or updates. With ``steps_per_epoch``, arrays are walked
through ``epochs`` times and no more; a tf.data goes on in the next epoch, and training stops where the data ends,
unless ``steps_per_epoch`` is just its cardinality: then each epoch restarts it. ``data`` is as for ``keras``.

Under ``MirroredStrategy`` or ``MultiWorkerMirroredStrategy`` its replicas share each batch of ``batch_size``, a slice
each; the gradient is the mean of the replicas' own. Give ``strategy`` as it is, or ``num_replicas_in_sync``;
``auto_shard_policy`` is the data's.

Source: tf_keras/src/engine/data_adapter.py (``DataHandler``) and training.py.
"""

from __future__ import annotations

from typing import Any, Literal

from xframe.errors import UsageError, Verbatim, counted
from xframe.plan.presets._arguments import free
from xframe.plan.presets._keras import ACCEPTS, DROP, NO_LIMITS, around, parts, read_arguments
from xframe.plan.presets._preset import Fields, Preset, batches_of_pass, epochs_of, maybe
from xframe.plan.presets._replicas import distributed


def _fields(
    *,
    num_samples: int,
    batch_size: int | None = None,
    epochs: int = 1,
    steps_per_epoch: int | None = None,
    steps_per_execution: int = 1,
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
) -> Fields:
    num_samples, epochs = parts("keras2", num_samples, data, validation_split, epochs, initial_epoch)
    b, s, per_execution, drop = read_arguments(
        "keras2", num_samples, batch_size, steps_per_epoch, steps_per_execution, data, drop_remainder
    )
    batches, steps = batches_of_pass(num_samples, b, drop), None
    iterator, exhaustion = "continue", None if data == "repeat-batch" else "repeat"
    if data == "arrays" and s is not None:
        steps = epochs * batches
    elif data == "dataset" and s is not None:
        iterator, exhaustion = ("restart", "repeat") if s == batches else ("continue", "stop")
    there = {"arrays": epochs * batches, "dataset": batches}.get(data)
    if s is not None and there is not None and there < min(per_execution, s) and iterator != "restart":
        raise UsageError(
            "keras2 with data that ends inside the first execution, after which fit raises an error",
            got=Verbatim(f"{counted(there, 'batch')}, steps_per_execution={per_execution}"),
            expected="data for one execution at least",
        )
    return {
        "batch_size": b,
        **distributed(
            "keras2",
            strategy,
            maybe("num_replicas_in_sync", num_replicas_in_sync),
            auto_shard_policy,
            b,
            workers=True,
        ),
        "remainder": "carry" if data == "repeat-batch" else "drop" if drop else "keep",
        "epochs": epochs,
        "steps": steps,
        **epochs_of(s, iterator, exhaustion),
        **around(
            "keras2",
            num_samples,
            shuffle,
            callbacks,
            validation_data is not None or validation_split > 0,
            validation_freq,
            validation_batch_size,
            initial_epoch,
        ),
    }


PRESET = Preset(
    make=_fields,
    trainer="tf_keras 2.21.0",
    missing=NO_LIMITS | {"gradient_accumulation_steps": "Keras 2 accumulates no gradients."},
    renamed={"replicas": "num_replicas_in_sync"},
    drop=DROP,
    variants={"data": ("dataset", "batch-repeat")},
    accepts=ACCEPTS | free("optimizer max_queue_size workers use_multiprocessing pss_evaluation_shards"),
)
