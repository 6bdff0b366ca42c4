"""Every cause is looked for wherever runs first differ: in their first step, in one step, with nothing recorded."""

from dataclasses import replace

import numpy as np
import pytest

from tests.diagnosed import diagnose
from xframe.diagnosis import causes
from xframe.diagnosis.case import Case
from xframe.diagnosis.evidence import Evidence
from xframe.diagnosis.numbers import Numbers
from xframe.diagnosis.reference import Reference
from xframe.trace.rows import Rows

N, BATCH = 12, 4
FAILED = ("mode", "loss", "lr", "gradient norm", "features", "targets", "validation", "boundaries")


def _rows(steps: int, seed: int) -> Rows:
    order = np.concatenate([np.random.default_rng([seed, one]).permutation(N) for one in range(steps // 3 + 1)])
    index = np.arange(steps)
    return Rows.of_arrays(
        batch_size=np.full(steps, BATCH), ids=order[: steps * BATCH], updates=index + 1, epoch=index // 3
    )


def _numbers(steps: int, what: str) -> Numbers:
    unknown = np.full(steps, np.nan)
    loss = unknown if what != "rates" else np.linspace(2, 1, steps)
    lr = unknown if what == "nothing" else 0.1 * 0.5 ** (np.arange(steps) // 3)
    evidence = Evidence(
        failed=dict.fromkeys(FAILED, 0),
        norms=dict.fromkeys(("gradient_norm", "clipped_norm"), (loss, loss)),
        modes=(np.ones(steps, np.int64), np.zeros(steps, np.int64)),
        loss_rows=(np.full(steps, -1), np.full(steps, -1)),
    )
    at = None if what == "nothing" or not steps else 0
    count = np.arange(steps, dtype=np.int64)
    fields = {"before": count, "applied": np.ones(steps, np.bool_), "totals": (steps, steps), "evidence": evidence}
    return Numbers(loss=(loss, loss + 1), lr=(lr, lr * 0.9 + 0.01), loss_differs_at=at, lr_differs_at=at, **fields)


@pytest.mark.parametrize("what", ["nothing", "rates", "no losses"])
@pytest.mark.parametrize("steps", [0, 1, 9])
@pytest.mark.parametrize("ordered", [True, False])
def test_every_cause_is_looked_for(steps: int, what: str, ordered: bool) -> None:
    numbers, rows = _numbers(steps, what), max(steps, 4)
    for of in (numbers, replace(numbers, loss=None), replace(numbers, lr=None, lr_differs_at=None)):
        for a, b in ((_rows(steps, 1), _rows(steps, 2)), (_rows(rows, 1), _rows(rows, 2)), (_rows(rows, 1),) * 2):
            diagnose(a, b, num_samples=N, plan=None, numbers=of, ordered=ordered)


@pytest.mark.parametrize("what", ["nothing", "rates", "no losses"])
def test_causes_of_numbers_in_no_steps(what: str) -> None:
    case = Case(_rows(9, 1), Reference(_rows(9, 2)), "B", "A")
    for steps in (0, 1):
        for cause in causes.every():
            with np.errstate(all="ignore"):
                list(cause.find_in_numbers(case.head(max(steps, 1)), _numbers(steps, what)))


def test_another_rate_beside_other_samples_is_named() -> None:
    """The first batch differs, and the rates, which no order changes, later."""
    lr = np.where(np.arange(9) < 6, 0.1, 0.05), np.where(np.arange(9) < 3, 0.1, 0.05)
    numbers = Numbers(lr=lr, lr_differs_at=3, totals=(9, 9), before=np.arange(9), applied=np.ones(9, np.bool_))
    found = diagnose(_rows(9, 1), _rows(9, 2), num_samples=N, plan=None, numbers=numbers, ordered=False)
    assert any(one.name in ("learning-rate", "schedule-late") for one in found)


def test_a_schedule_a_tick_off_recorded_from_outside_is_no_matter_of_reading() -> None:
    """No script read the rate, so that training itself was off where the losses show it."""
    epochs, own = np.arange(9) // 3, {"backend": "keras", "schedule.class": "LearningRateScheduler"}
    numbers = Numbers(
        loss=(np.linspace(2, 1, 9) + 0.1 * (np.arange(9) > 3), np.linspace(2, 1, 9)),
        lr=(0.1 * 0.5 ** ((epochs + 1) // 2), 0.1 * 0.5 ** (epochs // 2)),
        lr_differs_at=3,
        loss_differs_at=4,
        evidence=Evidence(stated=(own, {"backend": "torch"})),
    )
    rows = _rows(9, 1)
    late = [one for one in diagnose(rows, rows, num_samples=N, plan=None, numbers=numbers) if one.step == 3]
    assert late[0].name == "schedule-late"
    assert "reads" not in late[0].sentence
    assert "from step 4 on, so that training itself was off" in late[0].sentence
    assert late[0].fix["keras"].endswith("counts from 0: drop a + 1")
    assert late[0].fix["torch"].startswith("scheduler.step() once")
