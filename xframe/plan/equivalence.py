"""What a plan means: one form for all plans that make the same run, whatever the number of samples.

A plan's digest is made from this form. Digests are recorded and compared between versions, so they may not change.

Each rule rewrites a field that makes no difference beside the others. Limits of steps and updates never stand for
each other: where an update may be skipped, they differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan

_NEVER = 2**200  # beyond every limit


def meaning(plan: TrainingPlan) -> dict[str, Any]:
    """The fields that make a difference, each in the one form that stands for all."""
    from xframe.plan.order import VERSION

    m = plan.to_dict() | {"steps_per_epoch": plan.steps_per_epoch}
    if plan.replicas > 1:
        _replicas(plan, m)
    _batches(plan, m)
    most = _limits(plan, m)
    if plan.gradient_accumulation_steps > 1:
        _windows(plan, m)
    if "updates" in m and _steps_of_updates(plan, m) >= most < _NEVER:
        del m["updates"]  # the run ends before, or just then
    if plan.order == "sequential":
        del m["seed"], m["reshuffle"]
    else:
        m["order"] = VERSION
        a_pass = plan.steps_per_epoch is None and m.get("epochs") == 1
        goes_on = m.get("on_exhaustion") == "stop" and m.get("epoch_iterator") == "continue"
        if a_pass or goes_on or (most == 1 and m["remainder"] != "carry"):
            del m["reshuffle"]  # there is one pass
    if m.get("schedule_clock") == "steps" and plan.gradient_accumulation_steps == 1:
        m["schedule_clock"] = "updates"
    if m.get("schedule_clock") == "updates":
        del m["schedule_clock"]
    return {name: value for name, value in m.items() if value is not None}


def _replicas(plan: TrainingPlan, m: dict[str, Any]) -> None:
    """Rewrites the fields of replicas. Whose gradient it is always counts: not every loss is a mean over rows."""
    if plan.batch_size == plan.replicas and m["replica_remainder"] != "uneven":
        m["remainder"] = m["replica_remainder"]  # a pass made even for replicas is so for batches
    if m["replica_remainder"] == m["remainder"]:
        m["replica_remainder"] = "uneven"  # the last batch is dropped or filled all the same
    if plan.batch_size <= plan.replicas or (m["replica_split"] == "dealt" and _always_full(plan, m)):
        m["replica_split"] = "slices"


def _always_full(plan: TrainingPlan, m: dict[str, Any]) -> bool:
    """Whether each step has batch_size rows."""
    endless = plan.steps_per_epoch is not None or plan.epochs is None or plan.epochs % plan.batch_size == 0
    alike = m["remainder"] in ("drop", "pad", "error") or plan.batch_size == 1
    return alike or (m["remainder"] == "carry" and endless)


def _batches(plan: TrainingPlan, m: dict[str, Any]) -> None:
    """Rewrites the fields of the remainder and of the end of a pass."""
    s, alone = plan.steps_per_epoch, plan.epochs == 1
    if plan.batch_size == 1 or (plan.remainder == "carry" and s is None and alone):
        m["remainder"] = "keep"  # nothing is ever left of a pass, or nothing follows it
        if s is not None:
            m.setdefault("on_exhaustion", "repeat")
    if s is None or m["remainder"] == "carry":
        return
    if m["on_exhaustion"] == "short_epoch" and alone:
        m["on_exhaustion"] = "stop"
    if s == 1 and (m["epoch_iterator"] == "restart" or m["on_exhaustion"] == "short_epoch"):
        m["on_exhaustion"] = "repeat"  # at an epoch's first step short_epoch repeats


def _limits(plan: TrainingPlan, m: dict[str, Any]) -> int:
    """Rewrites the limits of epochs and steps; returns the most steps that a run of the plan can have."""
    s, epochs, steps = plan.steps_per_epoch, plan.epochs, plan.steps
    if s is None:
        if epochs and steps and epochs >= steps and m["remainder"] != "carry":
            del m["epochs"]  # an epoch has a step at least
        return steps or _NEVER
    most = min(steps or _NEVER, epochs * s if epochs else _NEVER)
    if most <= s:
        m["epoch_iterator"] = "continue"  # no second epoch begins
    if m.get("on_exhaustion") != "short_epoch":
        m.pop("epochs", None)  # epochs have all their steps, so steps say it
        if most < _NEVER:
            m["steps"] = most
    elif epochs and steps:
        if steps >= epochs * s:
            del m["steps"]
        elif epochs >= steps:
            del m["epochs"]
    return most


def _windows(plan: TrainingPlan, m: dict[str, Any]) -> None:
    """Rewrites the fields of accumulation."""
    k, s, exhaustion = plan.gradient_accumulation_steps, plan.steps_per_epoch, m.get("on_exhaustion")
    if m["accumulation_remainder"] == "carry" or s is None:
        m["accumulation_boundary"] = "epoch"
    by_epoch = m["accumulation_boundary"] == "epoch"
    if s is not None and by_epoch and exhaustion in (None, "repeat") and s % k == 0:
        m["accumulation_remainder"] = "carry"  # no window is ever cut short
    if not _can_end_open(plan, m):
        m["accumulation_at_end"] = "drop"
    whole = m["accumulation_remainder"] in ("drop", "carry") and m["accumulation_at_end"] == "drop"
    if whole and m["loss_normalization"] == "window":
        m["loss_normalization"] = "actual"
    if m["loss_normalization"] == "samples" and _always_full(plan, m):
        m["loss_normalization"] = "actual"


def _can_end_open(plan: TrainingPlan, m: dict[str, Any]) -> bool:
    """Whether training can stop inside a window that the stop does not cut."""
    k, s, exhaustion = plan.gradient_accumulation_steps, plan.steps_per_epoch, m.get("on_exhaustion")
    goes_on, by_epoch = m["accumulation_remainder"] == "carry", m["accumulation_boundary"] == "epoch"
    if (exhaustion == "stop" and goes_on) or ("epochs" in m and (goes_on or not by_epoch)):
        return True
    if "steps" not in m:
        return False
    if goes_on:
        return bool(m["steps"] % k)
    if by_epoch and s is not None and exhaustion != "short_epoch":
        return bool(m["steps"] % s % k)
    return True


def _steps_of_updates(plan: TrainingPlan, m: dict[str, Any]) -> int:
    """The least number of steps that apply the updates of the limit."""
    k, s, updates = plan.gradient_accumulation_steps, plan.steps_per_epoch, m["updates"]
    if k == 1:
        return int(updates)
    remainder = m["accumulation_remainder"]
    regular = s is not None and m["accumulation_boundary"] == "epoch" and m.get("on_exhaustion") in (None, "repeat")
    if remainder == "carry" or not regular or s is None:
        return int(updates if remainder == "flush" else updates * k)
    if remainder == "flush":
        epochs, left = divmod(updates, -(-s // k))
        return int(epochs * s + left * k)
    if s < k:
        return _NEVER
    epochs, left = divmod(updates, s // k)
    return int(epochs * s + left * k if left else (epochs - 1) * s + s // k * k)
