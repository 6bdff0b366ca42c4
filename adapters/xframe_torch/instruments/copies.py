"""Copies of what a training step has, as NumPy's arrays by the script's own names; facts about its model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import _disable_current_modes

from xframe.recording.attach.capturing import nested
from xframe.state.pairing import Described, undecided
from xframe.state.state import State
from xframe_torch.pairing import described
from xframe_torch.settings import plain

Arrays = dict[str, NDArray[Any]]
_FLOAT: Any = torch._C.TensorBase.float  # torch.Tensor's own is watched
_FAST = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)  # of their own, where nobody looks


@contextmanager
def aside() -> Iterator[None]:
    """What is computed here no mode of the script's sees, and no gradient."""
    with ExitStack() as stack:
        for context in (torch._C.DisableTorchFunction(), _disable_current_modes(), torch.no_grad()):
            stack.enter_context(context)
        yield


def array(tensor: torch.Tensor) -> NDArray[Any] | None:
    """A copy in the tensor's own layout; a number of fewer bits as float32. None if there is nothing to read."""
    try:
        held = tensor.detach()
        if held.is_meta or held.is_quantized or held.is_nested or is_lazy(held):
            return None
        held = held if held.layout is torch.strided else held.to_dense()
        held = torch.view_as_real(held.resolve_conj()) if held.is_complex() else held
        held = held.cpu().resolve_neg()
        try:
            return np.array(held.numpy(), order="C")
        except TypeError:  # NumPy has no such type
            return np.array(_FLOAT(held).numpy(), order="C")
    except (RuntimeError, NotImplementedError, TypeError):
        return None


def arrays(name: str, value: Any) -> Arrays:
    """Of the tensors in nested tuples, lists and mappings, by their places."""
    return read(nested(name, value, lambda one: isinstance(one, torch.Tensor)))


def read(tensors: Mapping[str, Any]) -> Arrays:
    """Of those that can be read."""
    return {name: held for name, one in tensors.items() if (held := array(one)) is not None}


def whole(module: nn.Module) -> nn.Module:
    """The module itself, where a compiler or a wrapper of torch's own has it inside."""
    inner: Any = getattr(module, "_orig_mod", module)
    if isinstance(inner, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        inner = inner.module
    return inner if isinstance(inner, nn.Module) else module


def layers(root: nn.Module) -> list[tuple[str, nn.Module]]:
    """Layers by name whose outputs can be looked at and nothing be changed by it."""
    found, passed_over = list[tuple[str, nn.Module]](), set[nn.Module]()
    for name, module in root.named_modules():
        compiled = isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod")
        compiled = compiled or getattr(module, "_compiled_call_impl", None) is not None
        if module in passed_over or compiled or (isinstance(module, _FAST) and not module.training):
            passed_over.update(module.modules())
        elif name and (next(module.children(), None) is None or isinstance(module, nn.MultiheadAttention)):
            found.append((name, module))
    return found


def compiled() -> bool:
    """Whether torch's compiler has compiled anything in this process."""
    counters: Any = getattr(sys.modules.get("torch._dynamo.utils"), "counters", {})
    return bool(counters.get("frames"))


def constants(module: nn.Module) -> dict[str, Any]:
    """A layer's class and settings."""
    found: dict[str, Any] = {"class": type(module).__name__}
    for name in getattr(type(module), "__constants__", ()):
        with suppress(Exception):
            found[name] = plain(getattr(module, name))
    return found


def bytes_of(tensors: Any) -> int:
    """How many these take."""
    return sum(0 if is_lazy(one) else one.numel() * one.element_size() for one in tensors)


class Names:
    """What an optimizer's model is, and what its tensors are called.

    Attributes:
        roots: modules that the script calls and that have the optimizer's parameters, by what stands before names: one
            that has all of them, or several.
        parameters: by name, and those of the optimizer that no module has.
        trained: names by the addresses of the optimizer's parameters.

    Args:
        optimizer: the optimizer.
        seen, latest: modules that the script has called, by their first call and by their last.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, seen: Sequence[nn.Module], latest: Sequence[nn.Module]
    ) -> None:
        mine = {id(p): p for group in optimizer.param_groups for p in group["params"]}
        owned = {root: {id(p) for p in root.parameters()} & mine.keys() for root in seen}
        some = [root for root in reversed(latest) if len(owned[root]) == len(mine)][:1]
        covered = set[int]() if not some else set(mine)
        for root in sorted(seen, key=lambda root: -len(owned[root])):  # one may be a part of another
            if owned[root] - covered:
                some.append(root)
                covered |= owned[root]
        some.sort(key=list(seen).index)
        self.roots = {f"{place}." if len(some) > 1 else "": root for place, root in enumerate(some)}
        self.parameters = {
            before + name: p for before, root in self.roots.items() for name, p in root.named_parameters()
        }
        known = {id(p): name for name, p in reversed(self.parameters.items())}
        for place, (address, p) in enumerate(mine.items()):
            if address not in known:
                known[address] = f"parameters.{place}"
                self.parameters[known[address]] = p
        self.trained = {address: known[address] for address in mine}

    def buffers(self) -> dict[str, torch.Tensor]:
        """By name."""
        return {before + name: one for before, root in self.roots.items() for name, one in root.named_buffers()}

    def facts(self) -> dict[str, Any]:
        """The model as its facts state it."""
        every = [(before, one) for before, root in self.roots.items() for one, _ in described(root)]
        stated = [{**one._asdict(), "name": before + one.name, "layouts": one.layouts} for before, one in every]
        known = {one["name"] for one in stated}
        loose = [
            Described(name, tuple(p.shape), layouts=undecided(tuple(p.shape)))._asdict()
            for name, p in self.parameters.items()
            if name not in known
        ]
        classes = [type(root).__name__ for root in self.roots.values()]
        return {"class": classes[0] if len(classes) == 1 else classes, "parameters": [*stated, *loose]}

    def gradients(self) -> dict[str, torch.Tensor]:
        """Those there are, of the optimizer's parameters."""
        mine = {name: self.parameters[name] for name in self.trained.values()}
        return {name: p.grad for name, p in mine.items() if p.grad is not None}


def slots(optimizer: torch.optim.Optimizer, names: Names) -> tuple[dict[str, Arrays], list[str]]:
    """What an optimizer keeps of each parameter, by its own name for it; and what of that is no tensor or number."""
    found, left = dict[str, Arrays](), dict[str, None]()
    every = [(p, name) for p in names.parameters.values() if (name := names.trained.get(id(p)))]
    for parameter, name in every:
        for slot, value in dict(optimizer.state.get(parameter, {})).items():
            held = array(value) if isinstance(value, torch.Tensor) else _number(value)
            if held is None or not isinstance(slot, str) or not slot or "/" in slot:
                left[f"slot {slot}"] = None
            else:
                found.setdefault(slot, {})[name] = held
    return found, [*left]


def _number(value: Any) -> NDArray[Any] | None:
    fits = isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 1 << 62)
    return np.array(value) if fits else None


