"""Every claim that a sentence can make is refuted where it is false: one lie each, and what is true is not refuted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import xframe
from sweeps.attacks.claims import CLAIMS, refuted
from sweeps.attacks.tables import Table
from xframe.comparison.result import Explanation
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

N = 23
# Of a pair whose losses differ from step 1 on, one rate at step 2, two samples of steps 3 and 4, an update at step 5,
# and an epoch at step 6; the candidate makes 9 steps of 10.
LIES = {
    "nothing but the order": "B shuffles on its own: nothing but the order of the samples differs",
    "samples and updates agree": "B: samples and updates agree",
    "samples and updates up to": "B: the same samples and updates up to there, and different losses from step 7 on",
    "every loss agrees": "B ends elsewhere, though every loss agrees",
    "the updates are the same": "B: the updates are the same whether a window is dropped or leaked",
    "different gradients": "B: different gradients entered the updates before it",
    "ends in different weights": "B ends in different weights",
    "labels": "B labels its steps differently: step 2 has epoch 1, where 0 is due",
    "a seed": "B shuffles by seed 3; A by seed 0",
    "in a row": "B trains on every batch 3 times in a row",
    "a rate": "B trains at the rate 0.3 in step 2, A at 0.1",
    "rates all through": "B trains at the rate 0.2 in step 2, A at 0.1, 2 times as high all through",
    "a scale": "every loss of B is 2 times that of A",
    "a constant loss": "every loss that B reports is 2, whatever it trains on",
    "first losses": "the first loss already differs, 1 and 2: before any update",
    "slowly": "the losses of B and A diverge slowly, beyond the tolerance from step 8 on",
    "agrees before": "B agrees with A before step 9, and ends elsewhere",
    "batches of": "B takes batches of 7; A has 5",
    "due": "B ends early: 8 steps where 10 are due, 2 fewer",
    "batch missing": "B loses a batch: the batch of step 1 is missing, the next one follows at once",
    "batch again": "B trains on the batch of step 0 again at step 2, in place of its own",
    "batches lost": "B loses 2 batches at step 1",
    "batches swapped": "B has the batches of steps 0 and 1 in each other's place",
    "samples swapped": "B has samples 1 and 2 in each other's place, in steps 0 and 0",
    "sample in step": "B has sample 99 in step 0 in place of 98",
    "sample missing": "B is without sample 99 of step 0",
    "never a sample": "B never has sample 3",
    "skips": "B skips the update of step 1",
    "too many": "B applies an update too many at step 1",
    "counts more": "B counts 3 updates more from its first step on",
    "one late": "B has its updates one step late all through",
    "each pass": "B has one order in all of 2 passes",
    "stored order": "B goes through the samples in their stored order",
    "goes on": "B goes on from a different place at step 1: with the batch of step 3",
    "one step": "B makes one step more than the 10",
    "ends after": "B ends after 4 steps, A after 10",
    "samples due": "B has 4 samples in step 0, where 5 are due",
    "put in": "B has sample 99 put in at step 0",
    "never updates": "B never updates",
    "updates after every": "B updates after every 7 steps; A after every 2",
    "every step updates": "B updates after every step; A after every 2",
    "epochs of": "B has epochs of 2 steps; A has epochs of whole passes",
    "order inside": "B has the same samples in every batch, in a different order in 2 batches",
    "from outside": "B trains on 3 samples from outside the 20",
    "dropped": "B drops the 3 samples left over at the end of each pass (23 mod 5 = 3)",
    "mod": "B drops what is left over (23 mod 5 = 4)",
    "different draws": "B draws samples with replacement: 900 different ones in 990 draws",
    "alone": "B goes through the first 4 of the 23 samples alone",
    "one share": "B trains on one of 4 shares 4 times in each pass",
    "a buffer": "B shuffles in a buffer of about 2: no sample comes more than 1 places before its own",
    "keeps one order": "B shuffles again for each pass; A keeps one order",
    "the order of a pass": "B has in pass 1 the order of pass 2",
    "other samples": "B: the ids of step 9 may stand for different samples or targets",
    "first factor": "the first loss of B is 5 times, as many as samples in a batch, that of A",
    "never had": "B trains on 2 samples that A never has",
}
FIRST_STEP = {"each pass", "keeps one order", "one share"}  # refuted where one step is all there is
NO_IDS = {"the order of a pass"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("pair")
    steps = list(TrainingPlan(batch_size=5, epochs=2).each_step(N))
    batches = [step.sample_ids.tolist() for step in steps]
    at = np.arange(len(steps))
    epochs = np.array([step.epoch for step in steps])
    swapped = [list(batch) for batch in batches]
    swapped[3][0], swapped[4][0] = swapped[4][0], swapped[3][0]
    runs = {
        "A": (batches, at + 1, 1.0 + np.cos(at), np.full(10, 0.1), epochs),
        "B": (
            swapped,
            at + 1 - (at >= 5),
            1.0 + np.cos(at) + 0.5 * (at > 0),
            0.1 + 0.1 * (at == 2),
            epochs + (at == 6),
        ),
    }
    for name, (ids, updates, loss, lr, epoch) in runs.items():
        made = 10 if name == "A" else 9
        with xframe.record(folder / name, num_samples=N) as rec:
            flat = np.array([one for batch in ids[:made] for one in batch])
            columns = {"updates": updates, "loss": loss, "lr": lr, "epoch": epoch}
            rec.block(
                ids=flat, batch_sizes=[len(batch) for batch in ids[:made]], **{k: v[:made] for k, v in columns.items()}
            )
    traces = [xframe.Trace.open(folder / name) for name in "AB"]
    comparison = replace(xframe.compare(*traces), causes=())
    return Table(comparison, Rows.of_trace(traces[1]), Rows.of_trace(traces[0]), N)


def said(table: Table, *sentences: str) -> Table:
    causes = tuple(Explanation("other-gradient", "B", False, sentence, step=9) for sentence in sentences)
    return replace(table, comparison=replace(table.comparison, causes=causes))


def test_there_is_a_lie_for_every_claim() -> None:
    assert LIES.keys() == CLAIMS.keys()


@pytest.mark.parametrize("name", CLAIMS)
def test_a_lie_is_found_out(table: Table, name: str) -> None:
    lied = said(table, LIES[name])
    if name in FIRST_STEP:
        lied = lied.head(1)
    if name in NO_IDS:
        lied = replace(lied, candidate=lied.candidate.with_columns(ids=None))
    read: Counter[str] = Counter()
    wrong = refuted(lied, read)
    assert read[name] == 1
    assert any(one.startswith(f"{name}: ") for one in wrong), wrong


def test_what_is_true_is_not_refuted(table: Table) -> None:
    true = (
        "B trains at the rate 0.2 in step 2, A at 0.1: 9 steps where 10 are due, 1 fewer",
        "B skips the update of step 5",
        "B makes one step less than the 10 of A",
        "B labels its steps differently: step 6 has epoch 2, where 1 is due",
        "B drops what is left over (23 mod 5 = 3)",
    )
    read: Counter[str] = Counter()
    wrong = refuted(said(table, *true), read)
    assert not [one for one in wrong if not one.startswith(("step ", "first: "))]
    assert sum(read[name] for name in CLAIMS) == len(true) + 1


def test_a_cause_of_a_later_step_is_not_named_first(table: Table) -> None:
    assert any(one.startswith("first: loss at step 1") for one in refuted(said(table, "B differs"), Counter()))


def test_what_is_certain_explains_all(table: Table) -> None:
    causes = (Explanation("update-skipped", "B", True, "B skips the update of step 5", step=5),)
    sure = replace(table, comparison=replace(table.comparison, causes=causes))
    assert any(one.startswith("certain, and ") and "loss" in one for one in refuted(sure, Counter()))
