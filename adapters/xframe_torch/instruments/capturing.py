"""Takes a script's updates apart that are to be captured: what each began from, what its stages made, what it left.

Whether an update is to be captured is known when the one before it is made. Until then nothing is looked at; from then
on what models and losses take and give is copied as it passes by, and all of it is let go if it led to nothing.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, cast

import torch

from xframe.recording.attach.capturing import nested
from xframe.recording.attach.machine import Batch, Machine
from xframe.state.record import Record
from xframe.state.state import State
from xframe_torch import settings
from xframe_torch.instruments import copies
from xframe_torch.instruments.copies import Arrays, Names, array, arrays, read
from xframe_torch.instruments.passes import Call, Pass, Term, stages_of

F = TypeVar("F", bound=Callable[..., Any])
_MOST_CALLS = 8  # of models before one backward pass
_MOST_PASSES = 64  # backward passes before an update
_MOST_WAITING = 256  # steps of others, until an optimizer that was due is no longer waited for
_MOST_MODELS = 64


class _Draft(NamedTuple):
    """An update that is being made."""

    names: Names
    before: State
    gradient: Arrays
    clipping: Arrays
    left_out: list[str]


def _guarded(method: F) -> F:
    """What goes wrong in capturing ends the capturing alone. Where a device's work is recorded nothing is looked at."""

    @functools.wraps(method)
    def call(self: Capturing, *args: Any) -> Any:
        if self.failed or (torch.cuda._initialized and torch.cuda.is_current_stream_capturing()):
            return None
        try:
            with copies.aside():
                return method(self, *args)
        except Exception as error:
            self.fail(error)
            return None

    return cast("F", call)


