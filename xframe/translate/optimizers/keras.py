"""Keras' optimizers as rules, and rules as Keras' optimizers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from xframe.tasks.optimizers import (
    CLIPS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    Average,
    Lion,
    NAdam,
    RMSprop,
    Rule,
    named,
)
from xframe.tasks.optimizers.dialects import EPS32
from xframe.translate.names import Bound
from xframe.translate.optimizers.trained import HALF_KEPT, Trained, free_velocity, rated_velocity
from xframe.translate.schedules import reading, writing
from xframe.translate.written import Literal, NothingExactError, Remarks, Written, called

_FIELDS = {
    "momentum": "momentum",
    "nesterov": "nesterov",
    "beta_1": "beta1",
    "beta_2": "beta2",
    "epsilon": "epsilon",
    "amsgrad": "amsgrad",
    "rho": "rho",
    "centered": "centered",
    "initial_accumulator_value": "initial_accumulator",
    "beta_2_decay": "beta2_power",
    "epsilon_1": "epsilon1",
    "epsilon_2": "epsilon2",
    "clip_threshold": "clip_threshold",
    "weight_decay": "weight_decay",
    "clipvalue": "clip_value",
    "clipnorm": "clip_norm",
    "global_clipnorm": "clip_global_norm",
}
IN_FLOAT64 = (
    "In float64 Keras rounds Python's floats, such as betas and a schedule's numbers, to float32; numpy.float64(…) "
    "keeps their digits."
)
_NAMES = ("SGD", "Adam", "AdamW", "Nadam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Adafactor", "Lion")


def read(call: Bound) -> Trained:
    """The rule that a Keras optimizer is."""
    if call.leaf not in _NAMES:
        raise NothingExactError(f"{call.leaf} is no rule that another framework has with the same formula.")
    if call["ema_overwrite_frequency"] is not None:
        raise NothingExactError(
            "ema_overwrite_frequency sets the weights back during training, which no other one does."
        )
    remarks = Remarks()
    settings: dict[str, Any] = {"learning_rate": reading.rate_of(call["learning_rate"], remarks)}
    for argument, field in _FIELDS.items():
        value = call.values.get(argument)
        if value is not None:
            settings[field] = value if isinstance(value, bool) else float(value)
    if call.leaf == "SGD" and not call["momentum"]:
        settings["nesterov"] = False  # of a velocity that is not kept
    if call["use_ema"]:
        settings["average"] = Average(float(call["ema_momentum"]), final=True)
    if call.leaf == "Adafactor" and (not call["relative_step"] or not isinstance(settings["learning_rate"], float)):
        raise NothingExactError(
            "Adafactor without relative_step, or with a schedule, is in its other form nowhere else."
        )
    if call["loss_scale_factor"] is not None:
        remarks.add("loss_scale_factor cancels out: it is left away.")
    rule = named(f"keras.{call.leaf.lower()}", settings)
    return Trained(rule, call["gradient_accumulation_steps"] or 1, "steps", remarks)


def write(trained: Trained) -> Written:
    """The rule as an optimizer of Keras."""
    rule = trained.rule
    name, words, decays = _class(rule)
    same = isinstance(rule, SGD) and not rule.momentum  # both decays are the same
    before: tuple[str, ...] = ()
    if rule.weight_decay and (same or rule.decay == decays):
        words["weight_decay"] = rule.weight_decay
    elif rule.weight_decay:
        before = _decay_lines(rule, trained.remarks)
    notes: list[str] = []
    schedule = trained.schedule_of("steps")
    written = writing.keras(schedule) if schedule is not None else None
    if trained.schedule is not schedule:
        trained.remarks.add("Keras' schedules count steps, this one counts updates: of its step it takes the update.")
    rate: Any = Literal(written.code) if written else rule.learning_rate
    if written:
        notes += written.notes
    constants = schedule is not None or any(words.get(each) for each in ("momentum", "rho", "beta_1", "beta_2"))
    if name.startswith("keras.") and constants:
        notes.append(IN_FLOAT64)
    if not name.startswith("keras."):
        notes.append("xframe_tensorflow.optim comes with xframe and needs Keras alone.")
    code = called(name, learning_rate=rate, **words, **_common(trained, name, "weight_decay" in words))
    beside = _native(trained) if not name.startswith("keras.") and trained.accumulate == 1 else None
    return Written(
        "optimizer", code, written.setup if written else (), before=before, notes=tuple(notes), beside=beside
    )


def _common(trained: Trained, name: str, decays: bool) -> dict[str, Any]:
    rule = trained.rule
    words: dict[str, Any] = {} if decays else {"weight_decay": None if name.startswith("keras.") else 0.0}
    words |= {"clipnorm": rule.clip_norm, "clipvalue": rule.clip_value, "global_clipnorm": rule.clip_global_norm}
    words["use_ema"] = rule.average is not None
    if rule.average is not None:
        words["ema_momentum"] = rule.average.decay
    return words | {"gradient_accumulation_steps": trained.accumulate if trained.accumulate > 1 else None}


def _class(rule: Any) -> tuple[str, dict[str, Any], str]:
    """The optimizer, its settings but rate and decay, and how it decays."""
    keras, own = "keras.optimizers.", "xframe_tensorflow.optim."
    words: dict[str, Any]
    moments = {"beta_1": rule.beta1, "beta_2": rule.beta2} if hasattr(rule, "beta1") else {}
    epsilon = {"epsilon": rule.epsilon} if hasattr(rule, "epsilon") else {}
    match rule:
        case SGD():
            words = {"momentum": rule.momentum, "nesterov": rule.nesterov}
            if (
                rated_velocity(rule)
                and not rule.dampening
                and not (rule.decays and rule.decay == "l2" and rule.momentum)
            ):
                return f"{keras}SGD", words, "decoupled"
            if not free_velocity(rule):
                raise NothingExactError(HALF_KEPT)
            return f"{own}TorchSGD", words | {"dampening": rule.dampening}, "l2"
        case Adam():
            words = {**moments, **epsilon, "amsgrad": rule.amsgrad}
            if rule.epsilon_on == "uncorrected" or not rule.epsilon:
                return f"{keras}Adam", words, "decoupled"
            decoupled = rule.decay == "decoupled" and rule.weight_decay
            return f"{own}TorchAdam{'W' if decoupled else ''}", words, "decoupled" if decoupled else "l2"
        case NAdam() if rule.momentum_decay == 1 and rule.decay == "decoupled":
            return f"{keras}Nadam", {**moments, **epsilon}, "decoupled"
        case NAdam():
            return f"{own}TorchNAdam", {**moments, **epsilon, "momentum_decay": rule.momentum_decay}, "l2"
        case Adamax():
            native = rule.epsilon_on == "norm"
            return (f"{keras}Adamax" if native else f"{own}TorchAdamax"), {**moments, **epsilon}, _decay(native)
        case RMSprop():
            words = {"rho": rule.rho, "momentum": rule.momentum, **epsilon, "centered": rule.centered}
            native = rule.epsilon_on == "inside"
            if not (rated_velocity if native else free_velocity)(rule):
                raise NothingExactError(HALF_KEPT)
            return (f"{keras}RMSprop" if native else f"{own}TorchRMSprop"), words, _decay(native)
        case Adagrad():
            words = {"initial_accumulator_value": rule.initial_accumulator, **epsilon}
            if (rule.epsilon_on == "inside" or not rule.epsilon) and not rule.rate_decay:
                return f"{keras}Adagrad", words, "decoupled"
            if rule.epsilon_on == "inside":
                raise NothingExactError("Keras' Adagrad has no decay of the rate.")
            return f"{own}TorchAdagrad", words | {"lr_decay": rule.rate_decay}, "l2"
        case Adadelta():
            return f"{keras}Adadelta", {"rho": rule.rho, **epsilon}, "decoupled"
        case Adafactor():
            native = rule.epsilon_on == "square"
            first = None if not native and rule.epsilon1 == EPS32 else rule.epsilon1
            words = {"beta_2_decay": rule.beta2_power, "epsilon_1": first, "epsilon_2": rule.epsilon2}
            words["clip_threshold"] = rule.clip_threshold
            return (f"{keras}Adafactor" if native else f"{own}TorchAdafactor"), words, "decoupled"
        case Lion():
            return f"{keras}Lion", moments, "decoupled"
    raise NotImplementedError(type(rule).__name__)


def _decay(native: bool) -> str:
    return "decoupled" if native else "l2"


def _decay_lines(rule: Rule, remarks: Remarks) -> tuple[str, ...]:
    factor = rule.weight_decay
    if rule.decay == "l2":
        if any(getattr(rule, clip) is not None for clip in CLIPS):
            raise NothingExactError("L2 that comes after clipping is nothing that this optimizer of Keras can do.")
        remarks.add(
            "Keras' weight_decay is decoupled; this one is part of the gradient: in fit, give layers "
            f"kernel_regularizer=keras.regularizers.L2({factor / 2}), which the reported loss then includes."
        )
        pairs = "zip(gradients, model.trainable_variables)"
        return (f"gradients = [gradient + {factor} * variable for gradient, variable in {pairs}]",)
    remarks.add("Its weight_decay would go through the rule; decoupled, it is a line of its own.")
    return (
        "for variable in model.trainable_variables:",
        f"    variable.assign(variable * (1 - optimizer.learning_rate * {factor}))",
    )


def _native(trained: Trained) -> Written | None:
    """Keras' own Adam, with an epsilon for each update."""
    rule = trained.rule
    if not isinstance(rule, Adam) or (rule.weight_decay and rule.decay == "l2"):
        return None
    native = write(replace(trained, rule=replace(rule, epsilon_on="uncorrected"), remarks=Remarks()))
    return replace(
        native,
        after=(
            "t = 0",
            f"epsilon = keras.Variable({rule.epsilon}, dtype=keras.config.floatx(), trainable=False)",
            "optimizer.epsilon = epsilon",
        ),
        before=("t += 1", f"epsilon.assign({rule.epsilon} * (1 - {rule.beta2} ** t) ** 0.5)", *native.before),
        notes=(*native.notes, "Keras adds epsilon before the correction of v; scaled for each update it is the same."),
    )
