"""Update rules lowered to Keras optimizers, which clip too; what they keep; the scaling of a loss in float16.

A rule is Keras' own optimizer wherever that computes it, and else one of ``xframe_tensorflow.optim``. Groups, weight
decay that goes through the gradient and averages that Keras would keep by another clock are added to either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from xframe.errors import UsageError, Verbatim
from xframe.tasks.builders import Parameter
from xframe.tasks.optimizers import SGD, Adadelta, Adafactor, Adagrad, Adam, Adamax, Lion, NAdam, RMSprop, Rule
from xframe_tensorflow import optim
from xframe_tensorflow.model import assign, canonical
from xframe_tensorflow.optim.decaying import Decaying

Arrays = dict[str, NDArray[Any]]
Parameters = Mapping[str, Parameter]  # what is trained, by canonical name, in the order of the model's variables
Lowered = tuple[type[Any], dict[str, Any]]  # a class of optimizers and its own arguments


def lower(rule: Rule, precision: str, parameters: Parameters, *, window: int = 1, slots_are_exact: bool = False) -> Any:
    """The optimizer of that rule for these parameters; under mixed_float16 with a scaled loss.

    With a window of more than a step Keras itself sums gradients up and means them. Where Keras holds a velocity times
    the learning rate, ``slots_are_exact`` takes an optimizer that holds the rule's own, to be read bit for bit.
    """
    _check(rule, parameters)
    kind, settings = _LOWER[type(rule)](rule, precision, slots_are_exact)
    settings |= {
        "learning_rate": rule.rate(0),
        "clipvalue": rule.clip_value,
        "clipnorm": rule.clip_norm,
        "global_clipnorm": rule.clip_global_norm,
        "gradient_accumulation_steps": window if window > 1 else None,
    }
    if rule.average is not None:
        settings |= {"use_ema": True, "ema_momentum": rule.average.decay}
    plain = not rule.groups and rule.average is None and (not rule.decays or _decays_alike(rule, kind))
    if plain and rule.weight_decay:
        settings["weight_decay"] = rule.weight_decay
    optimizer = (kind if plain else _ruled(kind))(**{name: _exact(precision, one) for name, one in settings.items()})
    if not plain:
        optimizer.follow(rule, list(parameters))
    if precision != "mixed_float16":
        return optimizer
    # It calls the inner optimizer only where all gradients are finite, so the inner one's ``iterations``, which its
    # own property of that name returns, stand still when an update is skipped: they count what was applied.
    return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000)


def _decays_alike(rule: Rule, kind: type[Any]) -> bool:
    """Whether the optimizer's own weight decay is the rule's. Without momentum SGD's two decays are one."""
    decoupled = getattr(kind, "decoupled", True)  # Keras' own all are
    return decoupled == (rule.decay == "decoupled") or (isinstance(rule, SGD) and not rule.momentum)


def _check(rule: Rule, parameters: Parameters) -> None:
    rule.check_names(list(parameters))
    for name, parameter in parameters.items():
        if isinstance(rule, Adafactor) and parameter.axes is not None:
            raise UsageError(
                "Adafactor averages over the last two axes of a weight's canonical layout",
                got=Verbatim(f"{name} with axes {parameter.axes} in its TensorFlow model"),
                expected="the canonical layout in the model too",
            )


def _exact(precision: str, value: Any) -> Any:
    # Keras casts Python floats through float32; NumPy's keep their precision.
    return np.float64(value) if precision == "float64" and isinstance(value, float) and value else value


