"""Digests of what each update begins from and leaves, and the final weights, where ``xframe prove-resume`` asks."""

from __future__ import annotations

import gc
from typing import Any

import torch

from xframe.recording.attach.machine import Machine
from xframe.recording.attach.patches import harmless
from xframe.recording.attach.proving import States, digest
from xframe_torch.instruments import copies
from xframe_torch.instruments.copies import Names, read


class Stating:
    """Of the optimizers of a process.

    Attributes:
        states: where it goes; None where nobody asks.
        begun: gradients were computed, or nobody asks.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.states: States | None = getattr(machine, "states", None)
        self._names: dict[int, Names] = {}  # by optimizer; they keep its parameters alive
        self._before: dict[int, dict[str, Any]] = {}
        self.begun = self.states is None
        if self.states is not None:
            self.states.generators |= {"torch": _torchs, "cuda": _cudas}

    @harmless
    def computes_gradients(self) -> None:
        """Gradients are about to be computed; before the first whether there are some already, as of an open window."""
        if self.begun or self.states is None:
            return
        self.begun = True
        with copies.aside():
            graded = [p.grad for model in _models()[0] for p in model.parameters() if p.grad is not None]
            self.states.write(gradients=any(bool(one.count_nonzero()) for one in graded))

    @harmless
    def steps(self, optimizer: torch.optim.Optimizer, number: int) -> None:
        """An optimizer is about to step; if by a closure, once more when that has computed the gradients."""
        with copies.aside():
            self._before[number] = self._state(optimizer, number)
            gradients = read(self._names[number].gradients())
            self._before[number]["gradient"] = digest(gradients)

    @harmless
    def stepped(self, optimizer: torch.optim.Optimizer, number: int) -> None:
        """It has stepped."""
        before = self._before.pop(number, None)
        if before is not None and self.states is not None:
            with copies.aside():
                self.states.update(self.machine.made, number, before, self._state(optimizer, number))

    def _state(self, optimizer: torch.optim.Optimizer, number: int) -> dict[str, Any]:
        names = self._names.get(number)
        if names is None:
            if not self._names:  # not before, since a process that is forked forgets what this one does at its end
                self.machine.before_end.append(self._finish)
            names = self._names[number] = Names(optimizer, *_models())
        slots, _ = copies.slots(optimizer, names)
        counts = {float(one.max()) for one in slots.pop("step", {}).values() if one.size}
        return {
            "weights": digest(read({name: names.parameters[name] for name in names.trained.values()})),
            "buffers": digest(read(names.buffers())),
            "slots": {name: digest(held) for name, held in slots.items()},
            "count": max(counts, default=None),
            "rates": [float(group["lr"]) for group in optimizer.param_groups if "lr" in group],
        }

    @harmless
    def _finish(self) -> None:
        """The weights that a training ends with, by the models' names."""
        several = list(self._names.values())
        if not several or not self.machine.made:
            return
        with copies.aside():
            held = [read({**names.parameters, **names.buffers()}) for names in several]
        prefixes = [f"{place}." if len(several) > 1 else "" for place in range(len(several))]
        weights = {
            before + name: one for before, some in zip(prefixes, held, strict=True) for name, one in some.items()
        }
        self.machine.recorder.weights(weights)


def _models() -> tuple[list[torch.nn.Module], list[torch.nn.Module]]:
    """All that there are, the outermost first, and last."""
    every = [one for one in gc.get_objects() if issubclass(type(one), torch.nn.Module)]
    every.sort(key=lambda one: -sum(1 for _ in one.modules()))
    return every, every[::-1]


def _torchs() -> bytes:
    return bytes(torch.get_rng_state().numpy())


def _cudas() -> bytes | None:
    if not torch.cuda._initialized:
        return None
    return b"".join(bytes(state.numpy()) for state in torch.cuda.get_rng_state_all())
