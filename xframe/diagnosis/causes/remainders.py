"""What becomes of the samples that are left over at the end of a pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, Prediction, settings
from xframe.diagnosis.reference import changed, planned
from xframe.errors import counted
from xframe.inference.observed import counted_within
from xframe.inference.reproducing import UNKNOWN, cells
from xframe.plan import counting
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

_DOES = {
    "keep": "keeps them as a short batch",
    "drop": "drops them",
    "pad": "fills their batch up from the start of the pass",
    "carry": "fills their batch up from the next pass",
    "error": "leaves none",
}
# By what the reference does.
_FIXES: dict[str, dict[str, str]] = {
    "keep": {
        "torch": "DataLoader(..., batch_size={b}, drop_last=False)",
        "tensorflow": "Dataset.batch({b}, drop_remainder=False)",
        "transformers": "TrainingArguments(dataloader_drop_last=False)",
    },
    "drop": {
        "torch": "DataLoader(..., batch_size={b}, drop_last=True)",
        "tensorflow": "Dataset.batch({b}, drop_remainder=True)",
        "transformers": "TrainingArguments(dataloader_drop_last=True)",
    },
    "pad": {
        "torch": "a sampler that repeats the pass's first samples, as DistributedSampler(drop_last=False) does",
        "tensorflow": "before batching: dataset.concatenate(dataset.take({missing})), with the order fixed",
        "accelerate": "Accelerator(even_batches=True)",
    },
    "carry": {
        "torch": "a sampler that is endless: the passes one after the other, cut by DataLoader(batch_size={b})",
        "tensorflow": "Dataset.repeat() before Dataset.batch({b})",
    },
}
_FIXES["error"] = {framework: _FIXES["keep"][framework] for framework in ("torch", "tensorflow")}


class _Remainder(Cause):
    """A different ``remainder`` than the reference's."""

    remainder: ClassVar[str]
    text: ClassVar[str]  # with {r}, the samples left over, and {more}, those that a full batch lacks
    changes_counts = True

    def predictions(self, case: Case, plan: TrainingPlan, num_samples: int) -> Iterator[Prediction]:
        n, b = num_samples, plan.batch_size
        r = n % b
        if not r or plan.remainder == self.remainder:
            return
        text = self.text.format(r=counted(r, "sample"), more=counted(b - r, "sample"))
        fields: dict[str, Any] = {"remainder": self.remainder}
        if plan.remainder == "carry" and plan.steps_per_epoch is not None:
            fields["on_exhaustion"] = "repeat"
        text += f" ({n:,} mod {b:,} = {r:,}); {case.other} {_DOES[plan.remainder]}"
        yield Prediction(fields, text, self.remainder)

    def fixes_for(self, fields: Mapping[str, Any]) -> Mapping[str, str]:
        return _FIXES.get(str(fields.get("remainder")), {}) | {"plan": 'remainder = "{observed}"'}


class ShortBatchDropped(_Remainder):
    """It drops the samples left over at the end of a pass."""

    name = "short-batch-dropped"
    rank = 20
    settings_behind = r"loader\.drop_last"
    remainder = "drop"
    text = "drops the {r} left over at the end of each pass"
    cuts_passes = True


class ShortBatchKept(_Remainder):
    """It trains on a short batch at the end of a pass."""

    name = "short-batch-kept"
    rank = 30
    settings_behind = r"loader\.drop_last"
    remainder = "keep"
    text = "trains on a short batch of the {r} left over at the end of each pass"
    cuts_passes = True


class ShortBatchPadded(_Remainder):
    """It fills the short batch at the end of a pass up with samples already seen."""

    name = "short-batch-padded"
    rank = 40
    remainder = "pad"
    needs_epochs = True  # as below
    text = "fills the batch of the {r} left over at the end of each pass with {more} that it has seen"

    def find(self, case: Case) -> Iterator[Fit]:
        filled = _filled_up(case)
        if filled is None or filled[0].remainder == "pad":
            return
        plan, size, exact = filled
        n, b = case.num_samples or 0, plan.batch_size
        if n % b < size == -(-(n % b) // case.num_replicas) * case.num_replicas < b:
            return  # as many for each replica, which is a cause of its own
        text = f"fills the batch of the {counted(n % b, 'sample')} left over at the end of a pass"
        text += f" ({n:,} mod {b:,} = {n % b:,}) up to {size:,} with samples of the data set"
        yield self.fit(case, text, exact=exact, guess=not case.given, plan=plan)


class BatchesStraddlePasses(_Remainder):
    """Its batches go over the end of a pass."""

    name = "batches-straddle-passes"
    rank = 50
    remainder = "carry"
    text = "puts the {r} left over at the end of each pass into one batch with the next"
    cuts_passes = True
    needs_epochs = True  # epochs that begin a new pass drop the remainder as well


class PaddingDiffers(Cause):
    """It pads with other samples, or with a different number of them."""

    name = "padding-differs"
    rank = 60
    fixes = settings(plan="no field: a plan pads with the start of the same pass; pad so, or keep the short batch")

    def find(self, case: Case) -> Iterator[Fit]:
        filled = _filled_up(case)
        if filled is None or filled[0].remainder != "pad":
            return
        plan, _, exact = filled
        rest = counted((case.num_samples or 0) % plan.batch_size, "sample")
        text = f"fills the batch of the {rest} left over, but not from the start of the pass"
        yield self.fit(case, text, exact=exact, guess=not case.given, plan=plan)


def _filled_up(case: Case) -> tuple[TrainingPlan, int, bool] | None:
    """The first plan whose short batches the candidate fills up, to what size, and whether nothing else differs."""
    rows, n = case.candidate, case.num_samples
    for plan in case.basis.plans:
        if n is None or plan.remainder not in ("keep", "pad", "drop") or not n % plan.batch_size:
            continue
        base = changed(plan, remainder="keep")
        kept = None if base is None else planned(base, n, len(rows), total=len(rows))
        if base is None or kept is None:
            continue
        if (rows.batch_size < kept.batch_size).any() or not (rows.batch_size > kept.batch_size).any():
            continue
        short = kept.batch_size < plan.batch_size
        if (rows.batch_size[~short] != kept.batch_size[~short]).any():
            continue
        if rows.updates is not None and not np.array_equal(rows.updates, kept.updates):
            continue
        if (case.drawn or rows).ids is not None and not _begins_as(case, base, n, kept):
            continue
        if plan.remainder == "pad" and rows.ids is not None:
            padded = changed(base, remainder="pad")
            if padded is not None and case.match(padded) is not None:
                continue
        sizes = rows.batch_size[short]
        exact = case.has_ids and bool((sizes > kept.batch_size[short]).all() and (sizes == sizes[0]).all())
        return plan, int(sizes.max()), exact
    return None


def _begins_as(case: Case, plan: TrainingPlan, n: int, kept: counting.PlannedRows) -> bool:
    """Whether every batch begins with the plan's samples, whatever their order if that is not compared; and all
    samples are of the data set."""
    rows = case.drawn or case.candidate
    assert rows.ids is not None
    observed = rows.ids[np.repeat(rows.bounds[:-1], kept.batch_size) + counted_within(kept.batch_size)]
    if case.drawn is not None:
        return case.basis.allows(Rows.of_arrays(batch_size=kept.batch_size, ids=observed), plan)
    expected = case.basis.ids(plan, n, cells(plan, n, kept))
    known = expected != UNKNOWN
    return not (observed[known] != expected[known]).any() and bool(rows.ids.min() >= 0 and rows.ids.max() < n)
