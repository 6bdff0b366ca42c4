"""A schedule of Keras, PyTorch or optax as its closed form, in updates.

PyTorch's take the rate from their optimizer, so the optimizer is written inside: ``StepLR(SGD(params, lr=0.1), 30)``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from xframe.errors import UsageError
from xframe.tasks.schedules import Constant, Cosine, Exponential, OneCycle, Piecewise, Schedule, Step, Warmup
from xframe.translate.names import Bound, bind
from xframe.translate.parsing import Call, Name
from xframe.translate.schedules.forms import InverseTime, Joined, Polynomial, Restarts
from xframe.translate.written import NothingExactError, Remarks

Reader = Callable[[Bound, float, Remarks], Schedule]
EVERY_UPDATE = "A tick is an update: call scheduler.step() after each optimizer.step(), not once an epoch."


def read(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    """The closed form; ``rate`` is that of the optimizer, which PyTorch's schedules start from.

    Raises:
        NothingExactError: it has no closed form that another framework could follow.
    """
    if call.name not in READERS:
        raise NothingExactError(_WITHOUT.get(call.leaf, f"{call.name} has no counterpart."))
    if call.values.get("last_epoch", -1) != -1:
        raise UsageError(
            f"{call.name}'s last_epoch",
            got=call["last_epoch"],
            expected="-1, as of a new optimizer, which has no initial_lr",
            remedy="Translate it from its start; a checkpoint says where it is.",
        )
    return READERS[call.name](call, rate, remarks)


def base_rate(call: Bound) -> float | None:
    """The rate of the optimizer inside a schedule of PyTorch, or None where none is written."""
    if isinstance(call["optimizer"], Call):
        rate = bind(call["optimizer"])["lr"]
        return float(rate)
    return None


def _keras_cosine(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    initial, target, ticks = call["initial_learning_rate"], call["warmup_target"], call["decay_steps"]
    peak = initial if target is None else target
    cosine = Cosine(float(peak), ticks, float(peak * call["alpha"]))
    if target is None or not call["warmup_steps"]:
        return cosine
    return Warmup(call["warmup_steps"], cosine, float(initial))


def _keras_exponential(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    kind = Step if call["staircase"] else Exponential
    return kind(float(call["initial_learning_rate"]), float(call["decay_rate"]), call["decay_steps"])


def _keras_piecewise(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    remarks.add("Keras keeps a rate at its boundary too; elsewhere the next rate begins there: boundaries differ by 1.")
    return Piecewise(tuple(boundary + 1 for boundary in call["boundaries"]), tuple(map(float, call["values"])))


def _keras_polynomial(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    if call["cycle"]:
        raise NothingExactError("PolynomialDecay with cycle=True begins again ever longer, which no other one does.")
    initial, final = float(call["initial_learning_rate"]), float(call["end_learning_rate"])
    return Polynomial(initial, final, call["decay_steps"], float(call["power"]))


def _keras_inverse(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    initial, factor = float(call["initial_learning_rate"]), float(call["decay_rate"])
    return InverseTime(initial, factor, call["decay_steps"], call["staircase"])


def _keras_restarts(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    if call["m_mul"] != 1 or call["t_mul"] != int(call["t_mul"]) or call["t_mul"] < 1:
        why = (
            "CosineDecayRestarts with m_mul other than 1, or with a t_mul that is no whole number, has no counterpart."
        )
        raise NothingExactError(why)
    initial = float(call["initial_learning_rate"])
    return Restarts(initial, call["first_decay_steps"], int(call["t_mul"]), initial * call["alpha"])


def _torch_cosine(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    remarks.until = call["T_max"]
    remarks.add("Past T_max CosineAnnealingLR rises again, while this stays at eta_min.")
    return Cosine(rate, call["T_max"], float(call["eta_min"]))


def _torch_milestones(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    later = sorted(each for each in call["milestones"] if each > 0)
    started = rate * call["gamma"] ** sum(each == 0 for each in call["milestones"])
    rates = [started] + [started * call["gamma"] ** bisect_right(later, each) for each in dict.fromkeys(later)]
    return Piecewise(tuple(dict.fromkeys(later)), tuple(rates)) if later else Constant(started)


def _torch_constant(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    held = rate * call["factor"]
    return Piecewise((call["total_iters"],), (held, rate)) if call["total_iters"] else Constant(held)


def _torch_polynomial(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    ticks = call["total_iters"]
    return Polynomial(rate, 0.0, ticks, float(call["power"])) if ticks else Constant(rate)


def _torch_one_cycle(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    total = call["total_steps"] or (call["epochs"] or 0) * (call["steps_per_epoch"] or 0)
    if not total:
        raise UsageError("OneCycleLR lacks its length", expected="total_steps, or epochs and steps_per_epoch")
    if call["cycle_momentum"]:
        raise NothingExactError(
            "OneCycleLR with cycle_momentum=True changes the momentum too, which nothing else does."
        )
    if call["three_phase"] or call["anneal_strategy"] != "cos":
        raise NothingExactError("OneCycleLR in three phases, or with straight lines, has no counterpart.")
    start = call["max_lr"] / call["div_factor"]
    return OneCycle(float(call["max_lr"]), total, call["pct_start"], start, start / call["final_div_factor"])


def _torch_sequence(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    parts, begins, bounds = list[Schedule](), (0, *call["milestones"]), call["milestones"]
    for i, each in enumerate(call["schedulers"]):
        own = Remarks()
        parts.append(read(bind(each), rate, own))
        if own.until is not None and i < len(bounds) and bounds[i] - begins[i] - 1 <= own.until:
            own = Remarks()  # the next begins before it rises again
        remarks.take(own, begins[i] if i < len(begins) else 0)
    return _joined(tuple(parts), tuple(call["milestones"]))


def _torch_linear(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    start, end = rate * call["start_factor"], rate * call["end_factor"]
    return Polynomial(start, end, call["total_iters"]) if call["total_iters"] else Constant(start)


def _optax_exponential(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    if not call["decay_rate"] or not call["transition_steps"]:
        remarks.add("optax's exponential_decay of a decay_rate of 0, or over 0 steps, is constant.")
        return Constant(float(call["init_value"]))
    if call["transition_begin"] > 0 or call["end_value"] is not None:
        raise NothingExactError("exponential_decay with transition_begin or end_value has no counterpart.")
    kind = Step if call["staircase"] else Exponential
    return kind(float(call["init_value"]), float(call["decay_rate"]), call["transition_steps"])


def _optax_cosine(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    if call["exponent"] != 1:
        raise NothingExactError("A cosine with an exponent other than 1 has no counterpart.")
    return Cosine(float(call["init_value"]), call["decay_steps"], float(call["init_value"] * call["alpha"]))


def _optax_polynomial(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    power = float(call.values.get("power", 1.0))
    if not call["transition_steps"]:
        return Constant(float(call["init_value"]))
    line = Polynomial(float(call["init_value"]), float(call["end_value"]), call["transition_steps"], power)
    if (begin := call["transition_begin"]) <= 0:  # optax takes a negative one for 0
        return line
    return Joined((Constant(line.initial), line), (begin,))


def _optax_piecewise(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    rates, scales = [float(call["init_value"])], dict(call["boundaries_and_scales"] or {})
    later = sorted(each for each in scales if each > 0)
    for boundary in sorted(scales):
        rate = rates[-1] * scales[boundary]
        rates = [*rates, rate] if boundary > 0 else [rate]
    return Piecewise(tuple(later), tuple(rates)) if later else Constant(rates[0])


def _optax_warmup(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    start, peak, ticks = float(call["init_value"]), float(call["peak_value"]), call["warmup_steps"]
    if call.leaf == "warmup_constant_schedule":
        then: Schedule = Constant(peak if ticks else start)
    elif call.leaf == "warmup_exponential_decay_schedule":
        then = _optax_exponential(Bound(call.name, {**call.values, "init_value": peak}, call.given), rate, remarks)
    else:
        if call["exponent"] != 1 or call["decay_steps"] <= ticks:
            raise NothingExactError("A cosine with an exponent other than 1, or no longer than its warm-up, has none.")
        then = Cosine(peak, call["decay_steps"] - ticks, float(call["end_value"]) if peak else 0.0)
    return Warmup(ticks, then, start) if ticks else then


def _optax_joined(call: Bound, rate: float, remarks: Remarks) -> Schedule:
    parts = tuple(read(bind(each), rate, remarks) for each in call["schedules"])
    return _joined(parts, tuple(call["boundaries"]))


def _joined(parts: tuple[Schedule, ...], boundaries: tuple[int, ...]) -> Schedule:
    if list(boundaries) != sorted(set(boundaries)) or len(parts) != len(boundaries) + 1 or min(boundaries) < 1:
        raise UsageError("schedules one after another", expected="rising boundaries, one fewer than schedules")
    return Joined(parts, boundaries)


_K, _T, _X = "keras.optimizers.schedules.", "torch.optim.lr_scheduler.", "optax."
READERS: dict[str, Reader] = {
    _K + "CosineDecay": _keras_cosine,
    _K + "CosineDecayRestarts": _keras_restarts,
    _K + "ExponentialDecay": _keras_exponential,
    _K + "InverseTimeDecay": _keras_inverse,
    _K + "PiecewiseConstantDecay": _keras_piecewise,
    _K + "PolynomialDecay": _keras_polynomial,
    _T + "StepLR": lambda call, rate, _: Step(rate, float(call["gamma"]), call["step_size"]),
    _T + "ExponentialLR": lambda call, rate, _: Exponential(rate, float(call["gamma"])),
    _T + "MultiStepLR": _torch_milestones,
    _T + "CosineAnnealingLR": _torch_cosine,
    _T + "CosineAnnealingWarmRestarts": lambda call, rate, _: Restarts(
        rate, call["T_0"], call["T_mult"], float(call["eta_min"])
    ),
    _T + "LinearLR": _torch_linear,
    _T + "ConstantLR": _torch_constant,
    _T + "PolynomialLR": _torch_polynomial,
    _T + "OneCycleLR": _torch_one_cycle,
    _T + "SequentialLR": _torch_sequence,
    _X + "constant_schedule": lambda call, *_: Constant(float(call["value"])),
    _X + "exponential_decay": _optax_exponential,
    _X + "cosine_decay_schedule": _optax_cosine,
    _X + "linear_schedule": _optax_polynomial,
    _X + "polynomial_schedule": _optax_polynomial,
    _X + "piecewise_constant_schedule": _optax_piecewise,
    _X + "warmup_constant_schedule": _optax_warmup,
    _X + "warmup_cosine_decay_schedule": _optax_warmup,
    _X + "warmup_exponential_decay_schedule": _optax_warmup,
    _X + "join_schedules": _optax_joined,
}
_WITHOUT = {
    "ReduceLROnPlateau": "ReduceLROnPlateau follows the validation and has no closed form; its namesake among Keras' "
    "callbacks reduces one epoch earlier at the same patience, and has an absolute min_delta.",
    "ChainedScheduler": "ChainedScheduler multiplies the factors of several schedules; write the product as one.",
    "CyclicLR": "CyclicLR has no counterpart: write its formula as a schedule of your own.",
    "LambdaLR": "LambdaLR computes by a function of yours, which is not evaluated here.",
    "MultiplicativeLR": "MultiplicativeLR computes by a function of yours, which is not evaluated here.",
    "cosine_onecycle_schedule": "optax's one-cycle turns at int(pct_start * steps), PyTorch's a tick earlier.",
    "linear_onecycle_schedule": "optax's one-cycle turns at int(pct_start * steps), PyTorch's a tick earlier.",
}


def rate_of(value: Any, remarks: Remarks) -> float | Schedule:
    """A learning rate as an optimizer of Keras or optax has it: a number, or a schedule's call."""
    if isinstance(value, Name):
        raise UsageError("a learning rate is a name", got=value.text, expected="a number, or a schedule's call")
    if not isinstance(value, Call):
        return float(value)
    call = bind(value)
    if (call.name not in READERS and call.leaf not in _WITHOUT) or call.name.startswith(_T):
        raise UsageError("a learning rate", got=call.name, expected="a number, or a schedule of the same framework")
    return read(call, 0.0, remarks)
