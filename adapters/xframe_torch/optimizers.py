"""Update rules lowered to torch.optim where that is the rule, else to ``xframe_torch.optim``; clipping, which comes
before, and averaging, which comes after; what a rule keeps, as the rule means it; the scaling of a loss in float16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, optim

from xframe.running.runtime import Runtime
from xframe.tasks.builders import Parameter
from xframe.tasks.optimizers import SGD, Adadelta, Adafactor, Adagrad, Adam, Adamax, Average, Lion, NAdam, RMSprop, Rule
from xframe_torch.optim import adam, averages, base, sgd

if TYPE_CHECKING:
    from xframe_torch.model import Model

INITIAL_SCALE = 2.0**15  # of the loss in mixed_float16, as Keras has it; torch's own is 2**16
Named = Mapping[str, Parameter]
Slots = dict[str, dict[str, Tensor]]
Lowering = tuple[type[optim.Optimizer], dict[str, Any]]  # an optimizer and its settings but rate and decay
# Slots by the names that torch.optim has for them, and xframe_torch.optim too.
_SLOTS = {
    "first_moment": "exp_avg",
    "second_moment": "exp_avg_sq",
    "largest_second_moment": "max_exp_avg_sq",
    "largest_gradient": "exp_inf",
    "mean_square": "square_avg",
    "mean_gradient": "grad_avg",
    "mean_square_update": "acc_delta",
    "sum_of_squares": "sum",
    "velocity": "momentum_buffer",
    "momentum": "exp_avg",
}
_REDUCED = {"row_mean_square": -1, "column_mean_square": -2}  # slots that lack that axis of their parameter
_FUSED = (optim.SGD, optim.Adam, optim.AdamW)  # on every device


def lower(rule: Rule, parameters: Named, *, scaled: bool = False) -> optim.Optimizer:
    """The optimizer of that rule for parameters by canonical name; ``scaled``: the loss is.

    Groups of parameters are its ``param_groups``. The first has the rule's own rate, even where no parameter has it;
    a ``rate_factor`` in any other is what its rate is multiplied by.
    """
    rule.check_names(list(parameters))
    kind, settings = _LOWER[type(rule)](rule, parameters)
    if scaled and kind in _FUSED and rule.average is None:
        settings["fused"] = True  # else the scaler asks the device, at each step, whether to skip
    if issubclass(kind, base.Optimizer):
        settings["decoupled_weight_decay"] = rule.decay == "decoupled"
    made: Callable[..., optim.Optimizer] = kind
    return made(_groups(rule, parameters, kind), lr=rule.rate(0), weight_decay=rule.weight_decay, **settings)


def _groups(rule: Rule, parameters: Named, kind: type[optim.Optimizer]) -> Any:
    """The parameters as torch takes them: a list where all are updated alike."""
    if not rule.groups and kind is not averages.Adafactor:
        return [parameter.tensor for parameter in parameters.values()]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, parameter in parameters.items():
        factor = rule.factor(name)
        settings: dict[str, Any] = {"weight_decay": rule.decay_of(name)}
        if factor != 1:
            settings |= {"rate_factor": factor, "lr": rule.rate(0) * factor}
        if kind is averages.Adafactor and parameter.tensor.dim() > 1:
            settings["axes"] = _last_axes(parameter)
        group = found.setdefault(tuple(settings.items()), {"params": [], **settings})
        group["params"].append(parameter.tensor)
    groups = sorted(found.values(), key=lambda group: "rate_factor" in group)
    return groups if "rate_factor" not in groups[0] else [{"params": []}, *groups]


def _last_axes(parameter: Parameter) -> tuple[int, int]:
    """Where the native tensor has the last axis of the canonical layout, and the one before."""
    last = parameter.tensor.dim() - 1
    axes = parameter.axes or tuple(range(last + 1))
    return axes.index(last), axes.index(last - 1)


def _coupled(rule: Rule) -> bool:
    """Whether torch's weight decay, L2 but for a few, is the rule's."""
    return rule.decay == "l2" or not rule.decays


def _sgd(rule: SGD, _: Named) -> Lowering:
    if not rule.momentum:  # there decoupled decay is L2
        return optim.SGD, {"momentum": 0.0}
    settings = {"momentum": rule.momentum, "dampening": rule.dampening, "nesterov": rule.nesterov}
    if rule.velocity == "gradient" and _coupled(rule):
        return optim.SGD, settings
    return sgd.SGD, {**settings, "velocity": rule.velocity}


def _lion(rule: Lion, _: Named) -> Lowering:
    return sgd.Lion, {"betas": (rule.beta1, rule.beta2)}


def _adam(rule: Adam, _: Named) -> Lowering:
    settings = {"betas": (rule.beta1, rule.beta2), "eps": rule.epsilon, "amsgrad": rule.amsgrad}
    if rule.epsilon_on == "uncorrected":
        return adam.Adam, {**settings, "epsilon_on": rule.epsilon_on}
    return optim.Adam if _coupled(rule) else optim.AdamW, settings


def _nadam(rule: NAdam, _: Named) -> Lowering:
    # torch's own keeps the product of the momenta in float32, for weights in float64 too.
    settings = {"betas": (rule.beta1, rule.beta2), "eps": rule.epsilon, "momentum_decay": rule.momentum_decay}
    return adam.NAdam, settings


def _adamax(rule: Adamax, _: Named) -> Lowering:
    settings = {"betas": (rule.beta1, rule.beta2), "eps": rule.epsilon}
    if rule.epsilon_on == "gradient" and _coupled(rule):
        return optim.Adamax, settings
    return adam.Adamax, {**settings, "epsilon_on": rule.epsilon_on}


def _rmsprop(rule: RMSprop, _: Named) -> Lowering:
    settings = {"alpha": rule.rho, "eps": rule.epsilon, "momentum": rule.momentum, "centered": rule.centered}
    native_velocity = rule.velocity == "gradient" or not rule.momentum
    if rule.epsilon_on == "outside" and native_velocity and _coupled(rule):
        return optim.RMSprop, settings
    return averages.RMSprop, {**settings, "epsilon_on": rule.epsilon_on, "velocity": rule.velocity}


def _adagrad(rule: Adagrad, _: Named) -> Lowering:
    settings = {"lr_decay": rule.rate_decay, "eps": rule.epsilon}
    settings["initial_accumulator_value"] = rule.initial_accumulator
    if rule.epsilon_on == "outside" and _coupled(rule):
        return optim.Adagrad, settings
    return averages.Adagrad, {**settings, "epsilon_on": rule.epsilon_on}


def _adadelta(rule: Adadelta, _: Named) -> Lowering:
    return optim.Adadelta if _coupled(rule) else averages.Adadelta, {"rho": rule.rho, "eps": rule.epsilon}


def _adafactor(rule: Adafactor, parameters: Named) -> Lowering:
    settings = {"beta2_decay": rule.beta2_power, "eps": (rule.epsilon1, rule.epsilon2), "d": rule.clip_threshold}
    # torch factors a parameter by its last two axes, and by which of the two first is rounding alone.
    matrices = [parameter for parameter in parameters.values() if parameter.tensor.dim() > 1]
    last = all(min(_last_axes(parameter)) == parameter.tensor.dim() - 2 for parameter in matrices)
    decay = rule.decay == "decoupled" or not rule.decays
    if rule.epsilon_on == "clamp" and last and decay and rule.clip_threshold >= 1 and rule.beta2_power <= 0:
        return optim.Adafactor, settings
    return averages.Adafactor, {**settings, "epsilon_on": rule.epsilon_on}


_LOWER: Mapping[type[Rule], Callable[[Any, Named], Lowering]] = {
    SGD: _sgd,
    Lion: _lion,
    Adam: _adam,
    NAdam: _nadam,
    Adamax: _adamax,
    RMSprop: _rmsprop,
    Adagrad: _adagrad,
    Adadelta: _adadelta,
    Adafactor: _adafactor,
}


def set_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """Makes that the rule's learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1)


