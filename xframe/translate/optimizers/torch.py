"""PyTorch's optimizers as rules, and rules as PyTorch's optimizers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from xframe.errors import UsageError
from xframe.tasks.optimizers import SGD, Adadelta, Adafactor, Adagrad, Adam, Adamax, Lion, NAdam, RMSprop, named
from xframe.tasks.optimizers.dialects import EPS32
from xframe.tasks.schedules import Schedule
from xframe.translate.names import Bound
from xframe.translate.optimizers.trained import HALF_KEPT, Trained, free_velocity, rated_velocity
from xframe.translate.parsing import Call, Name
from xframe.translate.schedules import writing
from xframe.translate.written import Literal, NothingExactError, Remarks, Written, called

PARAMS = Literal("model.parameters()")
_FIELDS = {
    "momentum": "momentum",
    "dampening": "dampening",
    "nesterov": "nesterov",
    "eps": "epsilon",
    "amsgrad": "amsgrad",
    "momentum_decay": "momentum_decay",
    "rho": "rho",
    "alpha": "rho",
    "centered": "centered",
    "lr_decay": "rate_decay",
    "initial_accumulator_value": "initial_accumulator",
    "beta2_decay": "beta2_power",
    "d": "clip_threshold",
    "weight_decay": "weight_decay",
}
_NAMES = ("SGD", "Adam", "AdamW", "NAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Adafactor")


def read(call: Bound, schedule: Schedule | None = None) -> Trained:
    """The rule that an optimizer of PyTorch is, with the schedule that is around it."""
    if call.leaf not in _NAMES:
        raise NothingExactError(f"{call.leaf} is no rule that another framework has with the same formula.")
    if not isinstance(call["params"], (Name, Call)):
        raise NothingExactError(
            "Groups of parameters have rates and decays of their own, which Keras' optimizers have not: translate each "
            "group's optimizer by itself."
        )
    if call.values.get("maximize"):
        raise NothingExactError("maximize=True has no counterpart: minimize the negative loss.")
    for one, other in (("fused", "foreach"), ("fused", "differentiable")):
        if call.values.get(one) and call.values.get(other):
            raise UsageError(f"{call.name} with {one} and {other}", expected="one of them, as PyTorch does")
    settings: dict[str, Any] = {"learning_rate": float(call["lr"]) if schedule is None else schedule}
    for argument, field in _FIELDS.items():
        value = call.values.get(argument)
        if value is not None and not (argument == "eps" and isinstance(value, tuple)):
            settings[field] = value if isinstance(value, bool) else float(value)
    if call.leaf == "SGD" and not settings["momentum"]:
        settings["dampening"] = 0.0  # of a velocity that is not kept
    if "betas" in call.values:
        settings["beta1"], settings["beta2"] = map(float, call["betas"])
    if call.leaf == "Adafactor":
        first, second = call["eps"]
        settings |= {"epsilon1": EPS32 if first is None else float(first), "epsilon2": float(second)}
    if call.values.get("decoupled_weight_decay"):
        settings["decay"] = "decoupled"
    return Trained(named(f"torch.{call.leaf.lower()}", settings))


def write(trained: Trained, native: bool = False) -> Written:
    """The rule as an optimizer of PyTorch; ``native``: one of torch.optim, with lines that make it the rule."""
    rule = trained.rule
    name, words, decays, lines = _class(rule, native)
    before = [*_clipping(rule, trained.remarks)]
    if rule.weight_decay and (rule.decay == decays or (isinstance(rule, SGD) and not rule.momentum)):
        words["weight_decay"] = rule.weight_decay
    else:
        words["weight_decay"] = 0.0
        before += _decay_lines(rule.decay, rule.weight_decay) if rule.weight_decay else ()
    setup, after, later, notes = list[str](), list[str](), list[str](), list[str]()
    each = list[str]() if trained.accumulate > 1 and trained.counts == "steps" else later
    rate: Any = rule.learning_rate
    if trained.schedule is not None:
        rate, scheduler = writing.torch(trained.schedule)
        setup += scheduler.setup
        after.append(f"scheduler = {scheduler.code}")
        each.append("scheduler.step()")
        notes += scheduler.notes
    if lines:
        setup, after, before = [*setup, *lines[0]], [*after, *lines[1]], [*before, *lines[2]]
        notes.append("Keras adds epsilon before the correction of v; torch's is divided by it for each update.")
    if rule.average is not None:
        utils, decay = "torch.optim.swa_utils", rule.average.decay
        after.append(f"averaged = {utils}.AveragedModel(model, multi_avg_fn={utils}.get_ema_multi_avg_fn({decay}))")
        if each is later:
            later.append("averaged.update_parameters(model)")
        else:
            after.append("steps = 0")
            each += ["steps += 1", f"if steps >= {trained.accumulate}:", "    averaged.update_parameters(model)"]
        notes.append("Keras' fit ends with the averaged weights in the model, here those of averaged.module.")
    if trained.accumulate > 1:
        notes.append(
            f"Call backward of loss / {trained.accumulate}, and optimizer.step() and zero_grad() every "
            f"{trained.accumulate} steps."
        )
        if each is not later and each:
            notes.append("Keras' schedules and averages advance with each step, not with each update.")
    if not name.startswith("torch."):
        notes.append("xframe_torch.optim comes with xframe and needs torch alone.")
    code = called(name, PARAMS, lr=rate, **words)
    parts = [tuple(dict.fromkeys(part)) for part in (setup, after)]
    ticks = tuple(each) if each is not later else ()
    beside = None
    if not name.startswith("torch.") and _has_native(rule):
        beside = replace(write(replace(trained, remarks=Remarks()), native=True), beside=None)
    return Written(
        "optimizer", code, parts[0], parts[1], tuple(before), tuple(later), tuple(notes), beside, ticks=ticks
    )


_Lines = tuple[list[str], list[str], list[str]]


def _class(rule: Any, native: bool) -> tuple[str, dict[str, Any], str, _Lines | None]:
    """The optimizer, its settings but rate and decay, how it decays, and lines around it."""
    torch, own = "torch.optim.", "xframe_torch.optim.Keras"
    words: dict[str, Any]
    moments: dict[str, Any] = {"betas": (rule.beta1, rule.beta2)} if hasattr(rule, "beta1") else {}
    epsilon = {"eps": rule.epsilon} if hasattr(rule, "epsilon") else {}
    match rule:
        case SGD():
            words = {"momentum": rule.momentum, "dampening": rule.dampening, "nesterov": rule.nesterov}
            decoupled = rule.weight_decay and rule.decay == "decoupled" and rule.momentum
            if free_velocity(rule) and (native or not decoupled or not rated_velocity(rule)):
                return f"{torch}SGD", words, "l2", None
            del words["dampening"]
            return f"{own}SGD", words, "decoupled", None
        case Adam():
            words = {**moments, **epsilon, "amsgrad": rule.amsgrad}
            decay = "decoupled" if rule.weight_decay and rule.decay == "decoupled" else "l2"
            own_name = f"{torch}Adam{'W' if decay == 'decoupled' else ''}"
            if rule.epsilon_on == "corrected" or not rule.epsilon:
                return own_name, words, decay, None
            return (
                (own_name, words, decay, _epsilon_lines(rule)) if native else (f"{own}Adam", words, "decoupled", None)
            )
        case NAdam():
            if rule.momentum_decay == 1 and rule.decay == "decoupled" and not native:
                return f"{own}NAdam", {**moments, **epsilon}, "decoupled", None
            more = {"momentum_decay": rule.momentum_decay, "decoupled_weight_decay": rule.decay == "decoupled"}
            return f"{torch}NAdam", {**moments, **epsilon, **more}, rule.decay, None
        case Adamax():
            if rule.epsilon_on == "gradient":
                return f"{torch}Adamax", {**moments, **epsilon}, "l2", None
            return f"{own}Adamax", {**moments, **epsilon}, "decoupled", None
        case RMSprop():
            words = {"alpha": rule.rho, **epsilon, "momentum": rule.momentum, "centered": rule.centered}
            free = rule.epsilon_on == "outside" or not rule.epsilon
            if not (free_velocity if free else rated_velocity)(rule):
                raise NothingExactError(HALF_KEPT)
            return (f"{torch}RMSprop", words, "l2", None) if free else (f"{own}RMSprop", words, "decoupled", None)
        case Adagrad():
            words = {"initial_accumulator_value": rule.initial_accumulator, **epsilon}
            if rule.epsilon_on == "inside" and rule.weight_decay and not native:
                return f"{own}Adagrad", words, "decoupled", None
            if rule.epsilon_on == "inside":
                words = {"initial_accumulator_value": rule.initial_accumulator + rule.epsilon, "eps": 0.0}
            return f"{torch}Adagrad", {"lr_decay": rule.rate_decay, **words}, "l2", None
        case Adadelta():
            if rule.weight_decay and rule.decay == "decoupled" and not native:
                return f"{own}Adadelta", {"rho": rule.rho, **epsilon}, "decoupled", None
            return f"{torch}Adadelta", {"rho": rule.rho, **epsilon}, "l2", None
        case Adafactor():
            first = None if rule.epsilon_on == "clamp" and rule.epsilon1 == EPS32 else rule.epsilon1
            words = {"beta2_decay": rule.beta2_power, "eps": (first, rule.epsilon2), "d": rule.clip_threshold}
            return f"{torch if rule.epsilon_on == 'clamp' else own}Adafactor", words, "decoupled", None
        case Lion():
            return f"{own}Lion", moments, "decoupled", None
    raise NotImplementedError(type(rule).__name__)


def _has_native(rule: Any) -> bool:
    """Whether an optimizer of torch.optim is the rule, with lines before each step."""
    if isinstance(rule, SGD):
        return free_velocity(rule)
    return isinstance(rule, (Adam, Adagrad, Adadelta))


def _epsilon_lines(rule: Adam) -> _Lines:
    line = f'    group["eps"] = {rule.epsilon} / (1 - {rule.beta2} ** t) ** 0.5'
    return [], ["t = 0"], ["t += 1", "for group in optimizer.param_groups:", line]


def _decay_lines(decay: str, factor: float) -> tuple[str, ...]:
    change = f'p.mul_(1 - group["lr"] * {factor})' if decay == "decoupled" else f"p.grad.add_(p, alpha={factor})"
    loops = ("    for group in optimizer.param_groups:", '        for p in group["params"]:')
    return ("with torch.no_grad():", *loops, f"            {change}")


def _clipping(rule: Any, remarks: Remarks) -> tuple[str, ...]:
    """Lines that clip as Keras and optax do: by the norm itself, to which torch's clip_grad_norm_ adds 1e-6."""
    utils = "torch.nn.utils"
    if rule.clip_value is not None:
        return (f"{utils}.clip_grad_value_(model.parameters(), {rule.clip_value})",)
    most = rule.clip_norm if rule.clip_norm is not None else rule.clip_global_norm
    if most is None:
        return ()
    remarks.add("torch's clip_grad_norm_ divides by the norm + 1e-6, so the norm goes in 1e-6 smaller.")
    if rule.clip_norm is not None:
        return (
            "for p in model.parameters():",
            f"    {utils}.clip_grads_with_norm_(p, {most}, torch.linalg.vector_norm(p.grad) - 1e-6)",
        )
    return (
        f"norm = {utils}.get_total_norm([p.grad for p in model.parameters()])",
        f"{utils}.clip_grads_with_norm_(model.parameters(), {most}, norm - 1e-6)",
    )
