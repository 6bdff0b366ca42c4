"""What led to a backward pass, as it is kept of an update that is captured."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch

from xframe_torch.instruments.copies import Arrays


class Call:
    """A model computed: what it took and returned, its layers' outputs."""

    def __init__(self, taken: Arrays, facts: dict[str, Any], ids: Arrays) -> None:
        self.taken, self.facts, self.ids = taken, facts, ids
        self.returned: list[weakref.ref[torch.Tensor]] = []
        self.passed: tuple[weakref.ref[torch.Tensor], int] | None = (
            None  # by the layer before, or to the model; its version
        )
        self.outputs: Arrays = {}  # what it returned, unless that is what a loss took
        self.layers: dict[str, Arrays] = {}
        self.classes: list[dict[str, Any]] = []
        self.ended = 0  # when, by what autograd counts


class Term(NamedTuple):
    """A loss function of torch's own computed: names of the tensors that it took, and these; its value and slope."""

    names: list[str]
    held: Arrays
    value: Arrays
    slope: Arrays
    facts: dict[str, Any]
    ended: int


class Pass:
    """What led to a backward pass."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.terms: list[Term] = []
        self.loss: Arrays = {}
        self.divided = False  # the gradients are of the loss after it was divided


def stages_of(one: Pass) -> dict[str, Arrays]:
    """Of a backward pass batch, forward and loss."""
    batch, forward, loss = dict[str, Any](), dict[str, Any](), dict(one.loss)
    for place, call in enumerate(one.calls):
        before = f"calls/{place}/" if place else ""
        batch |= {before + name: held for name, held in {**call.taken, **call.ids}.items()}
        forward |= {before + name: held for name, held in call.outputs.items()}
        forward |= {name: each for held in call.layers.values() for name, each in held.items() if name not in forward}
    for place, term in enumerate(one.terms):
        for name, held in term.held.items():
            if not place and name == term.names[0]:
                forward["outputs"] = held
            elif not place and name in term.names[1:2]:
                batch["targets"] = held
            else:
                loss[f"terms/{place}/{name}"] = held
        loss |= {f"terms/{place}/{name}": held for name, held in term.value.items()}
        if term.slope and not one.divided:
            loss[f"terms/{place}/slope" if place else "slope"] = term.slope["slope"]
    if not one.terms and one.calls:
        forward |= {name.replace("returned", "outputs", 1): held for name, held in one.calls[-1].outputs.items()}
    return {"batch": batch, "forward": forward, "loss": loss}