def read_slots(rule: Rule, optimizer: optim.Optimizer, parameters: Named) -> Slots:
    """What the rule keeps, by slot and by canonical name, in canonical layouts; before the first update as it begins.

    Tensors may be views of the optimizer's own.
    """
    begin = rule.initial_accumulator if isinstance(rule, Adagrad) else 0.0
    found: Slots = {slot: {} for slot in rule.kept()}
    for name, parameter in parameters.items():
        state, weight = optimizer.state.get(parameter.tensor, {}), _canonical(parameter.tensor.detach(), parameter)
        for slot, shape in rule.shapes(tuple(weight.shape)).items():
            held = state.get(_own(slot, optimizer, parameter))
            fresh = held is None
            found[slot][name] = weight.new_full(shape, begin) if fresh else _canonical(held, parameter).reshape(shape)
    return {slot: held for slot, held in found.items() if held}


def read_numbers(rule: Rule, optimizer: optim.Optimizer) -> dict[str, float]:
    """The rule's own numbers."""
    if not isinstance(rule, NAdam):
        return {}
    return {"momentum_product": next(group["mu_product"] for group in optimizer.param_groups if group["params"])}


def write_slots(
    rule: Rule,
    optimizer: optim.Optimizer,
    parameters: Named,
    slots: Mapping[str, Mapping[str, Any]],
    numbers: Mapping[str, float],
) -> None:
    """Makes the rule go on from these, tensors or NumPy's arrays as ``read_slots`` returns them, and from
    ``numbers``: ``updates`` that were applied, and the rule's own.
    """
    updates = int(numbers["updates"])
    fused = {weight for group in optimizer.param_groups if group.get("fused") for weight in group["params"]}
    for name, parameter in parameters.items():
        weight = parameter.tensor
        state = optimizer.state[weight]
        for slot in rule.shapes(tuple(_canonical(weight, parameter).shape)):
            state[_own(slot, optimizer, parameter)] = _native(slot, slots[slot][name], parameter)
        if not isinstance(optimizer, (optim.SGD, base.Optimizer)):
            state["step"] = torch.tensor(float(updates), device=weight.device if weight in fused else None)
        elif isinstance(optimizer, optim.SGD) and not updates:
            state.clear()  # torch's first velocity is the gradient, undamped
    if isinstance(optimizer, base.Optimizer):
        for group in optimizer.param_groups:
            group["step"] = updates
            if isinstance(rule, NAdam):
                group["mu_product"] = float(numbers["momentum_product"])


