"""``xframe.watch``: whatever trains inside its block is recorded, step by step, and nothing in it is changed.

with xframe.watch("new.trace"):
    train()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xframe.recording.attach.instruments import Instrument, OnImport, available
from xframe.recording.attach.machine import Machine
from xframe.recording.recorder import Recorder, record

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan


@contextmanager
def watch(
    path: str | Path,
    *,
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[Recorder]:
    """Records what trains inside the block into ``path``; the arguments are those of ``xframe.record``."""
    entries = available()
    attached: list[Instrument] = []
    with record(path, plan=plan, num_samples=num_samples, metadata=metadata) as recorder:
        machine = Machine(lambda: recorder)

        def attach(framework: str) -> None:
            instrument: Instrument = entries[framework].load()(machine)
            instrument.attach()
            attached.append(instrument)

        finder = OnImport(list(entries), attach)
        finder.start()
        try:
            yield recorder
        finally:
            finder.stop()
            while attached:
                attached.pop().detach()
            machine.finish()
