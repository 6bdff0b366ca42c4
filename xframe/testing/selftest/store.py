"""Where the traces of the self-test lie: one adapter's in its folder, with copies of them that know of no plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xframe.testing.mutators import rows_of, write
from xframe.trace.trace import Trace

_KEPT = ("label", "adapter", "loop", "task", "runtime", "data_fingerprint", "weights_fingerprint")


@dataclass(frozen=True)
class Store:
    """One adapter's traces.

    Their kinds are ``honest``, named by the plan's digest; ``fault`` and ``against``, by the fault; ``mutation`` and
    ``clean``, by their number.
    """

    adapter: str
    folder: Path

    def path(self, kind: str, name: str) -> Path:
        """Where that trace is, or is to be."""
        return self.folder / f"{kind}-{name}.trace"

    def open(self, kind: str, name: str) -> Trace | None:
        """That trace, if it was recorded."""
        path = self.path(kind, name)
        return Trace.open(path) if path.exists() else None

    def without_plan(self, kind: str, name: str) -> Trace:
        """The same run as a loop records it that knows of no plan."""
        place = self.path(f"bare-{kind}", name)
        if not place.exists():
            trace = Trace.open(self.path(kind, name))
            samples, weights = trace.facts.num_samples, trace.weights()
            write(place, rows_of(trace), plan=None, num_samples=samples, metadata=facts_of(trace), weights=weights)
        return Trace.open(place)


def facts_of(trace: Trace) -> dict[str, Any]:
    """A run's facts but for its plan, as metadata to record its rows again with."""
    return {name: value for name in _KEPT if (value := getattr(trace.facts, name)) is not None}
