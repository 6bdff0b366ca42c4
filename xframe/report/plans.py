"""A plan in words: its arithmetic, and one of its steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice
from typing import Any

from xframe.errors import counted
from xframe.plan.cadence import Cadence
from xframe.plan.counting import ReplicaCounts, Step, counts, idle_replicas, of_replicas
from xframe.plan.replicas import share, shared_padding, shared_rows
from xframe.plan.training_plan import TrainingPlan


def arithmetic(plan: TrainingPlan, num_samples: int) -> list[str]:
    """The counts, written out as a person would check them on paper."""
    cadence, result = Cadence(plan, num_samples), counts(plan, num_samples)
    lines = [_pass_line(plan, cadence)]
    if plan.steps_per_epoch is not None:
        lines.append(_epoch_line(plan, cadence))
    if plan.gradient_accumulation_steps > 1:
        lines.append(_window_line(plan, cadence))
    lines += _limit_lines(plan, cadence)
    per_epoch = cadence.steps_of_completed_epochs()
    goes_on = cadence.place(cadence.num_steps)[0] + 1 == result.num_epochs
    unfinished = cadence.leaves_epoch_unfinished or (goes_on and not cadence.ended_by_exhaustion)
    totals = (result.num_steps, "step"), (cadence.num_updates, "update"), (result.num_epochs or 0, "epoch")
    lines.append(
        "total   "
        + ", ".join(counted(*total) for total in totals)
        + (" (the last one unfinished)" if unfinished else "")
        + (f", {per_epoch:,} steps in each complete epoch" if per_epoch and plan.steps_per_epoch else "")
    )
    samples = f"samples {result.samples_seen:,} seen"
    if result.samples_dropped:
        samples += f", {result.samples_dropped:,} dropped ({cadence.dropped_of_pass:,} in each full pass)"
    if result.samples_padded:
        samples += f", {counted(result.samples_padded, 'row')} of padding"
    lines.append(f"{samples}, last batch {result.last_batch_size:,}")
    return lines + _replica_lines(plan, num_samples) + _validation_lines(plan)


_SPLITS = {
    "slices": "one slice of a step's rows after the other",
    "interleaved": "a step's rows in turn",
    "dealt": "one run of {} after the other",
}
_GRADIENTS = {"rows": "the mean over all rows", "replicas": "the mean of the replicas' own"}
MOST_REPLICAS, _MOST_IN_LINES = 1024, 64  # that are listed, and of which each has a line of its own


def _replica_lines(plan: TrainingPlan, num_samples: int) -> list[str]:
    """What each replica gets, those that get the same in one line."""
    if plan.replicas == 1:
        return []
    split, whose = plan.replica_split or "", _GRADIENTS[plan.replica_gradients or ""]
    dealt = _SPLITS[split].format(counted(-(-plan.batch_size // plan.replicas), "row"))
    lines = [f"replicas {plan.replicas:,}, {dealt} ({split}); a gradient is {whose}"]
    lines += [f"  {idle}"] if (idle := never_with_rows(plan, num_samples)) else []
    listed = islice(of_replicas(plan, num_samples), MOST_REPLICAS)
    for words, alike in groupby(listed, lambda one: _share_words(one, plan)):
        first, *rest = alike
        name = f"{first.replica:,}" + (f"-{rest[-1].replica:,}" if rest else "")
        lines.append(f"  replica{'s' * bool(rest)} {name}: {'each ' * bool(rest)}{words}")
    if plan.replicas > MOST_REPLICAS:
        lines.append(f"  and {plan.replicas - MOST_REPLICAS:,} replicas more")
    return lines


def never_with_rows(plan: TrainingPlan, num_samples: int) -> str:
    """How many replicas train on nothing at all; empty where each has a row of some step."""
    idle = idle_replicas(plan, num_samples)
    return f"{idle:,} of them never {'has' if idle == 1 else 'have'} a row" if idle else ""


def _share_words(share: ReplicaCounts, plan: TrainingPlan) -> str:
    words = [f"{shared_rows(plan, plan.batch_size, share.replica):,} of a full batch, {share.samples_seen:,} seen"]
    if share.samples_padded:
        words.append(f"{counted(share.samples_padded, 'row')} of padding")
    if share.steps_without_rows:
        words.append(f"{counted(share.steps_without_rows, 'step')} without rows")
    return ", ".join([*words, f"last batch {share.last_batch_size:,}"])


def often(plan: TrainingPlan) -> str:
    """How often a plan validates: every ``epoch``, or ``3 epochs``."""
    unit = (plan.validation_unit or "")[:-1]
    return unit if plan.validation_every == 1 else counted(plan.validation_every or 0, unit)


def _validation_lines(plan: TrainingPlan) -> list[str]:
    if plan.validation_every is None:
        return []
    lines = [f"validation after every {often(plan)}, and at the end, in batches of {plan.validation_batch_size:,}"]
    if plan.early_stopping_patience is not None:
        many = counted(plan.early_stopping_patience, "validation")
        bar = f" by more than {plan.early_stopping_min_delta:g}" if plan.early_stopping_min_delta else ""
        lines.append(
            f"early stopping after {many} in a row whose {plan.early_stopping_monitor} is not better{bar}: "
            "all counts are upper bounds"
        )
    return lines


def one_step(plan: TrainingPlan, step: Step, num_samples: int) -> list[str]:
    """Where a step's samples stand, and which they are; each counted from 0, as in every report."""
    cadence = Cadence(plan, num_samples)
    _, _, pass_index, position = cadence.place(step.index)
    rows = len(step.sample_ids) - step.padding
    end = position + rows
    last = min(end, cadence.num_samples) - 1
    places = f"sample {position:,}" if last == position else f"samples {position:,}-{last:,}"
    order = "" if plan.order == "sequential" else " of its order"
    where = f"{places}{order}, in pass {pass_index:,}"
    if end > cadence.num_samples:
        where += f", and {counted(end - cadence.num_samples, 'sample')} after it"
    if step.padding:
        where += f", and {counted(step.padding, 'row')} of padding"
    lines = [
        f"step {step.index:,}: step {step.step_in_epoch:,} of epoch {step.epoch:,}, {where}, all counted from 0; "
        f"updates after it: {step.update:,}",
        f"  sample ids: {_listed(step.sample_ids)}",
    ]
    if plan.replicas > 1:
        lines += [
            f"  replica {replica:,}: {_listed(ids) or 'no rows'}" + (f" ({padding:,} of padding)" if padding else "")
            for replica, ids, padding in islice(shares(plan, step), _MOST_IN_LINES)
        ]
        if plan.replicas > _MOST_IN_LINES:
            lines.append(f"  and {plan.replicas - _MOST_IN_LINES:,} replicas more")
    return lines