def state(names: Names, slots: Mapping[str, Arrays], buffers: Arrays, numbers: Mapping[str, float]) -> State:
    """Between two steps."""
    kinds = {p.dtype for p in names.parameters.values()}
    known = {torch.bfloat16: "bfloat16", torch.float16: "mixed_float16", torch.float64: "float64"}
    precision = next((known[kind] for kind in known if kind in kinds), "float32")
    return State(read(names.parameters), buffers, slots, numbers=numbers, precision=precision)


def divided(before: Mapping[str | None, NDArray[Any]], after: Arrays) -> bool:
    """Whether all of these are those before, divided by one whole number."""
    pairs = [(before[name], values) for name, values in after.items() if name in before and values.dtype.kind == "f"]
    pairs = [(a, b) for a, b in pairs if a.size and a.shape == b.shape]
    with np.errstate(all="ignore"):
        a, b = max(pairs, key=lambda pair: np.abs(pair[0]).max(), default=(np.zeros(1), np.ones(1)))
        place = np.abs(a).argmax()
        by = float(a.flat[place]) / float(b.flat[place]) if b.flat[place] else 0.0
        if not 1.5 < by < 1e6:
            return False
        return all((np.abs(a / round(by) - b) <= 4 * np.finfo(b.dtype).eps * np.abs(b)).all() for a, b in pairs)


def groups(optimizer: torch.optim.Optimizer, names: Names) -> list[dict[str, Any]]:
    """An optimizer's groups, with the names of their parameters."""
    found = []
    for group in optimizer.param_groups:
        stated = {name: plain(value) for name, value in group.items() if name != "params"}
        mine = [names.trained[id(p)] for p in group["params"]]
        found.append({**stated, "rate": plain(group.get("lr")), "parameters": mine})
    return found


def autocast(model: torch.nn.Module) -> str | None:
    """The type that torch computes a model in just now, where that is not the weights'."""
    device = next((p.device.type for p in model.parameters()), "cpu")
    with suppress(RuntimeError):
        if torch.is_autocast_enabled(device):
            return str(torch.get_autocast_dtype(device)).removeprefix("torch.")
    return None
