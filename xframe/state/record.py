"""Record: one training step taken apart, what it began from, what each of its stages made and what it left.

A training step that is restored to the ``before`` of another's record and makes the same step has a record of its own,
beside which the other lies: what differs is that one step's doing. Its file is ``xframe.files.tensors``'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from xframe.errors import StateError, Verbatim, printable
from xframe.files import tensors
from xframe.files.limits import LARGEST
from xframe.files.tensors import Facts, Stored, mapping
from xframe.precision import PRECISIONS
from xframe.state.state import State

Arrays = Mapping[str, NDArray[Any]]

FORMAT = 1
STAGES = ("batch", "forward", "loss", "gradient", "clipping", "update", "buffers")
_STATES = ("before", "after")
_OF_STATE = ("precision", "rule", "numbers", "position")


@dataclass(frozen=True, slots=True)
class Record:
    """One step.

    Attributes:
        step: its index in the run, from 0.
        before, after: the state that it began from and the one that it left; None where that is not known. A script's
            own has its model's names and layouts, and the slots as its optimizer calls them.
        stages: by stage, in the order of ``STAGES``, and name: see ``xframe.running.stages``. A stage that was not
            seen is not there. ``forward`` may have what lies within the model beside the ``outputs``, by layer.
        facts: what else is known, in JSON's values: a script's settings of its optimizer, the classes of its layers.
    """

    step: int
    before: State | None = None
    stages: Mapping[str, Arrays] = field(default_factory=dict)
    after: State | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def precision(self) -> str:
        """Of the run."""
        known = [one.precision for one in (self.before, self.after) if one is not None]
        return known[0] if known else "float32"


def write_record(path: Path, record: Record) -> str:
    """Writes a record, whole or not at all, and returns the file's digest; a file of that name is replaced.

    Raises:
        StateError: it has what no file can have.
        OSError: it cannot be written.
    """
    arrays = {f"{stage}/{name}": one for stage, held in record.stages.items() for name, one in held.items()}
    facts: Facts = {"format": FORMAT, "record": record.step, "facts": dict(record.facts), "stages": list(record.stages)}
    facts["layers"] = list(record.stages.get("forward", ()))  # in their order, which a file's arrays do not have
    for when in _STATES:
        state: State | None = getattr(record, when)
        if state is not None:
            arrays |= {f"{when}/{name}": one for name, one in replace(state, best={}, native={}).arrays().items()}
            facts[when] = {name: getattr(state, name) for name in _OF_STATE}
    try:
        return tensors.write(path, arrays, facts, _check, halves=record.precision == "bfloat16")
    except (TypeError, ValueError) as error:
        raise StateError("this step's record cannot be written", got=Verbatim(error)) from None


def read_record(path: Path, vouched: str | None = None) -> Record:
    """The record of a file; with ``vouched``, of the one that has that digest.

    Raises:
        StateError: the file is damaged or of a different kind. Nothing is read then.
    """
    try:
        _, facts, arrays, _ = tensors.read(path, _check, vouched)
    except (OSError, ValueError, MemoryError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        expected = "a step's record, whole and as it was written"
        raise StateError(f"cannot read {printable(path)}", got=Verbatim(why), expected=expected) from None
    stages: dict[str, dict[str, NDArray[Any]]] = {stage: {} for stage in STAGES if stage in facts["stages"]}
    states: dict[str, dict[str, Any]] = {when: {} for when in _STATES}
    for path_, values in arrays.items():
        part, _, name = path_.partition("/")
        (stages if part in stages else states)[part][name] = values
    if "forward" in stages:
        order = {name: at for at, name in enumerate(facts.get("layers", ()))}
        stages["forward"] = dict(sorted(stages["forward"].items(), key=lambda item: order.get(item[0], len(order))))
    held = {
        when: State.of(states[when], **{name: facts[when][name] for name in _OF_STATE})
        for when in _STATES
        if when in facts
    }
    return Record(facts["record"], stages=stages, facts=facts["facts"], **held)


def _check(stored: Mapping[str, Stored], facts: Facts) -> None:
    """That a file states a record as this version knows it. Raises ValueError otherwise."""
    if facts.get("format") != FORMAT or type(facts["format"]) is not int:
        raise ValueError(f"it is of format {facts.get('format')!r}, and this version of xframe reads {FORMAT}")
    step, stages = facts.get("record"), facts.get("stages")
    if type(step) is not int or not 0 <= step <= LARGEST:
        raise ValueError("it does not state which step it is of")
    if not isinstance(stages, list) or len({*map(str, stages)}) < len(stages) or {*map(str, stages)} - {*STAGES}:
        raise ValueError("its stages are not those of a step")
    layers = facts.get("layers", [])
    if not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
        raise ValueError("it does not state the order of its layers")
    mapping(facts.get("facts"), "what it states of its run")
    for when in _STATES:
        if when in facts:
            _check_state(mapping(facts[when], f"its state {when}"))
    for path, one in stored.items():
        part, slash, name = path.partition("/")
        if not slash or not name or part not in {*stages, *(when for when in _STATES if when in facts)}:
            raise ValueError(f"it has the array {path!r}, which is no part of a record")
        if part in _STATES:
            State.of({name: one})


def _check_state(facts: Facts) -> None:
    if facts.get("precision") not in PRECISIONS:
        raise ValueError(f"its precision is {facts.get('precision')!r}")
    mapping(facts.get("rule"), "its rule")
    for name, value in mapping(facts.get("numbers"), "its numbers").items():
        if type(value) not in (int, float):
            raise ValueError(f"its number {name!r} is {value!r}")
    if facts.get("position") is not None:
        mapping(facts["position"], "its position")
