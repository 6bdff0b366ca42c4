"""Plans with several replicas compared with the simulator, which hands out each step's rows one by one."""

import random
from dataclasses import asdict

from sweeps.counting import Counting, order_of
from sweeps.counting import run as counted
from sweeps.simulator import Refused, Run, replicated_case, simulate
from xframe.errors import PlanError
from xframe.plan.counting import of_replicas
from xframe.plan.replicas import share, shared_padding, shared_rows
from xframe.plan.training_plan import TrainingPlan


def run(size: int, seed: int) -> Counting:
    """That many random cases: all counts, every step's ids, and which of them each replica has."""
    result = counted(size, seed, replicated_case)
    rng = random.Random(seed)
    for _ in range(size):
        fields, num_samples = replicated_case(rng)
        try:
            plan = TrainingPlan.from_mapping(fields)
            walked = simulate(fields, num_samples, order_of(plan, num_samples))
        except (PlanError, Refused):
            continue  # by both: looked at above
        if mismatch := shares_differ(plan, num_samples, walked) or counts_differ(plan, num_samples, walked):
            result.mismatches.append(f"{num_samples} samples, {fields}: {mismatch}")
    return result


def shares_differ(plan: TrainingPlan, num_samples: int, walked: Run) -> str | None:
    """What differs between the plan's shares and those handed out; None if nothing does."""
    for step, one in zip(plan.each_step(num_samples), walked.steps, strict=False):
        rows = len(step.sample_ids)
        for replica in range(plan.replicas):
            has = one.shares[replica] if replica < len(one.shares) else None
            expected = [sample for sample, _ in has or []], len(has or []), sum(fills for _, fills in has or [])
            got = (
                step.sample_ids[share(plan, rows, replica)].tolist(),
                shared_rows(plan, rows, replica),
                shared_padding(plan, rows, step.padding, replica),
            )
            if has is None or got != expected:
                return f"replica {replica} of step {step.index} has {got}, by hand {expected}"
    return None


def counts_differ(plan: TrainingPlan, num_samples: int, walked: Run) -> str | None:
    """What differs between each replica's counts and what was handed out; None if nothing does."""
    for counts in of_replicas(plan, num_samples):
        shares = [step.shares[counts.replica] for step in walked.steps]
        padded = sum(fills for share_ in shares for _, fills in share_)
        rows = sum(map(len, shares))
        expected = counts.replica, rows - padded, padded, shares.count([]), len(shares[-1])
        if tuple(asdict(counts).values()) != expected:
            return f"{counts}, by hand {expected}"
    return None
