"""optax's optimizers as rules, and rules as optax's optimizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from xframe.errors import UsageError
from xframe.tasks.optimizers import SGD, Adadelta, Adafactor, Adagrad, Adam, Adamax, Lion, NAdam, RMSprop, Rule
from xframe.tasks.schedules import Schedule
from xframe.translate.names import Bound, bind
from xframe.translate.optimizers.trained import EACH_STEP, HALF_KEPT, Trained, free_velocity, rated_velocity
from xframe.translate.parsing import Call
from xframe.translate.schedules import reading, writing
from xframe.translate.schedules.forms import Plain, formula
from xframe.translate.written import Literal, NothingExactError, Remarks, Written, called

NO_MOMENTUM_DECAY = 1e6  # at which 0.96 ** momentum_decay is 0, so that the momentum does not warm up


def read(call: Call) -> Trained:
    """The rule that an optimizer of optax is: one of its own, ``chain`` of clipping, decay and one, or MultiSteps."""
    if call.name == "optax.chain":
        if call.keywords:
            raise UsageError("optax.chain takes its parts by place", got=call.keywords[0][0])
        return _read_chain(call.args)
    return _read_one(_part(call))


def _read_one(call: Bound) -> Trained:
    if call.leaf == "MultiSteps":
        if not call["use_grad_mean"] or not isinstance(call["every_k_schedule"], int):
            raise NothingExactError("MultiSteps of sums, or of a number that changes, has no counterpart.")
        if not isinstance(call["opt"], Call):
            raise UsageError("MultiSteps' opt", expected="the call of an optimizer of optax")
        trained = read(call["opt"])
        trained = replace(trained, accumulate=call["every_k_schedule"] * trained.accumulate)
        if "accumulator_dtype" not in call.given:
            trained.remarks.add("MultiSteps adds up in float32 unless accumulator_dtype says otherwise.")
        return trained
    if call.leaf in _CHAINED:
        raise UsageError(f"{call.name} alone is no optimizer", expected=f"optax.chain({call.name}(…), optax.adam(…))")
    remarks = Remarks()
    for argument, default in (("mask", None), ("weight_decay_mask", None), ("eps_root", 0), ("bias_correction", False)):
        if call.values.get(argument, default) not in (default, 0.0):
            raise NothingExactError(f"{argument} has no counterpart in the other frameworks' optimizers.")
    if call.leaf not in _RULES:
        why = _WITHOUT.get(call.leaf, f"{call.leaf} is no rule that another framework has with the same formula.")
        raise NothingExactError(why)
    if call["learning_rate"] is None:
        raise NothingExactError("Without a learning_rate it gives updates that grow, which no other optimizer does.")
    rate = reading.rate_of(call["learning_rate"], remarks)
    rule = _RULES[call.leaf](call, rate)
    return Trained(rule, remarks=remarks)


def _read_chain(args: tuple[Any, ...]) -> Trained:
    """``optax.chain(clip, add_decayed_weights, optimizer)``, in that order."""
    calls = [_part(each) for each in args]
    if not calls:
        raise UsageError("optax.chain without parts", expected="clipping, decayed weights, and an optimizer last")
    trained, settings = _read_one(calls[-1]), dict[str, Any]()
    for call in calls[:-1]:
        if call.leaf not in _CHAINED or "decay" in settings:
            raise NothingExactError(
                "Of chains, those of clipping, then add_decayed_weights, then an optimizer are read; this one has "
                f"{call.name} at a place of its own."
            )
        field, argument = _CHAINED[call.leaf]
        if trained.accumulate > 1 and field != "weight_decay":
            raise NothingExactError(
                f"{call.name} before MultiSteps clips the gradient of each step, before their mean is taken; what is "
                "translated clips the mean: optax.MultiSteps(optax.chain(clipping, optimizer), …).",
            )
        settings[field] = float(call[argument])
        if field == "weight_decay":
            if trained.rule.weight_decay or call["mask"] is not None:
                raise NothingExactError("Two decays, or a mask, have no counterpart.")
            settings["decay"] = "l2"
    return replace(trained, rule=replace(trained.rule, **settings))


_CHAINED = {
    "clip": ("clip_value", "max_delta"),
    "clip_by_global_norm": ("clip_global_norm", "max_norm"),
    "add_decayed_weights": ("weight_decay", "weight_decay"),
}


def _part(value: Any) -> Bound:
    if not isinstance(value, Call) or not (call := bind(value)).name.startswith("optax."):
        raise UsageError("a part of a chain", got=value, expected="a call of optax")
    return call


def _sgd(call: Bound, rate: Any) -> SGD:
    momentum = float(call["momentum"] or 0.0)
    return SGD(rate, momentum=momentum, nesterov=bool(call["nesterov"] and momentum))


def _adam(call: Bound, rate: Any) -> Any:
    kind: Any = NAdam if call["nesterov"] else Adam
    words = {"momentum_decay": NO_MOMENTUM_DECAY} if call["nesterov"] else {}
    return kind(rate, float(call["b1"]), float(call["b2"]), float(call["eps"]), **words, **_decoupled(call))


def _decoupled(call: Bound) -> dict[str, Any]:
    return {"weight_decay": float(call.values.get("weight_decay", 0.0)), "decay": "decoupled"}


_CENTERED = "Centered without epsilon, a variance of 0 makes 0 in optax and 0 / 0 elsewhere."


def _rmsprop(call: Bound, rate: Any) -> RMSprop:
    if call["initial_scale"] or (call["nesterov"] and call["momentum"]):
        raise NothingExactError("RMSprop with an initial_scale or with nesterov is optax's alone.")
    if call["centered"] and not call["eps"]:
        raise NothingExactError(_CENTERED)
    where: Any = "inside" if call["eps_in_sqrt"] else "outside"
    decay, eps, momentum = float(call["decay"]), float(call["eps"]), float(call["momentum"] or 0.0)
    return RMSprop(rate, decay, eps, where, call["centered"], momentum, "step")


def _adadelta(call: Bound, rate: Any) -> Adadelta:
    return Adadelta(rate, float(call["rho"]), float(call["eps"]), weight_decay=float(call["weight_decay"]))


_NEVER = "Of gradients that have all been 0, optax's Adagrad without epsilon and accumulator makes 0, others 0 / 0."


def _adagrad(call: Bound, rate: Any) -> Adagrad:
    if not call["eps"] and not call["initial_accumulator_value"]:
        raise NothingExactError(_NEVER)
    return Adagrad(rate, float(call["eps"]), "inside", float(call["initial_accumulator_value"]))


_RULES: dict[str, Callable[[Bound, Any], Rule]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adam,
    "nadam": _adam,
    "nadamw": _adam,
    "adamax": lambda call, rate: Adamax(rate, float(call["b1"]), float(call["b2"]), float(call["eps"])),
    "adamaxw": lambda call, rate: Adamax(
        rate, float(call["b1"]), float(call["b2"]), float(call["eps"]), **_decoupled(call)
    ),
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "lion": lambda call, rate: Lion(rate, float(call["b1"]), float(call["b2"]), **_decoupled(call)),
}
_WITHOUT = {
    "amsgrad": "optax's AMSGrad keeps the greatest corrected v, Keras' and PyTorch's the greatest v.",
    "adafactor": "optax's Adafactor factors only axes from 128 up, and decays and clips in another order.",
}


def write(trained: Trained) -> Written:
    """The rule as an optimizer of optax."""
    rule = trained.rule
    schedule = trained.schedule_of("updates")
    if trained.schedule is not schedule:
        note = "Keras' schedules count steps, those inside MultiSteps updates: here each is of its update's last step."
        trained.remarks.add(note)
    if schedule is not None:
        note = "In float64 optax computes a schedule in float32, as its count has 32 bits."
        trained.remarks.add(note)
    rate, setup = _rate(schedule, rule)
    parts, more = _core(rule, rate)
    if rule.weight_decay and rule.decay == "l2":
        parts.insert(0, called("optax.add_decayed_weights", weight_decay=rule.weight_decay, mask=None))
    if rule.clip_norm is not None:
        raise NothingExactError(
            "Keras' clipnorm clips each variable alone; optax clips elements or all together.",
            closest=called("optax.clip_by_global_norm", max_norm=rule.clip_norm),
        )
    if rule.clip_value is not None:
        parts.insert(0, called("optax.clip", max_delta=rule.clip_value))
    if rule.clip_global_norm is not None:
        parts.insert(0, called("optax.clip_by_global_norm", max_norm=rule.clip_global_norm))
    code = parts[0] if len(parts) == 1 else f"optax.chain({', '.join(parts)})"
    if trained.accumulate > 1:
        code = called(
            "optax.MultiSteps",
            opt=Literal(code),
            every_k_schedule=trained.accumulate,
            use_grad_mean=True,
            accumulator_dtype=None,
        )
    later: tuple[str, ...] = ()
    if rule.average is not None and trained.accumulate > 1:
        raise NothingExactError(EACH_STEP, closest=code)
    if rule.average is not None:
        step = f"step_size={1 - rule.average.decay}"
        later = (f"averaged = optax.incremental_update(params, averaged, {step})",)
        more = (*more, "averaged begins as the weights after the first update.")
    if "jnp." in code:
        setup = ("import jax.numpy as jnp",)
    return Written("optimizer", code, setup, later=later, notes=more)


def _rate(schedule: Schedule | None, rule: Any) -> tuple[Any, tuple[str, ...]]:
    if isinstance(rule, Adagrad) and rule.rate_decay:
        base = formula(schedule, Plain()) if schedule is not None else repr(rule.learning_rate)
        return Literal(f"lambda t: {base} / (1 + {rule.rate_decay} * t)"), ()
    if schedule is None:
        return rule.learning_rate, ()
    written = writing.optax(schedule)
    return Literal(written.code), written.setup


def _core(rule: Any, rate: Any) -> tuple[list[str], tuple[str, ...]]:
    """The parts of a chain behind clipping and L2."""
    decoupled = rule.weight_decay if rule.decay == "decoupled" else 0.0
    decay = [called("optax.add_decayed_weights", weight_decay=decoupled, mask=None)] if decoupled else []
    scale = called("optax.scale_by_learning_rate", learning_rate=rate)
    moments = {"b1": rule.beta1, "b2": rule.beta2} if hasattr(rule, "beta1") else {}
    match rule:
        case SGD():
            return _write_sgd(rule, rate, decay, scale), ()
        case Adam():
            return _write_adam(rule, rate, decay, scale)
        case NAdam():
            if rule.momentum_decay < 1e4:
                why = "optax's NAdam has no warm-up of the momentum, which is Keras' and PyTorch's momentum_decay."
                words = {"learning_rate": rate, **moments, "eps": rule.epsilon}
                raise NothingExactError(why, closest=called("optax.nadam", **words))
            words = {"learning_rate": rate, **moments, "eps": rule.epsilon, "eps_root": 0.0}
            return [called("optax.nadamw", **words, weight_decay=decoupled, mask=None)], ()
        case Adamax():
            words = {"learning_rate": rate, **moments, "eps": rule.epsilon}
            if rule.epsilon_on == "norm" and rule.epsilon:
                why = "optax adds epsilon to each gradient that goes into the norm, Keras to the norm; they agree at 0."
                raise NothingExactError(why, closest=called("optax.adamax", **words))
            name = "adamaxw" if decoupled else "adamax"
            return [called(f"optax.{name}", **words, **({"weight_decay": decoupled} if decoupled else {}))], ()
        case RMSprop():
            return _write_rmsprop(rule, rate, decay, scale), ()
        case Adagrad():
            words = {"initial_accumulator_value": rule.initial_accumulator, "eps": rule.epsilon}
            if rule.epsilon_on == "outside" and rule.epsilon:
                why = "optax adds epsilon to the sum of squares, PyTorch to its root; they agree as epsilon goes to 0."
                raise NothingExactError(why, closest=called("optax.adagrad", learning_rate=rate, **words))
            if not rule.epsilon and not rule.initial_accumulator:
                raise NothingExactError(_NEVER, closest=called("optax.adagrad", learning_rate=rate, **words))
            return _or_chain("optax.adagrad", "optax.scale_by_rss", rate, words, decay, scale), ()
        case Adadelta():
            words = {"rho": rule.rho, "eps": rule.epsilon}
            if decay:
                return [called("optax.scale_by_adadelta", **words), *decay, scale], ()
            return [called("optax.adadelta", learning_rate=rate, **words, weight_decay=0.0)], ()
        case Lion():
            return [called("optax.lion", learning_rate=rate, **moments, weight_decay=decoupled, mask=None)], ()
        case Adafactor():
            raise NothingExactError(_WITHOUT["adafactor"], closest=called("optax.adafactor", learning_rate=rate))
    raise NotImplementedError(type(rule).__name__)


def _or_chain(alias: str, scaled: str, rate: Any, words: dict[str, Any], decay: list[str], scale: str) -> list[str]:
    return [called(scaled, **words), *decay, scale] if decay else [called(alias, learning_rate=rate, **words)]


def _write_sgd(rule: SGD, rate: Any, decay: list[str], scale: str) -> list[str]:
    if rule.dampening:
        raise NothingExactError("optax's momentum has no dampening.")
    trace = called("optax.trace", decay=rule.momentum, nesterov=rule.nesterov)
    if not free_velocity(rule):
        if decay:
            raise NothingExactError("Decoupled decay beside a velocity that holds a changing rate is Keras' alone.")
        return [scale, trace]
    if decay:
        return [*([trace] if rule.momentum else []), *decay, scale]
    return [called("optax.sgd", learning_rate=rate, momentum=rule.momentum or None, nesterov=rule.nesterov)]


def _write_rmsprop(rule: RMSprop, rate: Any, decay: list[str], scale: str) -> list[str]:
    inside = rule.epsilon_on == "inside"
    if rule.centered and not rule.epsilon:
        raise NothingExactError(_CENTERED)
    words: dict[str, Any] = {"decay": rule.rho, "eps": rule.epsilon, "initial_scale": 0.0, "eps_in_sqrt": inside}
    if rated_velocity(rule) and not decay:
        more = {"centered": rule.centered, "momentum": rule.momentum or None, "nesterov": False}
        return [called("optax.rmsprop", learning_rate=rate, **words, **more)]
    core = called("optax.scale_by_stddev" if rule.centered else "optax.scale_by_rms", **words)
    trace = [called("optax.trace", decay=rule.momentum, nesterov=False)] if rule.momentum else []
    if not free_velocity(rule):
        raise NothingExactError(HALF_KEPT)
    return [core, *trace, *decay, scale]


def _write_adam(rule: Adam, rate: Any, decay: list[str], scale: str) -> tuple[list[str], tuple[str, ...]]:
    words: dict[str, Any] = {"b1": rule.beta1, "b2": rule.beta2}
    corrected = f"(1 - {rule.beta2} ** (t + 1)) ** 0.5"
    inside = rule.epsilon_on == "uncorrected"
    if rule.amsgrad:
        size = f"{corrected} / (1 - {rule.beta1} ** (t + 1))"
        eps = rule.epsilon if inside else Literal(f"lambda t: {rule.epsilon} * {corrected}")
        flags = {"bias_correction_mu": False, "bias_correction_nu": False}
        maximal = _injected("optax.scale_by_amsgrad", not inside, {**words, "eps": eps, "eps_root": 0.0, **flags})
        note = (
            "optax's AMSGrad keeps the greatest corrected v; without its corrections, and with them in the step, it is "
        )
        scaled = f"optax.scale_by_schedule(lambda t: {size})"
        return [maximal, scaled, *decay, scale], (f"{note}Keras' and PyTorch's.",)
    if inside and rule.epsilon:
        words |= {"eps": Literal(f"lambda t: {rule.epsilon} / {corrected}"), "eps_root": 0.0}
        core = [_injected("optax.scale_by_adam", True, words), *decay, scale]
        return core, ("Keras adds epsilon before the correction of v; here it is divided by it for each update.",)
    words |= {"eps": rule.epsilon, "eps_root": 0.0}
    if decay:
        return [called("optax.adamw", learning_rate=rate, **words, weight_decay=rule.weight_decay, mask=None)], ()
    return [called("optax.adam", learning_rate=rate, **words)], ()


def _injected(name: str, changing: bool, words: dict[str, Any]) -> str:
    """With hyperparameters that are functions of the update's number."""
    if not changing:
        return called(name, **words)
    static = (
        {"static_args": tuple(word for word in words if word.startswith("bias_"))}
        if "bias_correction_mu" in words
        else {}
    )
    return f"{called('optax.inject_hyperparams', Literal(name), **static)}({called('', **words)[1:-1]})"
