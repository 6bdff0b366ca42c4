"""What these optimizers have in common: a step over groups of parameters, each one update of the formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

Group = dict[str, Any]
AT_ONCE = 1 << 15  # values of parameters on the CPU: of more, what lies between two operations leaves its cache
_SHARES = ("betas", "rho", "alpha")


class Optimizer(torch.optim.Optimizer):
    """One formula over the parameters that have a gradient, group by group.

    A group has ``lr``, ``weight_decay``, ``decoupled_weight_decay``, ``step``, the number of its last update, and the
    settings of the formula. A subclass has the defaults of these, ``begin`` and ``rule``.
    """

    settings: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self, params: Any, lr: float, weight_decay: float = 0.0, *, decoupled_weight_decay: bool = True, **settings: Any
    ) -> None:
        unknown = [name for name in settings if name not in self.settings]
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {unknown[0]!r}; it has {', '.join(self.settings)}")
        numbers = {"lr": lr, "weight_decay": weight_decay, **settings}
        for name, value in numbers.items():
            numeric = _is_number(self.settings.get(name, 0.0))
            if numeric and not (_is_number(value) or isinstance(value, Tensor)):
                raise TypeError(f"{type(self).__name__}: {name} is {value!r}, and must be a number")
            if not _possible(name, value):
                expected = "from 0 up to below 1" if name in _SHARES else "from 0 up"
                raise ValueError(f"{type(self).__name__}: {name} is {value}, and must be {expected}")
        own = {"decoupled_weight_decay": decoupled_weight_decay, "step": 0}
        super().__init__(params, {**self.settings, **numbers, **own})

    def load_state_dict(self, state_dict: Any) -> None:
        """As torch has it, of a state of this formula's own."""
        kind, own = type(self).__name__, ("step", *self.settings)
        if lacking := [name for group in state_dict["param_groups"] for name in own if name not in group]:
            why = f"its groups have no {lacking[0]!r}"
            raise ValueError(
                f"{kind}: this state is another optimizer's, perhaps torch's, as {why}: load a {kind}'s own"
            )
        super().load_state_dict(state_dict)

    def add_param_group(self, param_group: Group) -> None:
        """As torch has it, of real parameters."""
        super().add_param_group(param_group)
        if any(weight.is_complex() for weight in self.param_groups[-1]["params"]):
            raise TypeError(f"{type(self).__name__} takes no complex parameters")

    def keeps(self, group: Group) -> bool:
        """Whether the formula keeps anything of a parameter."""
        return True

    def begin(self, group: Group, weight: Tensor) -> dict[str, Tensor]:
        """What the formula keeps of a parameter, before its first update."""
        raise NotImplementedError

    def advance(self, group: Group) -> None:
        """Counts an update."""
        group["step"] += 1

    def rule(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        """The formula: update number ``group["step"]``, in place. The gradients are left as they are."""
        raise NotImplementedError

    def update(self, group: Group, weights: list[Tensor], gradients: list[Tensor], states: list[Any]) -> None:
        """Weight decay and the formula."""
        self.rule(group, weights, self.decay(group, weights, gradients), states)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; returns what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients: list[Any] = [weight.grad for weight in weights]
            if any(gradient.is_sparse for gradient in gradients):
                self._refuse_sparse(weights)
            states = self._states(group, weights)
            self.advance(group)
            for part in _parts(weights) if states else [slice(None)]:
                self.update(group, weights[part], gradients[part], states[part])
        return loss

    def _states(self, group: Group, weights: list[Tensor]) -> list[Any]:
        states = [self.state[weight] for weight in weights] if self.keeps(group) else []
        for weight, state in zip(weights, states, strict=False):
            if not state:
                state.update(self.begin(group, weight))
        return states

    def _refuse_sparse(self, weights: list[Tensor]) -> NoReturn:
        shape = next(tuple(weight.shape) for weight in weights if weight.grad is not None and weight.grad.is_sparse)
        raise RuntimeError(
            f"{type(self).__name__} takes no sparse gradients, and a parameter of shape {shape} has one: "
            "make its layer with sparse=False"
        )

    def decay(self, group: Group, weights: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
        """Decays the weights; the gradients, or new ones that have the decay in them."""
        factor = group["weight_decay"]
        if not factor:
            return gradients
        if not group["decoupled_weight_decay"]:
            return list(torch._foreach_add(gradients, weights, alpha=factor))
        torch._foreach_mul_(weights, 1 - group["lr"] * factor)
        return gradients


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _possible(name: str, value: Any) -> bool:
    numbers = [each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, (int, float))]
    return name == "beta2_decay" or all(each >= 0 and (each < 1 or name not in _SHARES) for each in numbers)


def _parts(weights: list[Tensor]) -> Iterator[slice]:
    """Which to update at once: on the CPU, as many as its cache holds."""
    begin, size = 0, 0
    for index, weight in enumerate(weights):
        size += weight.numel()
        if size > AT_ONCE and index > begin and weight.is_cpu:
            yield slice(begin, index)
            begin, size = index, weight.numel()
    yield slice(begin, len(weights))


def kept(states: list[Any], name: str) -> list[Tensor]:
    """What all states have by that name."""
    return [state[name] for state in states]


def root_and_epsilon(squares: Any, epsilon: float, *, inside: bool, fresh: bool = False) -> Any:
    """The root of the sum of each and epsilon, or the sum of its root and epsilon; in place if they are ``fresh``."""
    if inside:
        roots = squares if fresh else torch._foreach_add(squares, epsilon)
        if fresh:
            torch._foreach_add_(roots, epsilon)
        torch._foreach_sqrt_(roots)
        return roots
    roots = squares if fresh else torch._foreach_sqrt(squares)
    if fresh:
        torch._foreach_sqrt_(roots)
    torch._foreach_add_(roots, epsilon)
    return roots
