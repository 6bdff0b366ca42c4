"""The instrument as a whole."""

from __future__ import annotations

import torch

from xframe.recording.attach.instruments import refuse_untested
from xframe.recording.attach.machine import Machine
from xframe.recording.attach.patches import Patches
from xframe_torch.instruments.batches import Batches
from xframe_torch.instruments.compiling import Compiling
from xframe_torch.instruments.computing import Computing
from xframe_torch.instruments.noting import Noting
from xframe_torch.instruments.updates import Updates

TESTED = ("2.13.",)


class TorchInstrument:
    """Gives a machine what happens in torch, from ``attach`` until ``detach``."""

    def __init__(self, machine: Machine) -> None:
        self.noting = Noting(machine)
        self.batches = Batches(machine, self.noting)
        self.updates = Updates(machine, self.noting)
        self.computing = Computing(machine, self.batches, self.updates, self.noting)
        self._patches = Patches()

    def attach(self) -> None:
        """From now on.

        Raises:
            UsageError: of this version nobody has tried what is replaced.
        """
        refuse_untested("torch", torch.__version__, TESTED)
        for part in (Compiling(self.updates.capturing), self.noting, self.batches, self.updates, self.computing):
            part.attach(self._patches)

    def detach(self) -> None:
        """No longer, and everything is as it was."""
        self._patches.undo()
