"""A closed form as a schedule of Keras, PyTorch or optax, or as a formula that the framework takes for one."""

from __future__ import annotations

import math
from typing import Any

from xframe.tasks.schedules import Constant, Cosine, Exponential, Piecewise, Schedule, Step, Warmup
from xframe.translate.schedules.forms import (
    Arrays,
    Counted,
    InverseTime,
    Joined,
    Plain,
    Polynomial,
    Restarts,
    formula,
)
from xframe.translate.written import Literal, NothingExactError, Remarks, Written, called

_K, _T = "keras.optimizers.schedules.", "torch.optim.lr_scheduler."


def keras(form: Schedule) -> Written:
    """For ``learning_rate=`` of a Keras optimizer."""
    match form:
        case Counted(Constant(rate)):
            return Written("learning_rate", repr(rate))
        case Constant(rate):
            return Written("learning_rate", repr(rate))
        case Step(initial, factor, every) | Exponential(initial, factor, every):
            words = {"decay_steps": every, "decay_rate": factor, "staircase": isinstance(form, Step)}
            return _keras("ExponentialDecay", initial, **words)
        case Cosine(initial, ticks, final) if initial:
            return _keras("CosineDecay", initial, decay_steps=ticks, alpha=final / initial)
        case Warmup(ticks, Cosine(initial, length, final), start) if initial:
            words = {"decay_steps": length, "alpha": final / initial, "warmup_target": initial, "warmup_steps": ticks}
            return _keras("CosineDecay", start, **words)
        case Polynomial(initial, final, ticks, power):
            return _keras(
                "PolynomialDecay", initial, decay_steps=ticks, end_learning_rate=final, power=power, cycle=False
            )
        case InverseTime(initial, factor, every, whole):
            return _keras("InverseTimeDecay", initial, decay_steps=every, decay_rate=factor, staircase=whole)
        case Restarts(initial, ticks, factor, final) if initial:
            words = {"first_decay_steps": ticks, "t_mul": float(factor), "m_mul": 1.0, "alpha": final / initial}
            return _keras("CosineDecayRestarts", initial, **words)
        case Piecewise(boundaries, rates):
            code = called(f"{_K}PiecewiseConstantDecay", boundaries=[one - 1 for one in boundaries], values=list(rates))
            note = "Keras keeps a rate at its boundary too, so its boundaries are one less."
            return Written("learning_rate", code, notes=(note,))
    _refuse_restarts(form)
    text = formula(form, Arrays("keras.ops"))
    lines = (
        f"class Rate({_K}LearningRateSchedule):",
        "    def __call__(self, step):",
        "        t = keras.ops.cast(step, keras.config.floatx())",
        f"        return {text}",
        "    def get_config(self):",
        "        return {}",
    )
    return Written("learning_rate", "Rate()", setup=lines)


def _keras(name: str, initial: float, **words: object) -> Written:
    return Written("learning_rate", called(_K + name, initial_learning_rate=initial, **words))


def torch(form: Schedule) -> tuple[float, Written]:
    """The optimizer's own rate, and the scheduler around ``optimizer``."""
    here = Literal("optimizer")
    words: dict[str, Any]
    match form:
        case Constant(rate):
            return rate, Written("scheduler", called(f"{_T}ConstantLR", here, factor=1.0, total_iters=0))
        case Step(initial, factor, every):
            return initial, _torch("StepLR", step_size=every, gamma=factor)
        case Exponential(initial, factor, 1):
            return initial, _torch("ExponentialLR", gamma=factor)
        case Polynomial(initial, 0.0, ticks, power) if initial:
            return initial, _torch("PolynomialLR", total_iters=ticks, power=power)
        case Polynomial(initial, final, ticks, 1.0) if initial and 0 < final <= initial:
            words = {"start_factor": 1.0, "end_factor": final / initial, "total_iters": ticks}
            return initial, _torch("LinearLR", **words)
        case Restarts(initial, ticks, factor, final):
            return initial, _torch("CosineAnnealingWarmRestarts", T_0=ticks, T_mult=factor, eta_min=final)
        case Piecewise(boundaries, rates) if (ratio := _ratio(rates)) is not None:
            return rates[0], _torch("MultiStepLR", milestones=list(boundaries), gamma=ratio)
    beside = None
    if isinstance(form, Cosine):
        note = (
            f"With lr={form.initial} in the optimizer; the same up to update {form.ticks}, past which it rises again."
        )
        beside = _torch("CosineAnnealingLR", T_max=form.ticks, eta_min=form.final, notes=(note,))
    _refuse_restarts(form)
    code = f"{_T}LambdaLR(optimizer, lambda t: {formula(form, Plain())})"
    setup = ("import math",) if "math." in code else ()
    return 1.0, Written("scheduler", code, setup=setup, notes=("The function gives the whole rate.",), beside=beside)


