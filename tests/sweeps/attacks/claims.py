"""What sentences claim, and how the table that they stand under refutes it.

A claim is a pattern in a sentence and what must then hold: of the checks' results, and of the rows of both sides as
they were recorded. Whether causes fit the table apart from their sentences, `tables` judges.
"""

from __future__ import annotations

import re
from collections import Counter

from sweeps.attacks import refuters
from sweeps.attacks.refuters import Refuter
from sweeps.attacks.tables import STRUCTURE, Table, misfits

N = r"(\d[\d,]*)"
CLAIMS: dict[str, tuple[str, Refuter]] = {
    "nothing but the order": (r"nothing but the order", refuters.no_failure("steps", "updates", "lr")),
    "samples and updates agree": (r"samples(?:, steps)? and updates(?! up to)", refuters.no_failure(*STRUCTURE)),
    "samples and updates up to": (
        rf"samples and updates up to there, and different losses from step {N}",
        refuters.same_up_to,
    ),
    "every loss agrees": (r"(?:every|all) loss(?:es)? agrees?", refuters.every_loss),
    "the updates are the same": (r"the updates are the same", lambda m, t, c: t.until <= (c.step or 0)),
    "different gradients": (r"different gradients entered|other gradients entered", refuters.gradients),
    "ends in different weights": (r"ends in different weights", lambda m, t, c: t.result("weights") != "fail"),
    "labels": (
        rf"labels its steps differently: step {N} has (epoch|step in epoch|padding) {N}, where {N} is due",
        refuters.labels,
    ),
    "a seed": (rf"(?:shuffles by|xframe's) seed {N}(?=[;)])", refuters.seed),
    "in a row": (rf"every batch {N} times in a row", refuters.in_a_row),
    "a rate": (
        r"(?:trains at|records) the rate (\S+) in step (\d[\d,]*), \S+ (?:at )?(\S+?)(?=[,:;.]?(?: |$))",
        refuters.rates,
    ),
    "rates all through": (r"\S+, (\S+) times as high all through", refuters.rates_all_through),
    "a scale": (rf"every loss of \S+(?: up to step {N}, .*?,)? is (\S+) times that", refuters.loss_scale),
    "a constant loss": (r"every loss that \S+ reports is", refuters.constant),
    "first losses": (r"the first loss already differs, (\S+) and (\S+):", refuters.first_losses),
    "slowly": (rf"diverge slowly, beyond the tolerance from step {N} on", refuters.slowly),
    "agrees before": (rf"agrees with .* before step {N}, and ends elsewhere", refuters.agree_before),
    "batches of": (rf"(?:in its first {N} steps?, )?takes batches of {N};", refuters.batches_of),
    "due": (rf"{N} (step|update)s? where {N} (?:is|are) due, {N} (more|fewer)", refuters.due),
    "batch missing": (rf"the batch of step {N} is missing, the next one follows", refuters.batch_missing),
    "batch again": (rf"trains on the batch of step {N} again at step {N}", refuters.batch_again),
    "batches lost": (rf"loses {N} batch(?:es)? at step {N}", refuters.batches_lost),
    "batches swapped": (rf"has the batches of steps {N} and {N} in each other's place", refuters.batches_swapped),
    "samples swapped": (
        rf"has samples {N} and {N} in each other's place, in steps {N} and {N}",
        refuters.samples_swapped,
    ),
    "sample in step": (rf"has sample {N} in step {N} in place of {N}", refuters.sample_in_step),
    "sample missing": (rf"is without sample {N} of step {N}$", refuters.sample_missing),
    "never a sample": (rf"never has sample {N}", refuters.never),
    "skips": (r"skips the update of steps? ([\d, ]+)", refuters.skips),
    "too many": (r"appl(?:ies) (?:an update|updates) too many at steps? ([\d, ]+)", refuters.too_many),
    "counts more": (rf"counts {N} updates? more from its first step on", refuters.counts_more),
    "one late": (r"has its updates one step late all through", refuters.one_late),
    "each pass": (r"in all of \d+ passes", refuters.each_pass),
    "stored order": (r"goes through the samples in their stored order", refuters.stored),
    "goes on": (rf"goes on from a different place at step {N}: with the batch of step {N}", refuters.goes_on),
    "one step": (rf"makes one step (more|less) than the {N}", refuters.one_step),
    "ends after": (rf"ends after {N} steps?, \S+ after {N}", refuters.ends_after),
    "samples due": (rf"has {N} samples? in step {N}, where {N} are due", refuters.samples_due),
    "put in": (rf"has sample {N} put in at step {N}", refuters.put_in),
    "never updates": (r"never updates", refuters.never_updates),
    "updates after every": (rf"updates after every {N} steps;", refuters.updates_after),
    "every step updates": (r"(?:updates|counts an update) after every step;", refuters.every_step_updates),
    "epochs of": (rf"has epochs of {N} steps?;", refuters.epochs_of),
    "order inside": (r"has the same samples in every batch, in a different order", refuters.inside),
    "from outside": (rf"trains on {N} samples? from outside the {N}", refuters.outside),
    "dropped": (rf"drops the {N} samples? left over at the end of each pass \({N} mod {N}", refuters.dropped),
    "mod": (rf"\({N} mod {N} = {N}\)", refuters.remainder),
    "different draws": (rf"{N} different ones in {N} draws", refuters.distinct),
    "alone": (rf"goes through (?:the first )?{N} of the {N} samples alone", refuters.alone),
    "one share": (rf"trains on one of {N} shares {N} times in each pass", refuters.one_share),
    "a buffer": (rf"shuffles in a buffer of about {N}: no sample comes more than {N} places", refuters.buffer),
    "keeps one order": (r"shuffles again for each pass;|repeats the first pass's order", refuters.each_pass),
    "the order of a pass": (rf"has in pass {N} the order of pass {N}", refuters.ids_listed),
    "other samples": (rf"the ids of step {N} may stand for different samples", refuters.loss_at),
    "first factor": (rf"the first loss of \S+ is {N} times(,| smaller,)", refuters.first_factor),
    "never had": (rf"trains on {N} samples? that \S+ never has", refuters.never_had),
}


def refuted(table: Table, read: Counter[str]) -> list[str]:
    """What of the comparison's causes its table refutes; counts in ``read`` what was claimed, or that nothing was."""
    wrong = []
    for cause in table.comparison.causes:
        claimed, part = 0, re.search(rf"in (?:its|the) first {N} steps?,", cause.sentence)
        whole, table = table, table.head(int(part[1].replace(",", ""))) if part else table
        for name, (pattern, refuter) in CLAIMS.items():
            for match in re.finditer(pattern, cause.sentence):
                read[name] += 1
                claimed += 1
                # What is said besides is said of rows that another cause has changed already.
                if ", besides," not in cause.sentence and refuter(match, table, cause):
                    wrong.append(f"{name}: {cause.name}: {cause.sentence}")
        read[f"unread {cause.name}"] += not claimed
        table = whole
        if cause.name == "rounding" and "tol" in " ".join(cause.fix.values()):
            wrong.append(f"a looser tolerance is offered: {cause.fix}")
    return wrong + misfits(table)
