"""What a sweep found, of made-up rows: which trials of one plan were not the same run, and which failed."""

from pathlib import Path

import pytest

import xframe
from xframe.plan.fields import FIELDS
from xframe.sweep import grid, table
from xframe.sweep.result import SweepResult
from xframe.sweep.trial import last_epoch_loss


def swept(tmp_path, *rows):
    """A result of made-up rows: adapter, batch size, seed, certificate; None for a trial that failed."""
    trials, full = [], []
    for adapter, size, seed, certificate in rows:
        settings = {**grid.SETTINGS, "adapter": adapter}
        given = {"batch_size": size, "epochs": 1, "seed": seed}
        names = {"adapter": adapter, "batch_size": size, "seed": seed}
        one = grid.Trial(f"{adapter}-{size}-{seed}", None, given, xframe.TrainingPlan(**given), settings, names)
        trials.append(one)
        found = {"outcome": "ok", "certificate": certificate, "seconds": 2.0, "versions": f'{{"{adapter}": "1"}}'}
        full.append(table.row(one, found if certificate else {"outcome": "failed", "error": "it fell", "seconds": 1.0}))
    return SweepResult(tmp_path, tmp_path / "results.parquet", tuple(trials), tuple(full))


def test_trials_of_one_plan_agree_or_not(tmp_path):
    same = [("torch", 32, 0, "xf1-aa"), ("keras", 32, 0, "xf1-aa"), ("torch", 64, 0, "xf1-cc")]
    result = swept(tmp_path, *same)
    assert (result.exit_code, result.to_dict()["agree"], result.to_dict()["compared"]) == (0, True, 1)
    assert result.verdict == "PASSED  3 of 3 trials ran; certificates agree in 1 plan"

    result = swept(tmp_path, *same, ("keras", 64, 0, "xf1-dd"), ("keras", 96, 0, None))
    assert result.exit_code == 1  # what differs is certain, whatever else failed
    (difference,) = result.to_dict()["differences"]
    assert difference["certificates"] == {"torch-64-0": "xf1-cc", "keras-64-0": "xf1-dd"}
    text = result.text()
    assert "batch_size 64, seed 0: torch xf1-cc, keras xf1-dd" in text
    assert "adapter keras, batch_size 96, seed 0: it fell" in text
    assert result.by_adapter()["keras"] == {"trials": 3, "ok": 2, "compared": 2, "equal": 1, "median_seconds": 2.0}
    assert "FAILED  4 of 5 trials ran; certificates differ in 1 plan of 2" in text

    result = swept(tmp_path, *same, ("keras", 96, 0, None))
    assert result.exit_code == 3
    assert result.failed[0]["trial"] == "keras-96-0"


def test_what_made_the_rows_unlike_is_said(tmp_path):
    result = swept(tmp_path, ("torch", 32, 0, "xf1-aa"), ("torch", 64, 0, "xf1-bb"))
    result.rows[1].update(versions='{"torch": "2"}', data_fingerprint="x")
    result.rows[0].update(data_fingerprint="y")
    assert result.notes() == [
        "trials ran with different versions of torch: 1, 2",
        "the data of task digits-mlp in float32 changed between trials",
    ]


@pytest.mark.parametrize(
    ("limit", "losses", "mean"),
    [
        ({"epochs": 2}, [9, 9, 9, 1, 1, 5], 1.8),  # sizes 4, 4, 2
        ({"epochs": 1}, [1, 1, 5], 1.8),
        ({"steps": 5}, [1, 1, 5, 9, 9], 1.8),  # cut in its second
        ({"steps": 2}, [1, 1], None),
        ({"epochs": 1}, [1, None, 5], None),
    ],
)
def test_the_loss_of_the_last_completed_epoch_is_its_mean_by_sample(tmp_path, limit, losses, mean):
    plan = xframe.TrainingPlan(batch_size=4, **limit)
    with xframe.record(tmp_path / "a.trace", plan=plan, num_samples=10) as rec:
        for one, loss in zip(plan.each_step(10), losses, strict=True):
            rec.step(ids=one.sample_ids, epoch=one.epoch, **({} if loss is None else {"loss": float(loss)}))
    outcome = last_epoch_loss(xframe.Trace.open(tmp_path / "a.trace"))
    assert outcome == (None if mean is None else pytest.approx(mean))


def test_the_page_on_sweeps_names_every_column():
    page = (Path(__file__).parents[3] / "docs/howto/sweep.md").read_text()
    assert [name for name in table.COLUMNS if name not in FIELDS and f"`{name}`" not in page] == []