def _own(slot: str, optimizer: optim.Optimizer, parameter: Parameter) -> str:
    """What the optimizer calls a slot of that parameter."""
    turned = False
    if isinstance(optimizer, optim.Adafactor) and parameter.tensor.dim() > 1:  # rows are of the native last axis
        turned = _last_axes(parameter)[0] != parameter.tensor.dim() - 1
    adafactor = {
        "mean_square": "variance",
        "row_mean_square": "col_var" if turned else "row_var",
        "column_mean_square": "row_var" if turned else "col_var",
    }
    return (_SLOTS | adafactor if isinstance(optimizer, (optim.Adafactor, averages.Adafactor)) else _SLOTS)[slot]


def _canonical(tensor: Tensor, parameter: Parameter) -> Tensor:
    return tensor if parameter.axes is None else tensor.permute(*np.argsort(parameter.axes).tolist())


def _native(slot: str, given: Any, parameter: Parameter) -> Tensor:
    """A copy as the optimizer keeps it."""
    values = given if isinstance(given, Tensor) else torch.tensor(given)
    if slot in _REDUCED:
        values = values.unsqueeze(_REDUCED[slot])
    values = values if parameter.axes is None else values.permute(parameter.axes)
    weight = parameter.tensor.detach()
    kept = torch.empty_like(weight) if values.shape == weight.shape else weight.new_empty(values.shape)
    return kept.copy_(values)


class Averaged:
    """Averaged weights beside those that are trained; up to the first update they are these.

    Attributes:
        parameters: by canonical name, as the model's are.
        begun: whether there was an update.
    """

    def __init__(self, average: Average, optimizer: optim.Optimizer, parameters: Named) -> None:
        self.parameters = {name: p._replace(tensor=p.tensor.detach().clone()) for name, p in parameters.items()}
        self.begun = False
        self._share, self._each_step = 1 - average.decay, average.clock == "steps"
        self._updated = False  # in this step
        self._trained = [parameter.tensor for parameter in parameters.values()]
        self._averages = [parameter.tensor for parameter in self.parameters.values()]
        optimizer.register_step_post_hook(self._after_update)

    def _after_update(self, *_: Any) -> None:
        self._blend()
        self._updated = True

    def close(self) -> None:
        """A step is over, with its update if there was one."""
        if self._each_step and self.begun and not self._updated:
            self._blend()
        self._updated = False

    @torch.no_grad()
    def _blend(self) -> None:
        if self.begun:
            torch._foreach_lerp_(self._averages, self._trained, self._share)
        else:
            torch._foreach_copy_(self._averages, self._trained)
            self.begun = True


def averaged(rule: Rule, optimizer: optim.Optimizer, model: Model) -> Averaged | None:
    """What keeps the rule's averaged weights after each update of that optimizer; None if it has none."""
    if rule.average is None:
        return None
    made = Averaged(rule.average, optimizer, model.trained)
    if rule.average.final:
        model.final |= made.parameters
    return made


def scaler(runtime: Runtime) -> torch.amp.GradScaler | None:
    """What scales the loss, if the precision asks for it."""
    if runtime.precision != "mixed_float16":
        return None
    return torch.amp.GradScaler(runtime.device, init_scale=INITIAL_SCALE)


def clipping(rule: Rule) -> Callable[[list[torch.Tensor]], None] | None:
    """What clips the parameters' gradients by that rule, in place; None if it does not clip."""
    nn = torch.nn.utils

    def by_norm(parameters: Iterable[torch.Tensor], most: float) -> None:
        held = [p for p in parameters if p.grad is not None]
        # torch adds 1e-6 to the norm before it divides by it.
        norm = nn.get_total_norm([p.grad for p in held if p.grad is not None])
        if hasattr(norm, "full_tensor"):  # of parts that replicas have
            norm = norm.full_tensor()
        nn.clip_grads_with_norm_(held, most, norm - 1e-6)

    value, norm, together = rule.clip_value, rule.clip_norm, rule.clip_global_norm
    if value is not None:
        return lambda parameters: nn.clip_grad_value_(parameters, value)
    if together is not None:
        return lambda parameters: by_norm(parameters, together)
    if norm is not None:

        def each(parameters: list[torch.Tensor]) -> None:
            for parameter in parameters:
                by_norm([parameter], norm)

        return each
    return None