def _torch(name: str, notes: tuple[str, ...] = (), **words: object) -> Written:
    return Written("scheduler", called(_T + name, Literal("optimizer"), **words), notes=notes)


def _ratio(rates: tuple[float, ...]) -> float | None:
    """What each rate is multiplied by to be the next, if it is one number."""
    if len(rates) < 2 or not rates[0]:
        return None
    ratio = rates[1] / rates[0]
    same = all(math.isclose(rates[0] * ratio**i, rate, rel_tol=4e-16) for i, rate in enumerate(rates))
    return ratio if same else None


def optax(form: Schedule) -> Written:
    """For ``learning_rate`` of an optax optimizer."""
    words: dict[str, Any]
    match form:
        case Constant(rate):
            return Written("schedule", called("optax.constant_schedule", value=rate))
        case Step(initial, factor, every) | Exponential(initial, factor, every) if factor:
            words = {"transition_steps": every, "decay_rate": factor, "transition_begin": 0}
            words |= {"staircase": isinstance(form, Step), "end_value": None}
            return Written("schedule", called("optax.exponential_decay", init_value=initial, **words))
        case Cosine(initial, ticks, final) if initial:
            words = {"decay_steps": ticks, "alpha": final / initial, "exponent": 1.0}
            return Written("schedule", called("optax.cosine_decay_schedule", init_value=initial, **words))
        case Polynomial(initial, final, ticks, power):
            words = {"end_value": final, "power": power, "transition_steps": ticks, "transition_begin": 0}
            return Written("schedule", called("optax.polynomial_schedule", init_value=initial, **words))
        case Piecewise(boundaries, rates) if all(rates[:-1]):
            scales = {at: after / before for at, before, after in zip(boundaries, rates, rates[1:], strict=False)}
            code = called("optax.piecewise_constant_schedule", init_value=rates[0], boundaries_and_scales=scales)
            return Written("schedule", code)
        case Warmup(ticks, then, start):
            return optax(Joined((Polynomial(start, then(0), ticks), then), (ticks,)))
        case Joined(parts, boundaries):
            written = [Literal(optax(part).code) for part in parts]
            return Written("schedule", called("optax.join_schedules", schedules=written, boundaries=list(boundaries)))
    _refuse_restarts(form)
    text = formula(form, Arrays("jnp"))
    setup = ("import jax.numpy as jnp",) if "jnp." in text else ()
    return Written("schedule", f"(lambda t: {text})", setup=setup)


def _refuse_restarts(form: Schedule) -> None:
    if isinstance(form, Restarts):
        raise NothingExactError("Restarts without end are no formula of the update's number that this could write.")
    for part in form.parts if isinstance(form, Joined) else (form.then,) if isinstance(form, (Counted, Warmup)) else ():
        _refuse_restarts(part)


def alone(form: Schedule, framework: str, remarks: Remarks) -> Written:
    """A schedule by itself, outside an optimizer."""
    if framework == "torch":
        rate, written = torch(form)
        remarks.add(f"Make the optimizer with lr={rate}, and call scheduler.step() after each optimizer.step().")
        return written
    return keras(form) if framework == "keras" else optax(form)