class Capturing:
    """Of the optimizers of a process.

    Attributes:
        on: an update that is to be captured may come next. Nothing else is asked of a step that is not.
        wanted: whether any is.
        within: an optimizer has stepped since the last backward pass began.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine, self.capture = machine, machine.capture
        self.on = self.wanted = self.capture is not None
        self.failed = self.compiled = self.within = False  # torch's compiler was asked for
        self.batch: Batch | None = None  # that a model is about to take
        self.divided = False  # since the gradients were computed, a scaler has divided them by its scale
        self._scaler: Any = None
        self._seen: list[weakref.ref[torch.nn.Module]] = []  # models that the script has called, by their first call
        self._latest: list[weakref.ref[torch.nn.Module]] = []  # the same by their last
        self._made: dict[int, int] = {}  # updates by the numbers of their optimizers' counters
        self._waiting: dict[int, int] = {}  # of counters whose next update is due: steps of others since
        self._drafts: dict[int, _Draft] = {}
        self._skips = False  # an optimizer's step that goes on
        self._idle = 0  # backward passes since an optimizer stepped
        self._last: int | None = None  # whose step was the last for now, until it steps again: others may share it
        self._anew()

    def _anew(self) -> None:
        self._over, self._last = False, None  # whether an optimizer has stepped
        self._open = Pass()
        self._passes: list[Pass] = []
        self._zeroed: int | None = None
        self._buffers: dict[int, Arrays] = {}  # by the id of each model, as they were before it computed
        self._gradients: dict[int, Any] = {}  # by the ids of parameters
        self._clipping: list[dict[str, Any]] = []
        self._unkept: list[str] = []
        self._size = 0

    def fail(self, error: Exception) -> None:
        """Nothing more is captured, since something went wrong in it."""
        self.stop(f"{type(error).__name__}: {error}")

    def stop(self, why: str) -> None:
        """Nothing more is captured."""
        if not self.failed and self.capture is not None:
            self.failed, self.on = True, False
            self._anew()
            self._drafts.clear()
            with suppress(Exception):
                number, made = next(reversed(self._made.items()), (0, 0))
                self.capture.leave_out(made, f"nothing more is captured: {why}", self._place(number))

    def _place(self, number: int) -> int:
        return [*self._made].index(number) if number in self._made else len(self._made)

    # Models and losses

    @_guarded
    def computes(self, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        """A model that no other calls is about to compute: what it takes."""
        if self._over:
            self._anew()
        model = copies.whole(module)
        mine, seen = weakref.ref(model), [one for one in self._seen if one() is not None]
        self._seen = seen if mine in seen else [*seen[1 - _MOST_MODELS :], mine]
        self._latest = [*(one for one in self._latest if one != mine and one in self._seen), mine]
        if id(model) not in self._buffers:
            self._buffers[id(model)] = self._kept(read(dict(model.named_buffers())), "buffers")
        given: Any = {**dict(enumerate(args)), **kwargs}
        given = next(iter(given.values())) if len(given) == 1 else given
        batch, self.batch = self.batch, None
        ids = {} if batch is None or batch.ids is None else arrays("ids", torch.as_tensor(batch.ids))
        facts = {"training": module.training, "autocast": copies.autocast(model)}
        call = Call(self._kept(arrays("features", given), "what models took"), facts, ids)
        if isinstance(given, torch.Tensor):
            call.passed = weakref.ref(given), given._version
        self._open.calls = [*self._open.calls[1 - _MOST_CALLS :], call]
        return call

    def called(self, original: Callable[..., Any], module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        """Calls a model, and looks at its layers' outputs and at what it returns."""
        call = self.computes(module, args, kwargs)
        hooks = [] if call is None else self._hooks(call, copies.whole(module)) or []
        try:
            returned = original(module, *args, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()
        if call is not None:
            self._returned(call, module, returned)
        return returned

    @_guarded
    def _hooks(self, call: Call, model: torch.nn.Module) -> list[Any]:
        if self.compiled or copies.compiled():  # it would compile the looking too
            self._unkept.append("the layers' outputs: torch's compiler is in use")
            return []

        def look(name: str) -> Callable[..., None]:
            return lambda layer, args, output: self._layer(call, name, layer, args, output)

        return [layer.register_forward_hook(look(name)) for name, layer in copies.layers(model)]

    @_guarded
    def _layer(self, call: Call, name: str, layer: torch.nn.Module, args: Sequence[Any], output: Any) -> None:
        taken = args[0] if args else None
        same = call.passed is not None and call.passed[0]() is taken is not None and call.passed[1] == taken._version
        call.passed = (weakref.ref(output), output._version) if isinstance(output, torch.Tensor) else None
        if name not in call.layers:
            inputs = {} if same or getattr(layer, "inplace", False) else arrays(f"{name}/inputs", taken)
            call.layers[name] = self._kept({**inputs, **arrays(f"{name}/outputs", output)}, "the layers' outputs")
            call.classes.append({"name": name, "training": layer.training, **copies.constants(layer)})

    @_guarded
    def _returned(self, call: Call, module: torch.nn.Module, returned: Any) -> None:
        tensors = nested("", returned, _is_tensor).values()
        if next(module.parameters(), None) is None and not any(one.requires_grad for one in tensors):  # a metric's
            self._open.calls = [one for one in self._open.calls if one is not call]
        call.returned = list(map(weakref.ref, tensors))
        call.outputs = self._kept(arrays("returned", returned), "what models returned")
        call.ended = _now()

    @_guarded
    def loss(self, name: str, function: Any, reduction: Any, value: Any, args: Any, kwargs: Any) -> None:
        """A loss function of torch's own has computed."""
        if not isinstance(value, torch.Tensor) or not value.requires_grad:
            return
        if self._over:
            self._anew()
        bound = inspect.signature(function).bind(*args, **kwargs).arguments
        tensors = {each: one for each, one in bound.items() if isinstance(one, torch.Tensor)}
        facts = {"function": name, **_tried(settings.loss, name, function, reduction, args, kwargs)}
        held = self._kept(read(tensors), "what losses took")
        slope: Arrays = {}
        term = Term([*tensors], held, arrays("value", value), slope, facts, _now())
        self._open.terms = [*self._open.terms[1 - _MOST_CALLS :], term]
        first = next(iter(tensors.values()), None)
        if first is not None and first.grad_fn is not None:  # on a leaf it would stay
            first.register_hook(functools.partial(self._slope, slope))  # type: ignore[no-untyped-call]
        for call in self._open.calls if tensors and len(self._open.terms) == 1 else ():
            if len(call.returned) == 1 and call.returned[0]() is tensors[term.names[0]]:
                call.outputs = {}

    @_guarded
    def _slope(self, slope: Arrays, gradient: torch.Tensor) -> None:
        """The loss's at what it took is computed."""
        held = _over(array(gradient), self._scale())
        if held is not None:
            slope |= self._kept({"slope": held}, "the loss's slope")

    @_guarded
    def gradients_of(self, loss: Any, of: Any, oldest: int | None) -> None:
        """Gradients of a loss have been computed.

        Args:
            loss, of: the loss as it was before it was scaled and divided, and what they were computed of.
            oldest: when the first computation was made that they rest on.
        """
        if self._over:
            self._anew()
        if self.within:
            self.within = False
            return
        self._idle += 1
        if self._idle > _MOST_WAITING:
            self.stop("gradients are computed, and no optimizer steps")
            return
        by = self.machine.zeroed
        if by is not None and self._zeroed in (None, by):
            self._passes.clear()
        self._zeroed = by if self._zeroed is None else self._zeroed
        done, self._open = self._open, Pass()
        if oldest is not None:
            done.calls = [call for call in done.calls if call.ended > oldest]
            done.terms = [term for term in done.terms if term.ended > oldest]
        if isinstance(loss, torch.Tensor):
            done.loss = arrays("loss", loss)
            done.divided = loss.requires_grad and not any(loss is one for one in nested("", of, _is_tensor).values())
        if len(self._passes) < _MOST_PASSES:
            self._passes.append(done)
        else:
            self._unkept.append(f"backward passes after the first {_MOST_PASSES}")
        self._clipping, self.divided = [], False
        self._take_gradients()

    def _kept(self, held: Arrays, what: str) -> Arrays:
        """As long as there is room."""
        size = sum(one.nbytes for one in held.values())
        if self.capture is None or self._size + size > self.capture.room:
            if what not in self._unkept:
                self._unkept.append(what)
            return {}
        self._size += size
        return held

    # Optimizers

    def _take_gradients(self) -> None:
        every = {id(p): p for model in _alive(self._seen) for p in model.parameters()}
        scale = 1.0 if self.divided else self._scale()
        self._gradients = {id(p): _over(array(p.grad), scale) for p in every.values() if p.grad is not None}

    def scaled_by(self, scaler: Any) -> None:
        """A loss was scaled, whose gradients are to come."""
        self._scaler = weakref.ref(scaler)

    def _scale(self) -> float:
        scaler = None if self._scaler is None else self._scaler()
        return 1.0 if scaler is None or not scaler.is_enabled() else float(scaler.get_scale())

    @_guarded
    def clips(self, kind: str, limit: float, several: Sequence[torch.Tensor]) -> None:
        """Gradients are about to be clipped."""
        if not self._clipping:
            self._take_gradients()
        names = {id(p): name for model in _alive(self._latest) for name, p in model.named_parameters()}
        self._clipping.append({"kind": kind, "limit": limit, "parameters": [names.get(id(p), "") for p in several]})

    def comes(self) -> None:
        """A new optimizer is about to step, or a new model to compute."""
        self.on = self.wanted and not self.failed

    @_guarded
    def steps(self, optimizer: torch.optim.Optimizer, number: int) -> None:
        """An optimizer is about to step; if by a closure, once more when that has computed the gradients."""
        capture, update = self.capture, self._made.setdefault(number, 0)
        overflow = getattr(optimizer, "found_inf", None)
        self._skips = overflow is not None and bool(overflow)  # a fused optimizer looks at it itself, and does nothing
        if capture is None or not capture.due(update) or self._skips:
            return
        names = Names(optimizer, _alive(self._seen), _alive(self._latest))
        least = 2 * copies.bytes_of(names.parameters.values())
        if least > capture.room:
            why = f"weights alone take {least:,} bytes, and {capture.room:,} are left"
            capture.leave_out(update, why, self._place(number))
            return
        state, left = self._state(optimizer, names, self._before(names), update)
        scale = getattr(optimizer, "grad_scale", None)  # a fused optimizer divides by itself
        scale = 1.0 if scale is None else float(scale)
        clipping = {name: _over(array(one), scale) for name, one in names.gradients().items()}
        clipping = {name: one for name, one in clipping.items() if one is not None}
        seen = {names.trained.get(address): one for address, one in self._gradients.items() if one is not None}
        # Nobody saw them between, or the script divided them by itself, as for a window: both are the gradient's stage.
        same = not self._clipping and (self._scale() != 1 or copies.divided(seen, clipping))
        gradient = clipping if same else {name: seen.get(name, one) for name, one in clipping.items()}
        self._drafts[number] = _Draft(names, state, gradient, clipping, left)

    def _before(self, names: Names) -> Arrays:
        return {
            before + name: one
            for before, root in names.roots.items()
            for name, one in self._buffers.get(id(root), {}).items()
        }

    def _state(
        self, optimizer: torch.optim.Optimizer, names: Names, buffers: Arrays, updates: int
    ) -> tuple[State, list[str]]:
        slots, left = copies.slots(optimizer, names)
        numbers: dict[str, float] = {"updates": updates}
        with suppress(TypeError, ValueError, RuntimeError):
            numbers["rate"] = float(optimizer.param_groups[0]["lr"])
        return copies.state(names, slots, buffers, numbers), left

    def stepped(self, optimizer: torch.optim.Optimizer, number: int) -> None:
        """An optimizer has stepped."""
        made, self._idle, self.within = self._made.setdefault(number, 0), 0, True
        if self.on:
            self._step_ends(optimizer, number, made)
        elif self._last == number:
            self._anew()
        made, self._skips = made + (not self._skips), False
        self._made[number] = made
        if self.capture is not None and (self.on or self._waiting or self.capture.due(made)):
            self._wait(number, due=self.capture.due(made))

    def _wait(self, number: int, *, due: bool) -> None:
        waiting = {each: steps + 1 for each, steps in self._waiting.items() if each != number and steps < _MOST_WAITING}
        self._waiting = waiting | ({number: 0} if due else {})
        self.on = bool(self._waiting) and not self.failed
        self._last = None if self.on else number

    @_guarded
    def _step_ends(self, optimizer: torch.optim.Optimizer, number: int, update: int) -> None:
        draft = self._drafts.pop(number, None)
        if draft is not None and self.capture is not None:
            names = draft.names
            after, _ = self._state(optimizer, names, read(names.buffers()), update + 1)
            stages = self._stages(draft)
            record = Record(self.machine.made, draft.before, stages, after, self._facts(optimizer, draft, update))
            self.capture.keep(update, record, self._place(number))
        self._over = True

    def _stages(self, draft: _Draft) -> dict[str, Arrays]:
        found: dict[str, Arrays] = {"batch": {}, "forward": {}, "loss": {}}
        for place, one in enumerate(self._passes or [self._open]):
            for stage, held in stages_of(one).items():
                found[stage] |= {f"window/{place}/{name}" if place else name: each for name, each in held.items()}
        stages = {stage: held for stage, held in found.items() if held}
        return {**stages, "gradient": draft.gradient, "clipping": draft.clipping}

    def _facts(self, optimizer: torch.optim.Optimizer, draft: _Draft, update: int) -> dict[str, Any]:
        first = self._passes[0] if self._passes else self._open
        calls = [call.facts for call in first.calls]
        facts: dict[str, Any] = {"framework": "torch", "versions": {"torch": torch.__version__}, "update": update}
        facts |= {"optimizer": _tried(settings.optimizer, optimizer), "groups": copies.groups(optimizer, draft.names)}
        facts |= {"losses": [term.facts for term in first.terms], "clipping": self._clipping}
        facts |= {"model": draft.names.facts(), "layers": [each for call in first.calls for each in call.classes]}
        facts |= {"window": len(self._passes), "loss_scale": self._scale(), "calls": len(calls)}
        facts |= {"training": calls[0]["training"], "autocast": calls[0]["autocast"]} if calls else {}
        return {**facts, "left_out": [*draft.left_out, *self._unkept]}


def _tried(read: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """Settings of what is of no usual kind may not be readable: they are not known then."""
    with suppress(Exception):
        return read(*args)
    return {}


def _over(held: Any, scale: float) -> Any:
    return held if held is None or scale == 1 else (held / scale).astype(held.dtype)


def _alive(models: Sequence[weakref.ref[torch.nn.Module]]) -> list[torch.nn.Module]:
    return [model for ref in models if (model := ref()) is not None]


def _is_tensor(one: Any) -> bool:
    return isinstance(one, torch.Tensor)


def _now() -> int:
    """The number of the computations with gradients so far: autograd counts them."""
    with torch.enable_grad():
        return int((torch.ones((), requires_grad=True) * 1).grad_fn._sequence_nr())  # type: ignore[union-attr]
