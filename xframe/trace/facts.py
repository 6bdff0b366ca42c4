"""What is known of a run beside its rows, typed: read once from a trace's metadata, and believed only where it fits.

A trace's metadata is any JSON object. What stands there under a known name and is of the known kind is a fact, its
texts of one printable line; the rest is left in ``Trace.metadata`` and judged by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xframe.errors import printable
from xframe.plan.fields import LARGEST
from xframe.precision import PRECISIONS

_LONGEST = 300  # characters of a text
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
        optimizer: the update rule that took the place of the task's own, each of its fields by name.
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
    optimizer: Mapping[str, Any] = field(default_factory=dict)
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
        readers: dict[str, Callable[[Any], Any]] = {"plan": _object, "optimizer": _object}
        readers |= {"versions": _versions, "runtime": _runtime}
        readers |= dict.fromkeys(("num_samples", "num_validation"), _size)
        facts: dict[str, Any] = {}
        for name in cls.__slots__:
            read: Callable[[Any], Any] = readers.get(name, _text)
            if (value := read(metadata.get(name))) is not None:
                facts[name] = value
        return cls(**facts)


# Each fact of what a file states; None where that is of another kind.


def text(value: Any) -> str:
    """A text of a file as reports may show it: one line of bounded length."""
    line = printable(str(value)[: _LONGEST + 1])
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _text(value: Any) -> str | None:
    return text(value) if type(value) is str and value else None


def _size(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= LARGEST else None


def _object(value: Any) -> dict[str, Any] | None:
    return value if type(value) is dict else None


def _versions(value: Any) -> dict[str, str] | None:
    return {text(name): text(of) for name, of in value.items() if type(of) is str} if type(value) is dict else None


def _runtime(value: Any) -> dict[str, Any] | None:
    if type(value) is not dict:
        return None
    scalars = {text(name): text(of) if type(of) is str else of for name, of in value.items()}
    return {name: of for name, of in scalars.items() if of is None or type(of) in (str, int, float, bool)}
