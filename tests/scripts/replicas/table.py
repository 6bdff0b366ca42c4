"""What goes wrong where several processes train: the slips, by script, and how each is to be found.

What an engine does not let happen is no row. Under MultiWorkerMirroredStrategy workers agree in each step whether any
has data left, so that none is steps ahead or short of the others: one without data makes steps of no rows. A model
called on what the strategy distributes, without ``strategy.run``, is refused by Keras ("Only input tensors may be
passed"). Several workers whose pipelines are unlike in a plain loop without the strategy never wait for each other.
What draws in an order of its own is compared by coverage, so that "files" shows with the first batch of another size,
and "seeds" where two ranks first have a sample in one step, though samples are others before.
"""

from __future__ import annotations

from typing import NamedTuple

Edits = tuple[tuple[str, str], ...]


class Found(NamedTuple):
    """What a comparison must report of a slip.

    Attributes:
        against: the run that it is compared with, as script and row.
        cause: the first one's name.
        first: step and check of the first difference.
    """

    against: str
    cause: str
    first: tuple[int | None, str]


_LOSS = "tf.reduce_sum(losses) / rows"
_SHUFFLED = "data = data.shuffle(205, seed=1).batch(40).with_options(options)\n"
_DISTRIBUTED = "data = strategy.experimental_distribute_dataset(data)\n"
_ONE_KEEPS = "data = data.shuffle(205, seed=1).cache() if worker else data.shuffle(205, seed=1)\ndata = data"
_PLAIN = ((_DISTRIBUTED, ""), ("with strategy.scope():", "if True:"))
_OWN_STEPS = (("strategy.run(step, args=(inputs, labels))", "step(inputs, labels)"),)
_FILES = """
import tempfile
folder = tempfile.mkdtemp()
for file, rows in enumerate((slice(0, 80), slice(80, 205))):
    with tf.io.TFRecordWriter(f"{folder}/{file}") as writer:
        for row in zip(features[rows] / 16, targets[rows]):
            writer.write(tf.io.serialize_tensor(tf.constant([*row[0], row[1]], tf.float32)).numpy())


def read(one):
    row = tf.ensure_shape(tf.io.parse_tensor(one, tf.float32), [65])
    return row[:64], tf.cast(row[64], tf.int64)


data = tf.data.TFRecordDataset([f"{folder}/{file}" for file in range(2)]).map(read).batch(40).with_options(options)
"""


def sharded(data: str) -> Edits:
    """Each worker has a data set of its own, made of the whole one."""
    made = f"whole = data\ndata = strategy.distribute_datasets_from_function(lambda _: {data})\n"
    return ((_SHUFFLED + _DISTRIBUTED, made),)