def _listed(ids: Any) -> str:
    return ", ".join(map(str, ids[:64].tolist())) + (", …" if len(ids) > 64 else "")


def shares(plan: TrainingPlan, step: Step) -> Iterator[tuple[int, Any, int]]:
    """Of a step, each replica's index, sample ids, and how many of these are padding; the first of very many."""
    rows = len(step.sample_ids)
    for replica in range(min(plan.replicas, MOST_REPLICAS)):
        padding = shared_padding(plan, rows, step.padding, replica)
        yield replica, step.sample_ids[share(plan, rows, replica)], padding


def _pass_line(plan: TrainingPlan, cadence: Cadence) -> str:
    n, m, b, per_pass = cadence.num_samples, cadence.rows_of_pass, plan.batch_size, cadence.steps_per_pass
    full, rest = divmod(m, b)
    unit = "a pass" if plan.steps_per_epoch is not None else "an epoch"
    even = f" {'+' if m > n else '-'} {abs(m - n):,} for {plan.replicas:,} replicas ({plan.replica_remainder})"
    division = f"{n:,} samples{even if m != n else ''} / batches of {b:,} = {full:,} full"
    if not per_pass:
        left = f"{rest:,} left, which the next pass fills up" if rest else "none left"
        return f"{division}, {left} (carry): one stream of batches of {b:,}"
    result = f" -> {counted(per_pass, 'step')} {unit}"
    if not rest:
        return f"{division}, none left{result}"
    if plan.remainder == "keep":
        return f"{division} + 1 short of {rest:,} (keep){result}"
    if plan.remainder == "pad":
        left_out = f"the {n - m:,} left out and " if m < n else ""
        return f"{division} + 1 of {rest:,} filled up with {left_out}{cadence.padded_of_pass:,} repeated (pad){result}"
    return f"{division}, {counted(rest, 'sample')} dropped{result}"


