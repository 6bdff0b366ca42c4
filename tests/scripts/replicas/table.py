"""What goes wrong where several processes train: the slips, by script, and how each is to be found."""

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
        "no_sync": (
            ("        loss = nn", "        if True:\n          with model.no_sync():\n            loss = nn"),
            ("        loss.backward()", "            loss.backward()"),
        ),
        "batch": (("DistributedSampler(data)\n", "Uneven(data)\n"), ("batch_size=20", "batch_size=40")),
        "ticks": (("        schedule.step()\n", "        for _ in range(world):\n            schedule.step()\n"),),
    },
}

FOUND: dict[tuple[str, str], Found] = {
    ("torch_ddp", "right"): Found("torch_alone-right", "replica-remainder", (5, "boundaries")),
    ("torch_ddp", "uneven"): Found("torch_alone-right", "mean-of-replicas-means", (6, "loss")),
    ("torch_ddp", "no sampler"): Found("torch_ddp-right", "replicas-unsplit", (5, "boundaries")),
    ("torch_ddp", "no set_epoch"): Found("torch_ddp-right", "set-epoch-forgotten", (6, "boundaries")),
    ("torch_ddp", "set_epoch in one"): Found("torch_ddp-right", "set-epoch-forgotten", (6, "boundaries")),
    ("torch_ddp", "seeds"): Found("torch_ddp-right", "replicas-of-different-orders", (0, "boundaries")),
    ("torch_ddp", "ahead"): Found("torch_alone-by 34", "replica-ahead", (6, "boundaries")),
    ("torch_ddp", "not wrapped"): Found("torch_ddp-right", "replicas-not-synchronised", (0, "replicas")),
    ("torch_ddp", "no_sync"): Found("torch_ddp-right", "replicas-not-synchronised", (0, "replicas")),
    ("torch_ddp", "batch"): Found("torch_alone-right", "batch-size-per-replica", (0, "boundaries")),
    ("torch_ddp", "ticks"): Found("torch_ddp-right", "schedule-ticks-in-each-replica", (1, "lr")),
}


def applied(text: str, edits: Edits) -> str:
    """The script with a slip in it."""
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text
