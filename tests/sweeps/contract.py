"""Random plans through adapters on the ledger task, compared with the simulator: every row, the counts, the weights.

The final weights spell which samples' gradients entered which update, and how heavily. They are computed here
from the simulated run in exact fractions, so that an adapter cannot agree by counting as ``xframe.plan.counting`` does.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from sweeps import Result
from sweeps.counting import order_of
from sweeps.simulator import Refused, Run, random_case, simulate
from xframe.errors import PlanError
from xframe.plan.training_plan import TrainingPlan
from xframe.running import registry
from xframe.running.adapter import Adapter
from xframe.tasks.builtin.ledger import ledger
from xframe.testing import observe
from xframe.trace.trace import Trace

MOST_SAMPLES, MOST_STEPS, MOST_UPDATES = 40, 60, 18  # each update quarters the trace that the first left in the weights
RTOL = 1e-13


class Case(NamedTuple):
    """A plan that fits its data, and what becomes of it."""

    plan: TrainingPlan
    num_samples: int
    run: Run


def draw(cases: int, seed: int) -> Iterator[Case]:
    """That many random plans, small enough for the ledger."""
    return islice(small(random.Random(seed)), cases)


def small(rng: random.Random, case: Callable[[random.Random], tuple[dict, int]] = random_case) -> Iterator[Case]:
    """Random plans without end, each as ``case`` draws it, that are small enough for the ledger."""
    while True:
        fields, num_samples = case(rng)
        num_samples = (num_samples - 1) % MOST_SAMPLES + 1
        try:
            plan = TrainingPlan.from_mapping(fields)
            run = simulate(fields, num_samples, order_of(plan, num_samples))
        except (PlanError, Refused):
            continue
        if len(run.steps) <= MOST_STEPS and len(run.updates) <= MOST_UPDATES:
            yield Case(plan, num_samples, run)


def weights_of(run: Run, num_samples: int) -> list[Fraction]:
    """What the ledger's weights end at: each update quarters them and adds what entered it."""
    weights = [Fraction(0)] * num_samples
    for update in run.updates:
        weights = [weight / 4 for weight in weights]
        for step, factor in update.weights.items():
            for sample in run.steps[step].sample_ids:
                weights[sample] += factor
    return weights


def check_trace(trace: Trace, case: Case) -> list[str]:
    """What differs between a recorded run and the simulated one."""
    run, mismatches = case.run, []
    columns = ("updates", "epoch", "step_in_epoch", "padding")
    rows = list(zip(trace.batches(), *(trace.column(name) for name in columns), strict=True))
    if not trace.complete:
        mismatches.append("the trace is not complete")
    if len(rows) != len(run.steps):
        mismatches.append(f"{len(rows)} rows, {len(run.steps)} steps")
    for step, (ids, *values) in zip(run.steps, rows, strict=False):
        seen = ids.tolist(), *map(int, values)
        expected = step.sample_ids, step.update, step.epoch, step.step_in_epoch, step.padding
        if seen != expected:
            mismatches.append(f"step {step.index}: ids, {', '.join(columns)} {seen}, expected {expected}")
            break
    counts = trace.counts().to_dict()
    if counts != run.counts:
        mismatches.append(f"counts {counts}, expected {run.counts}")
    return mismatches + _weights(trace, case)


def _weights(trace: Trace, case: Case) -> list[str]:
    weights = trace.weights()
    if weights is None:
        return ["no final weights"]
    ((_, values),) = weights.items()
    expected = np.array([float(weight) for weight in weights_of(case.run, case.num_samples)])
    mismatches = [f"audit: {line}" for line in ledger(case.num_samples).audit(trace, weights)]  # type: ignore[misc]
    if values.dtype != np.float64 or not np.allclose(values.ravel(), expected, rtol=RTOL, atol=0):
        worst = int(np.argmax(np.abs(values.ravel() - expected)))
        mismatches.append(f"sample {worst} ended at {values.ravel()[worst]}, expected {expected[worst]}")
    return mismatches


def run(size: int, seed: int, adapters: Sequence[Adapter] | None = None) -> Result:
    """That many plans through each adapter, all three by default; their certificates must be equal too."""
    if adapters is None:
        adapters = [registry.load(name) for name in ("numpy", "torch", "tensorflow")]
    result = Result()
    for case in draw(size, seed):
        where = f"{case.num_samples} samples, {case.plan.to_dict()}"
        certificates: dict[str, Any] = {}
        with TemporaryDirectory() as folder:
            for adapter in adapters:
                path = Path(folder) / f"{adapter.name}.trace"
                try:
                    trace = observe(adapter, case.plan, ledger(case.num_samples), path)
                    wrong = check_trace(trace, case)
                    certificates[adapter.name] = trace.certificate
                except Exception as error:  # reported with its plan
                    wrong = [f"{type(error).__name__}: {error}"]
                result.mismatches += [f"{adapter.name}, {where}: {line}" for line in wrong]
        if len(set(certificates.values())) > 1:
            result.mismatches.append(f"{where}: certificates {certificates}")
        result.cases += 1
    return result