SLIPS: dict[str, dict[str, Edits]] = {
    "torch_alone": {"by 34": (("batch_size=40", "batch_size=34"),)},
    "torch_ddp": {
        "uneven": (("DistributedSampler(data)\n", "Uneven(data)\n"),),
        "no sampler": (
            ("sampler=sampler", "shuffle=True"),
            ("range(3)", "range(2)"),
        ),
        "no set_epoch": (("    sampler.set_epoch(epoch)\n", ""),),
        "set_epoch in one": (("    sampler.set_epoch(epoch)\n", "    sampler.set_epoch(epoch * (rank == 0))\n"),),
        "for three": (("DistributedSampler(data)\n", "DistributedSampler(data, 3, rank)\n"),),
        "exchanged": (("DistributedSampler(data)\n", "DistributedSampler(data, 2, 1 - rank)\n"),),
        "left out": (
            (
                "        optimizer.step()\n",
                "        if rank == 0 or schedule.last_epoch != 3:\n            optimizer.step()\n",
            ),
        ),
        "seeds": (("DistributedSampler(data)\n", "DistributedSampler(data, seed=rank)\n"),),
        "ahead": (
            ("DistributedSampler(data)\n", "Uneven(data)\n"),
            ("batch_size=20", "batch_size=17"),  # 7 batches of 103 samples, 6 of 102
            ("for epoch in range(3)", "done = 0\nfor epoch in range(3)"),
            ("in loader:\n", "in loader:\n        if done == 14:\n            break\n        done += 1\n"),
        ),
        "not wrapped": (
            (
                "DistributedDataParallel(nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)))",
                "nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))",
            ),
        ),
        "one weight": (
            (
                "DistributedDataParallel(nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)))",
                "nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))\n"
                'DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, ["2.weight"])\n'
                "model = DistributedDataParallel(model)",
            ),
        ),
        "no_sync": (
            ("        loss = nn", "        if True:\n          with model.no_sync():\n            loss = nn"),
            ("        loss.backward()", "            loss.backward()"),
        ),
        "batch": (("DistributedSampler(data)\n", "Uneven(data)\n"), ("batch_size=20", "batch_size=40")),
        "ticks": (("        schedule.step()\n", "        for _ in range(world):\n            schedule.step()\n"),),
    },
    "tensorflow_alone": {"by 34": ((".batch(40)", ".batch(34)"),), "stored": ((".shuffle(205, seed=1)", ""),)},
    "tensorflow_workers": {
        "function": sharded("whole.shuffle(205, seed=1).shard(2, worker).batch(20)"),
        "off": (("Policy.DATA", "Policy.OFF"),),
        "one shard": sharded("whole.shuffle(205, seed=1).shard(2, 0).batch(20)"),
        "seeds": (("seed=1)", "seed=1 + worker)"),),
        "no seed": (("keras.utils.set_random_seed(0)\n", ""), ("seed=1)", "seed=None)")),
        "sharded seeds": sharded("whole.shuffle(205, seed=1 + worker).shard(2, worker).batch(20)"),
        "kept": (("seed=1)", "seed=1).cache()"),),
        "one keeps": (("data = data.shuffle(205, seed=1)", _ONE_KEEPS),),
        "ahead": (("data = strategy.exp", "if worker == 1:\n    for _ in data:\n        pass\ndata = strategy.exp"),),
        "ahead by batches": (
            *sharded("whole.shuffle(205, seed=1).shard(2, worker).batch(17).repeat(3)"),
            ("for _ in range(3)", "for _ in range(1)"),
        ),
        "sum": ((_LOSS, "tf.reduce_sum(losses)"),),
        "own means": ((_LOSS, "tf.reduce_mean(losses)"),),
        "means": ((_LOSS, "tf.reduce_mean(losses) / 2"),),
        "divided twice": ((_LOSS, f"{_LOSS} / 2"),),
        "nominal": ((_LOSS, "tf.nn.compute_average_loss(losses, global_batch_size=40)"),),
        "no strategy": (*_PLAIN, *_OWN_STEPS),
        "own steps": (*_PLAIN, *_OWN_STEPS, (".batch(40)", ".shard(2, worker).batch(20)")),
        "start apart": (
            *_PLAIN,
            *_OWN_STEPS,
            (".batch(40)", ".shard(2, worker).batch(20)"),
            ("    model =", "    keras.utils.set_random_seed(worker)\n    model ="),
        ),
        "batch": sharded("whole.shuffle(205, seed=1).shard(2, worker).batch(40)"),
        "half": ((".batch(40)", ".batch(20)"),),
        "rate": (("SGD(0.1", "SGD(0.2"), ("assign(0.1", "assign(0.2")),
        "ticks": (("ONLY_FIRST_REPLICA", "SUM"),),
        "files": ((_SHUFFLED, _FILES), ("Policy.DATA", "Policy.FILE")),
        "one drops": ((".batch(40)", ".batch(40, drop_remainder=worker == 1)"),),
        "drop": ((".batch(40)", ".batch(40, drop_remainder=True)"),),
    },
}


def _of_orders(step: int) -> Found:
    return Found("tensorflow_alone-right", "replicas-of-different-orders", (step, "boundaries"))


