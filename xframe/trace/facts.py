"""What is known of a run beside its rows, typed: read once from a trace's metadata, and believed only where it fits.

A trace's metadata is any JSON object. What stands there under a known name and is of the known kind is a fact; the
rest is left in ``Trace.metadata`` and judged by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xframe.precision import PRECISIONS

DECLARED = "declared by the loop"  # the evidence of updates where a recorder was given a bare count of them


@dataclass(frozen=True, slots=True)
class Facts:
    """A run's facts; None or empty where the trace does not state one.

    Attributes:
        label: what a report calls the run.
        plan: the fields of the plan it was recorded under, not yet validated: see ``Trace.plan``.
        num_samples, num_validation: sizes of the data sets trained and validated on.
        task, adapter, loop: their names.
        started: date and time, ISO 8601.
        platform: operating system and processor.
        versions: of packages, by name.
        runtime: device, precision, threads and so on, see ``xframe.Runtime``.
        evidence: of updates, in words.
        data_fingerprint, weights_fingerprint: equal for the same data, and for the same starting weights.
    """

    label: str | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    num_samples: int | None = None
    num_validation: int | None = None
    task: str | None = None
    adapter: str | None = None
    loop: str | None = None
    started: str | None = None
    platform: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    runtime: Mapping[str, Any] = field(default_factory=dict)
    evidence: str | None = None
    data_fingerprint: str | None = None
    weights_fingerprint: str | None = None

    @property
    def precision(self) -> str:
        """The precision that the run was computed in; ``float32`` where none, or an unknown one, is stated."""
        stated = str(self.runtime.get("precision", "float32"))
        return stated if stated in PRECISIONS else "float32"

    def metadata(self) -> dict[str, Any]:
        """The facts that are stated, as a trace's metadata holds them."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in facts.items() if value is not None and value != {}}

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Facts:
        """The facts in a trace's metadata."""
        kinds: dict[str, type] = {"plan": dict, "versions": dict, "runtime": dict}
        kinds |= dict.fromkeys(("num_samples", "num_validation"), int)
        fitting = {name: metadata[name] for name in cls.__slots__ if type(metadata.get(name)) is kinds.get(name, str)}
        return cls(**fitting)