def _epoch_line(plan: TrainingPlan, cadence: Cadence) -> str:
    s, per_pass = plan.steps_per_epoch or 0, cadence.steps_per_pass
    begins = "each begins a new pass (restart)" if cadence.restart else "the pass goes on (continue)"
    line = f"epochs of {counted(s, 'step')}, {begins}"
    if not per_pass:
        return line
    over = {
        "repeat": "the next pass begins (repeat)",
        "short_epoch": "the epoch ends (short_epoch)",
        "stop": "training ends (stop)",
    }[plan.on_exhaustion or "repeat"]
    if cadence.restart and s <= per_pass:
        return line + (f", {counted(per_pass - s, 'step')} of the pass are left" if s < per_pass else "")
    line += f"; when a pass is over, {over}"
    if cadence.short and not cadence.restart:
        parts = [s] * (per_pass // s) + [per_pass % s] * (per_pass % s > 0) if per_pass // s < 6 else []
        line += f": {' + '.join(map(str, parts))} steps" if len(parts) > 1 else ""
    return line


def _window_line(plan: TrainingPlan, cadence: Cadence) -> str:
    k, leftover = plan.gradient_accumulation_steps, plan.accumulation_remainder or ""
    does = {
        "flush": "updates with what is there (flush)",
        "drop": "zeroes its gradients (drop)",
        "leak": "restarts the count and keeps the gradients (leak)",
    }
    line = f"window  an update every {counted(k, 'step')}"
    if leftover == "carry":
        return line + ", whatever ends in between (carry)"
    line += f"; the end of each {plan.accumulation_boundary} cuts it, and {does[leftover]}"
    if (steps := cadence.cut_every) is not None:
        full, left = divmod(steps, k)
        parts = f"{full:,} x {k:,}" + (f" + {left:,}" if left else "")
        updates = full + (left > 0 and leftover == "flush")
        each = "a pass" if plan.accumulation_boundary == "pass" else "an epoch"
        line += f": {counted(steps, 'step')} = {parts} -> {counted(updates, 'update')} {each}"
    return line


def _limit_lines(plan: TrainingPlan, cadence: Cadence) -> list[str]:
    lines, limits, total = [], plan.limits, cadence.num_steps
    if limits.epochs is not None:
        n, needed = cadence.num_samples, cadence.steps_of_epochs(limits.epochs)
        each = cadence.restart_after if cadence.restart else cadence.steps_per_epoch
        if not each:
            how = f"x {n:,} samples = {limits.epochs * n:,}, in batches of {plan.batch_size:,}"
        elif needed == limits.epochs * each:
            how = f"x {counted(each, 'step')}"
        else:
            how = f"of at most {counted(each, 'step')}"
        lines.append(f"epochs  {limits.epochs:,} {how} = {counted(needed, 'step')}{_stops(needed, total)}")
    each = cadence.steps_per_epoch
    for name, limit in (("steps", limits.steps), ("updates", limits.updates)):
        if limit is None:
            continue
        reached = limit if name == "steps" else cadence.step_of_update(limit)
        if reached is None:
            lines.append(f"{name:7} {counted(limit, name[:-1])}  (never reached)")
        elif not each or cadence.restart or cadence.short or (name == "updates" and cadence.window > 1):
            more = "" if name == "steps" else f" = {counted(reached, 'step')}"
            lines.append(f"{name:7} {counted(limit, name[:-1])}{more}{_stops(reached, total)}")
        else:
            whole, left = divmod(reached, each)
            length = counted(whole, "epoch") + (f" + {left:,} of {each:,} steps" if left else " exactly")
            lines.append(f"{name:7} {counted(limit, name[:-1])} / {each:,} an epoch = {length}{_stops(reached, total)}")
    if cadence.left_open:
        open_ = f"end     a window of {counted(cadence.left_open, 'step')} is open"
        lines.append(
            open_ + (" and updates (flush)" if plan.accumulation_at_end == "flush" else ", never applied (drop)")
        )
    if cadence.stopped:
        lines.append(f"stop    the pass is over after {counted(total, 'step')}")
    return lines


def _stops(here: int, total: int) -> str:
    return "" if here == total else "  (not reached)"