class _Ruled(Decaying):
    """A Keras optimizer with all that a rule has beside its formula: groups, either decay, averages by its clock."""

    def follow(self, rule: Rule, names: list[str]) -> None:
        """Sets the rule; names are those of the variables that it will be built with."""
        self.average, self.decoupled = rule.average, rule.decay == "decoupled"
        self.factors, self.decays = [rule.factor(name) for name in names], [rule.decay_of(name) for name in names]

    def build(self, variables: Any) -> None:
        begins = not self.built
        super().build(variables)
        if begins and self.average is not None:  # up to the first update it is the weights
            with tf.init_scope():
                for average, variable in zip(self._model_variables_moving_average, variables, strict=True):
                    average.assign(variable)

    def decay_of(self, variable: tf.Variable) -> float:
        decay: float = self.decays[self._get_variable_index(variable)]
        return decay

    def decayed(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> tuple[tf.Tensor, tf.Tensor]:
        factor = self.factors[self._get_variable_index(variable)]
        rate = tf.cast(learning_rate, variable.dtype)
        return super().decayed(gradient, variable, rate if factor == 1 else rate * factor)

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        """Keras calls this at each step of a window; the average is the weights up to the first update and after it."""
        if self.average is None:
            return
        move = super()._update_model_variables_moving_average
        if not self.gradient_accumulation_steps or self.average.clock == "steps":
            move(trainable_variables)
            return
        over = (self._iterations + 1) % self.gradient_accumulation_steps == 0
        tf.cond(over, lambda: move(trainable_variables), lambda: None)

    def finalize_variable_values(self, var_list: Any) -> None:
        """Keras calls this when ``fit`` is over."""
        if self.average is not None and self.average.final:
            super().finalize_variable_values(var_list)


class _Native(Decaying):
    """One of Keras' own, whose update comes after a decay."""

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        gradient, rate = self.decayed(gradient, variable, learning_rate)
        super().update_step(gradient, variable, rate)


def _ruled(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (_Ruled, kind) if issubclass(kind, Decaying) else (_Ruled, _Native, kind), {})


def _dialect(kind: type[Any], **words: bool) -> type[Any]:
    """One of ``xframe_tensorflow.optim`` with parts of its formula as in Keras."""
    return (
        type(kind.__name__, (kind,), words) if any(getattr(kind, name) != one for name, one in words.items()) else kind
    )


def _rate_varies(rule: Rule) -> bool:
    return rule.scheduled or bool(rule.groups) or not rule.learning_rate


def _sgd(rule: SGD, precision: str, slots_are_exact: bool) -> Lowered:
    settings = {"momentum": rule.momentum, "nesterov": rule.nesterov}
    # Keras' velocity is −a·v for the rule's v: the same as long as the rate a does not change.
    if rule.velocity == "gradient" and rule.momentum and (rule.dampening or slots_are_exact or _rate_varies(rule)):
        return optim.TorchSGD, settings | {"dampening": rule.dampening}
    return keras.optimizers.SGD, settings


def _lion(rule: Lion, precision: str, slots_are_exact: bool) -> Lowered:
    return keras.optimizers.Lion, {"beta_1": rule.beta1, "beta_2": rule.beta2}


def _adam(rule: Adam, precision: str, slots_are_exact: bool) -> Lowered:
    settings = {"beta_1": rule.beta1, "beta_2": rule.beta2, "epsilon": rule.epsilon, "amsgrad": rule.amsgrad}
    corrected = rule.epsilon_on == "corrected"
    # Keras computes beta_2^t in the variables' type: in bfloat16 0.999 is 1, and nothing would be updated.
    if corrected or precision == "bfloat16":
        kind = optim.TorchAdamW if rule.decay == "decoupled" else optim.TorchAdam
        return _dialect(kind, corrects_first=corrected), settings
    return keras.optimizers.Adam, settings


def _nadam(rule: NAdam, precision: str, slots_are_exact: bool) -> Lowered:
    settings = {"beta_1": rule.beta1, "beta_2": rule.beta2, "epsilon": rule.epsilon}
    # Keras' 0.96 is a float32's, and its powers are computed in the variables' type.
    if rule.momentum_decay != 1 or precision in ("float64", "bfloat16") or slots_are_exact:
        return optim.TorchNAdam, settings | {"momentum_decay": rule.momentum_decay}
    return keras.optimizers.Nadam, settings


def _adamax(rule: Adamax, precision: str, slots_are_exact: bool) -> Lowered:
    settings = {"beta_1": rule.beta1, "beta_2": rule.beta2, "epsilon": rule.epsilon}
    return keras.optimizers.Adamax if rule.epsilon_on == "norm" else optim.TorchAdamax, settings


def _rmsprop(rule: RMSprop, precision: str, slots_are_exact: bool) -> Lowered:
    settings = {"rho": rule.rho, "momentum": rule.momentum, "epsilon": rule.epsilon, "centered": rule.centered}
    inside, of_steps = rule.epsilon_on == "inside", rule.velocity == "step"
    if inside and (of_steps or not rule.momentum or not (slots_are_exact or _rate_varies(rule))):
        return keras.optimizers.RMSprop, settings
    return _dialect(optim.TorchRMSprop, inside=inside, of_steps=of_steps), settings


def _adagrad(rule: Adagrad, precision: str, slots_are_exact: bool) -> Lowered:
    settings = {"initial_accumulator_value": rule.initial_accumulator, "epsilon": rule.epsilon}
    inside, begin = rule.epsilon_on == "inside", rule.initial_accumulator
    rounded = precision == "float64" and np.float32(begin) != begin  # Keras' sums begin with a float32
    if inside and not rule.rate_decay and not rounded:
        return keras.optimizers.Adagrad, settings
    return _dialect(optim.TorchAdagrad, inside=inside), settings | {"lr_decay": rule.rate_decay}


def _adadelta(rule: Adadelta, precision: str, slots_are_exact: bool) -> Lowered:
    # Keras multiplies rho by a variable of its own, which NumPy's numbers would take for an array.
    rho = tf.constant(rule.rho, tf.float64) if precision == "float64" else rule.rho
    return keras.optimizers.Adadelta, {"rho": rho, "epsilon": rule.epsilon}


def _adafactor(rule: Adafactor, precision: str, slots_are_exact: bool) -> Lowered:
    settings = {
        "beta_2_decay": rule.beta2_power,
        "epsilon_1": rule.epsilon1,
        "epsilon_2": rule.epsilon2,
        "clip_threshold": rule.clip_threshold,
    }
    return keras.optimizers.Adafactor if rule.epsilon_on == "square" else optim.TorchAdafactor, settings


_LOWER: Mapping[type[Rule], Callable[[Any, str, bool], Lowered]] = {
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
_SLOTS: Mapping[type[Rule], Mapping[str, str]] = {  # the attribute in which Keras keeps each
    SGD: {"velocity": "momentums"},
    Lion: {"momentum": "_momentums"},
    Adam: {
        "first_moment": "_momentums",
        "second_moment": "_velocities",
        "largest_second_moment": "_velocity_hats",
    },
    NAdam: {"first_moment": "_momentums", "second_moment": "_velocities"},
    Adamax: {"first_moment": "_m", "largest_gradient": "_u"},
    RMSprop: {"mean_square": "_velocities", "mean_gradient": "_average_gradients", "velocity": "_momentums"},
    Adagrad: {"sum_of_squares": "_accumulators"},
    Adadelta: {"mean_square": "_accumulated_grads", "mean_square_update": "_accumulated_delta_vars"},
    Adafactor: {"row_mean_square": "_r", "column_mean_square": "_c", "mean_square": "_v"},
}


def set_rate(optimizer: Any, rate: tf.Tensor) -> None:
    """Gives the optimizer that learning rate. In graph."""
    _inner(optimizer).learning_rate.assign(rate)


def read_slots(rule: Rule, optimizer: Any, parameters: Parameters) -> dict[str, Arrays]:
    """What the rule keeps, by its own slots and then by parameter, in canonical layouts; bfloat16 as float32."""
    slots: dict[str, Arrays] = {}
    for slot, name, variable, axes, factor in _slots(rule, optimizer, parameters):
        values = canonical(variable, axes)
        slots.setdefault(slot, {})[name] = values if factor == 1 else values / values.dtype.type(factor)
    return slots


def write_slots(rule: Rule, optimizer: Any, parameters: Parameters, slots: Mapping[str, Mapping[str, Any]]) -> None:
    """Makes the rule go on from these, as ``read_slots`` returns them."""
    for slot, name, variable, axes, factor in _slots(rule, optimizer, parameters):
        values = slots[slot][name] if factor == 1 else slots[slot][name] * slots[slot][name].dtype.type(factor)
        assign(variable, values, axes)


def native_slots(rule: Rule, optimizer: Any, parameters: Parameters) -> dict[str, Parameter]:
    """The variables of those slots that are not the rule's own, with their axes, by slot and parameter."""
    slots = _slots(rule, optimizer, parameters)
    return {f"{slot}/{name}": Parameter(variable, axes) for slot, name, variable, axes, factor in slots if factor != 1}


def read_average(optimizer: Any, parameters: Parameters) -> Arrays:
    """The averaged weights, in canonical layouts; none where the rule has none."""
    return {name: canonical(variable, axes) for name, variable, axes in _averages(optimizer, parameters)}


def write_average(optimizer: Any, parameters: Parameters, averages: Mapping[str, Any]) -> None:
    """Makes the average go on from these."""
    for name, variable, axes in _averages(optimizer, parameters):
        assign(variable, averages[name], axes)


def read_numbers(rule: Rule, optimizer: Any) -> dict[str, float]:
    """Updates applied, and the rule's own numbers."""
    numbers = {"updates": int(optimizer.iterations)}
    return numbers | ({"momentum_product": float(_inner(optimizer)._u_product)} if isinstance(rule, NAdam) else {})


def write_numbers(rule: Rule, optimizer: Any, numbers: Mapping[str, float]) -> None:
    """Makes the rule go on from these, as ``read_numbers`` returns them. Not within a window that Keras sums up."""
    inner = _inner(optimizer)
    inner._iterations.assign(int(numbers["updates"]) * (inner.gradient_accumulation_steps or 1))
    if isinstance(rule, NAdam):
        inner._u_product.assign(np.float64(numbers["momentum_product"]))


def average_step(optimizer: Any) -> None:
    """Moves the average after a step without an update. In graph."""
    inner = _inner(optimizer)
    inner._update_model_variables_moving_average(inner._trainable_variables)


def _inner(optimizer: Any) -> Any:
    return getattr(optimizer, "inner_optimizer", optimizer)


def _slots(rule: Rule, optimizer: Any, parameters: Parameters) -> Iterator[tuple[str, str, Any, Any, float]]:
    """Slot, parameter, the variable that holds it, its axes, and what it is the rule's slot times."""
    inner = _inner(optimizer)
    for slot in rule.kept():
        for (name, parameter), variable in zip(
            parameters.items(), getattr(inner, _SLOTS[type(rule)][slot]), strict=True
        ):
            factor = 1.0
            if slot == "velocity" and rule.velocity == "gradient" and not isinstance(inner, _FREE):  # type: ignore[attr-defined]
                factor = rule.rate(0) * (-1 if isinstance(rule, SGD) else 1)
            if not isinstance(rule, Adafactor) or (len(parameter.tensor.shape) > 1) != (slot == "mean_square"):
                yield slot, name, variable, parameter.axes, factor


def _averages(optimizer: Any, parameters: Parameters) -> Iterator[tuple[str, Any, Any]]:
    inner = _inner(optimizer)
    if inner.use_ema:
        for (name, parameter), variable in zip(parameters.items(), inner._model_variables_moving_average, strict=True):
            yield name, variable, parameter.axes


_FREE = optim.TorchSGD, optim.TorchRMSprop  # whose velocity is free of the rate
