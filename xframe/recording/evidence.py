"""How a run knows that an update was applied, in the words that its trace keeps.

A recorder either is given a bare count of updates, and then the trace says that the loop declared it, or
something that watches the optimizer and states what it goes by. What counts as evidence is decided there,
by each framework's own watcher; here is only what such a watcher must have.
"""

from __future__ import annotations

from typing import Any, Protocol

DECLARED = "declared by the loop"


class UpdateEvidence(Protocol):
    """Something that watches an optimizer, such as ``xframe_torch.UpdateCounter``; may be given as ``updates``.

    Attributes:
        applied: updates applied so far, a scalar that may lie on a device.
        attempts: updates tried so far, skipped ones included; None if unknown.
        evidence: by which signs an update counts as applied, in words.
    """

    applied: Any
    attempts: Any
    evidence: str