FOUND: dict[tuple[str, str], Found] = {
    ("torch_ddp", "right"): Found("torch_alone-right", "replica-remainder", (5, "boundaries")),
    ("torch_ddp", "uneven"): Found("torch_alone-right", "mean-of-replicas-means", (6, "loss")),
    ("torch_ddp", "no sampler"): Found("torch_ddp-right", "replicas-unsplit", (0, "boundaries")),
    ("torch_ddp", "no set_epoch"): Found("torch_ddp-right", "set-epoch-forgotten", (6, "boundaries")),
    ("torch_ddp", "set_epoch in one"): Found("torch_ddp-right", "set-epoch-forgotten", (6, "boundaries")),
    ("torch_ddp", "for three"): Found("torch_ddp-right", "replicas-of-other-number", (3, "boundaries")),
    ("torch_ddp", "exchanged"): Found("torch_ddp-right", "replicas-exchanged", (0, "boundaries")),
    ("torch_ddp", "left out"): Found("torch_ddp-right", "replica-leaves-update-out", (3, "replicas")),
    ("torch_ddp", "seeds"): Found("torch_ddp-right", "replicas-of-different-orders", (1, "boundaries")),
    ("torch_ddp", "ahead"): Found("torch_alone-by 34", "replica-ahead", (6, "boundaries")),
    ("torch_ddp", "not wrapped"): Found("torch_ddp-right", "replicas-not-synchronised", (0, "replicas")),
    ("torch_ddp", "one weight"): Found("torch_ddp-right", "replicas-not-synchronised", (0, "replicas")),
    ("torch_ddp", "no_sync"): Found("torch_ddp-right", "replicas-not-synchronised", (0, "replicas")),
    ("torch_ddp", "batch"): Found("torch_alone-right", "batch-size-per-replica", (0, "boundaries")),
    ("torch_ddp", "ticks"): Found("torch_ddp-right", "schedule-ticks-in-each-replica", (1, "lr")),
    ("tensorflow_workers", "right"): Found("tensorflow_alone-right", "", (None, "none")),
    ("tensorflow_workers", "function"): Found("tensorflow_alone-right", "", (None, "none")),
    ("tensorflow_workers", "off"): Found("tensorflow_alone-right", "replicas-unsplit", (0, "boundaries")),
    ("tensorflow_workers", "one shard"): Found("tensorflow_alone-right", "replicas-of-one-share", (0, "boundaries")),
    ("tensorflow_workers", "seeds"): _of_orders(0),
    ("tensorflow_workers", "no seed"): _of_orders(0),
    ("tensorflow_workers", "sharded seeds"): _of_orders(0),
    ("tensorflow_workers", "one keeps"): Found("tensorflow_alone-right", "set-epoch-forgotten", (6, "boundaries")),
    ("tensorflow_workers", "kept"): Found("tensorflow_alone-right", "set-epoch-forgotten", (6, "boundaries")),
    ("tensorflow_workers", "ahead"): Found("tensorflow_alone-right", "replica-ahead", (0, "boundaries")),
    ("tensorflow_workers", "ahead by batches"): Found("tensorflow_alone-by 34", "replica-ahead", (6, "boundaries")),
    ("tensorflow_workers", "sum"): Found("tensorflow_alone-right", "loss-scale", (0, "loss")),
    ("tensorflow_workers", "own means"): Found("tensorflow_alone-right", "summed-over-replicas", (0, "loss")),
    ("tensorflow_workers", "means"): Found("tensorflow_alone-right", "mean-of-replicas-means", (5, "loss")),
    ("tensorflow_workers", "divided twice"): Found("tensorflow_alone-right", "summed-over-replicas", (0, "loss")),
    ("tensorflow_workers", "nominal"): Found("tensorflow_alone-right", "divided-by-full-batch", (5, "loss")),
    ("tensorflow_workers", "no strategy"): Found("tensorflow_alone-right", "replicas-unsplit", (0, "boundaries")),
    ("tensorflow_workers", "own steps"): Found("tensorflow_alone-right", "replicas-not-synchronised", (0, "replicas")),
    ("tensorflow_workers", "start apart"): Found("tensorflow_alone-right", "replicas-start-apart", (0, "replicas")),
    ("tensorflow_workers", "batch"): Found("tensorflow_alone-right", "batch-size-per-replica", (0, "boundaries")),
    ("tensorflow_workers", "half"): Found("tensorflow_alone-right", "batch-size-per-replica", (0, "boundaries")),
    ("tensorflow_workers", "rate"): Found("tensorflow_alone-right", "learning-rate", (0, "lr")),
    ("tensorflow_workers", "ticks"): Found("tensorflow_alone-right", "schedule-ticks-in-each-replica", (1, "lr")),
    ("tensorflow_workers", "files"): Found("tensorflow_alone-stored", "replicas-of-unequal-shares", (4, "boundaries")),
    ("tensorflow_workers", "one drops"): Found(
        "tensorflow_alone-right", "replicas-of-unequal-shares", (5, "boundaries")
    ),
    ("tensorflow_workers", "drop"): Found("tensorflow_alone-right", "short-batch-dropped", (5, "boundaries")),
}


def applied(text: str, edits: Edits) -> str:
    """The script with a slip in it."""
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text
