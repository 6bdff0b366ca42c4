"""Keeps torch's compiler out of what watches: where a whole step is compiled, it would compile the recording too."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from xframe.recording.attach.patches import Patches
from xframe_torch.instruments.capturing import Capturing

# The rest it passes through.
_INSIDE = ("instruments.updates", "instruments.capturing", "instruments.dividing", "evidence")
_OURS = ("xframe", *(f"xframe_torch.{name}" for name in _INSIDE))


class Compiling:
    """What is replaced: ``torch.compile``; and the compiler's list of what it leaves alone, once it is loaded."""

    def __init__(self, capturing: Capturing) -> None:
        self._capturing = capturing
        self._patches: Patches | None = None

    def attach(self, patches: Patches) -> None:
        """From now on."""
        self._patches = patches
        self._leave_alone()
        patches.replace_function(torch, "compile", self._seen_compile)

    def _seen_compile(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def seen(*args: Any, **kwargs: Any) -> Any:
            self._capturing.compiled = True
            compiled = original(*args, **kwargs)
            self._leave_alone()
            return compiled

        return seen

    def _leave_alone(self) -> None:
        rules: Any = sys.modules.get("torch._dynamo.trace_rules")
        patches, self._patches = self._patches, None if rules is not None else self._patches
        with suppress(AttributeError):
            if rules is not None and patches is not None:
                before = list(rules.SKIP_DIRS)
                for name in _OURS:
                    rules.add(name)
                patches.add(lambda: (rules.SKIP_DIRS.__setitem__(slice(None), before), rules._recompile_re()))
