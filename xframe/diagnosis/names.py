"""The causes that two runs can differ by, by name: what ``diagnose`` tells and ``testing.faults`` expects.

Each is told of the run that departs (*it*) from the plan or from the reference. The names are stable; scripts may
read them from the JSON.
"""

from __future__ import annotations

CAUSES = {
    # what becomes of a pass's rest, and of its cut into batches
    "short-batch-dropped": "it drops the samples left over at the end of a pass",
    "short-batch-kept": "it trains on a short batch at the end of a pass",
    "short-batch-padded": "it fills the short batch at the end of a pass up with samples already seen",
    "padding-differs": "it pads with other samples, or another number of them",
    "batches-straddle-passes": "its batches go over the end of a pass",
    "batch-size": "its batches have another size",
    "batch-size-per-replica": "its batches are a whole multiple or fraction: global size and size per replica confused",
    # how long
    "one-step-less": "it ends one step early",
    "one-step-more": "it makes one step too many",
    "limit-confused": "it counts a limit of epochs, steps or updates in another unit, or does not look at it",
    "steps-per-epoch": "its epochs have another number of steps",
    "epoch-iterator": "its epochs begin a new pass where they should go on, or go on where they should begin anew",
    "short-epoch": "where the data run out it ends the epoch, or fills it up, or ends training, unlike the other",
    # accumulation and updates
    "leftover-flushed": "it updates with what is left of a window at an end",
    "leftover-dropped": "it throws away what is left of a window at an end",
    "leftover-leaked": "it restarts the count at an end and leaves the gradients to the next update",
    "leftover-carried": "its windows go on over an end that should cut them",
    "window-cut-elsewhere": "its windows are cut by the other kind of end, pass for epoch or epoch for pass",
    "window-at-training-end": "a window still open when training stops: it flushes where it should drop, or drops",
    "accumulation-steps": "its windows have another number of steps",
    "updates-counted-as-steps": "it counts every step as an update, though a window has several",
    "update-offset": "its windows are shifted: the same number of steps, begun elsewhere",
    "update-skipped": "an update is skipped",
    "update-doubled": "an update is applied twice",
    "counted-without-update": "its counter goes up where the data run out, though nothing is updated",
    # order
    "not-shuffled": "it goes through the samples in their stored order",
    "same-order-every-pass": "it shuffles once and repeats that order every pass",
    "reshuffled": "it shuffles anew each pass where one order should be kept",
    "other-seed": "it shuffles by another seed",
    "shuffle-after-batch": "it shuffles whole batches, not samples",
    "buffer-shuffle": "it shuffles within a buffer smaller than the data",
    "with-replacement": "it draws samples with replacement",
    "shuffled-independently": "each run shuffled on its own; nothing but the order differs",
    "order-inside-batches": "the same samples in each batch, in another order",
    # single samples and batches
    "batch-lost": "a batch is lost",
    "batch-repeated": "a batch is trained on again",
    "batches-swapped": "batches have changed places",
    "samples-swapped": "samples have changed places between batches",
    "sample-lost": "a sample is missing",
    "sample-repeated": "a sample is in a pass twice, in place of another",
    "validation-in-training": "samples from outside the training set are trained on",
    "shard-repeated": "every worker or replica reads all data, or one reads another's share",
    "resumed-at-wrong-place": "from some step on it goes through the order from another place",
    "pass-skipped": "it goes on with the order of a later pass",
    # labels and numbers
    "epoch-labels": "the same training with other epoch labels",
    "padding-labels": "the same training with other rows called padding",
    "different-data": "the same ids stand for other samples",
    "starting-weights": "the runs start from other weights",
    "learning-rate": "another learning rate",
    "schedule-late": "its learning rate schedule is a tick late or early",
    "schedule-clock": "its learning rate schedule ticks by another unit: updates, steps or epochs",
    "early-stopping": "early stopping ends it elsewhere than its validations say, or than the other's",
    "loss-scale": "one run's loss is a constant multiple of the other's",
    "other-gradient": "the same samples and updates, but other gradients entered them",
    "weights-elsewhere": "only the final weights differ: others than those trained were handed over",
    "rounding": "the numbers part slowly, as rounding does",
}
