"""Plans at the edges of the rules, each with its number of samples."""


def _case(num_samples: int, **fields: object) -> tuple[dict, int]:
    return fields, num_samples


EDGES: list[tuple[dict, int]] = [
    # --- one sample
    # one sample, batch 1
    _case(1, batch_size=1, epochs=1),
    # one sample, several passes
    _case(1, batch_size=1, epochs=3, remainder="drop"),
    # one sample, batch above it, kept short
    _case(1, batch_size=4, epochs=2),
    # one sample, the batch filled with it
    _case(1, batch_size=4, epochs=2, remainder="pad"),
    # one sample, batches of four passes each; most epochs have no step
    _case(1, batch_size=4, epochs=6, remainder="carry"),
    # one sample, an epoch of many passes
    _case(1, batch_size=1, epochs=2, steps_per_epoch=5, gradient_accumulation_steps=3),
    # one sample, every window is cut after its first step
    _case(1, batch_size=1, steps=5, gradient_accumulation_steps=2),
    # --- batch and samples
    # batch equal to the samples
    _case(7, batch_size=7, epochs=2, remainder="error"),
    # batch > samples: keep trains one short batch a pass
    _case(5, batch_size=8, epochs=3),
    # batch > samples: drop is refused
    _case(5, batch_size=8, epochs=3, remainder="drop"),
    # batch > samples: error is refused
    _case(5, batch_size=8, steps=1, remainder="error"),
    # error refuses a short batch although the limit comes before it
    _case(10, batch_size=4, steps=1, remainder="error"),
    # error without a short batch
    _case(12, batch_size=4, epochs=2, remainder="error"),
    # drop with nothing to drop
    _case(12, batch_size=4, epochs=2, remainder="drop"),
    # drop: the limit falls before the last full batch, so its pass dropped nothing
    _case(11, batch_size=3, steps=5, remainder="drop"),
    # drop: the limit falls on the last full batch
    _case(11, batch_size=3, steps=6, remainder="drop"),
    # drop: one full batch, all but one sample
    _case(9, batch_size=8, epochs=4, remainder="drop"),
    # pad without padding
    _case(12, batch_size=4, epochs=2, remainder="pad"),
    # pad: the limit falls before the padded batch
    _case(10, batch_size=4, steps=5, remainder="pad"),
    # pad: one sample and three rows of padding
    _case(9, batch_size=4, epochs=2, remainder="pad"),
    # pad: batch > 2n goes round again
    _case(3, batch_size=8, epochs=2, remainder="pad"),
    # pad: batch = 2n
    _case(4, batch_size=8, epochs=2, remainder="pad"),
    # pad: one sample and two rows of padding, which weigh as much as any
    _case(4, batch_size=3, epochs=2, remainder="pad", gradient_accumulation_steps=2, loss_normalization="samples"),
    # --- carry without steps_per_epoch
    # the stream ends with a short batch
    _case(10, batch_size=4, epochs=3, remainder="carry"),
    # the stream ends with a full batch
    _case(10, batch_size=4, epochs=2, remainder="carry"),
    # no pass is cut: as keep
    _case(12, batch_size=4, epochs=2, remainder="carry"),
    # the stream has no end, the steps have
    _case(10, batch_size=4, steps=7, remainder="carry"),
    # both limits; the steps end it inside the last pass
    _case(10, batch_size=4, steps=7, epochs=3, remainder="carry"),
    # both limits, on the same step
    _case(10, batch_size=4, steps=8, epochs=3, remainder="carry"),
    # batch > samples: epochs without a step
    _case(3, batch_size=7, epochs=5, remainder="carry"),
    # batch > samples: the last epochs have no step
    _case(3, batch_size=7, epochs=2, remainder="carry"),
    # batch = 2n: every other epoch has no step
    _case(3, batch_size=6, steps=3, remainder="carry"),
    # batch > the whole stream
    _case(3, batch_size=50, epochs=4, remainder="carry"),
    # the step that ends a pass in its middle cuts the window
    _case(10, batch_size=4, epochs=4, remainder="carry", gradient_accumulation_steps=2),
    # one cut although two passes end in the step
    _case(2, batch_size=5, epochs=9, remainder="carry", gradient_accumulation_steps=3, accumulation_boundary="pass"),
    # the window goes on over the passes; the stream's end leaves it open
    _case(
        10,
        batch_size=4,
        epochs=4,
        remainder="carry",
        gradient_accumulation_steps=3,
        accumulation_remainder="carry",
        accumulation_at_end="flush",
        loss_normalization="samples",
    ),
    # --- carry with steps_per_epoch
    # continue by default: the stream goes on over the epochs
    _case(10, batch_size=4, epochs=4, steps_per_epoch=2, remainder="carry"),
    # restart: each epoch abandons the rest of its pass
    _case(10, batch_size=4, epochs=4, steps_per_epoch=2, epoch_iterator="restart", remainder="carry"),
    # restart: epochs of more than a pass
    _case(10, batch_size=4, epochs=3, steps_per_epoch=4, epoch_iterator="restart", remainder="carry"),
    # restart where the epoch ends with the pass: nothing is abandoned
    _case(10, batch_size=5, epochs=3, steps_per_epoch=2, epoch_iterator="restart", remainder="carry"),
    # cut by epochs
    _case(
        10,
        batch_size=4,
        epochs=3,
        steps_per_epoch=5,
        remainder="carry",
        gradient_accumulation_steps=2,
        accumulation_boundary="epoch",
    ),
    # cut by passes
    _case(
        10,
        batch_size=4,
        epochs=3,
        steps_per_epoch=5,
        remainder="carry",
        gradient_accumulation_steps=2,
        accumulation_boundary="pass",
    ),
    # cut by passes, of which restart lets none end
    _case(
        10,
        batch_size=4,
        updates=3,
        steps_per_epoch=2,
        epoch_iterator="restart",
        remainder="carry",
        gradient_accumulation_steps=3,
        accumulation_boundary="pass",
    ),
    # cut by passes, several of which end in each step: no window of two is ever filled
    _case(
        2,
        batch_size=5,
        updates=3,
        steps_per_epoch=4,
        remainder="carry",
        gradient_accumulation_steps=2,
        accumulation_boundary="pass",
        accumulation_remainder="drop",
    ),
    # --- steps_per_epoch
    # epoch = pass
    _case(100, batch_size=10, epochs=3, steps_per_epoch=10),
    # restart, a pass is no multiple of s: batches are abandoned
    _case(100, batch_size=10, epochs=5, steps_per_epoch=4),
    # restart under drop: abandoned samples are not dropped ones
    _case(11, batch_size=3, epochs=4, steps_per_epoch=2, remainder="drop"),
    # restart under drop, s = steps of a pass: dropped ones
    _case(11, batch_size=3, epochs=4, steps_per_epoch=3, remainder="drop"),
    # restart, s > steps of a pass: repeat
    _case(11, batch_size=3, epochs=3, steps_per_epoch=6),
    # restart, s > steps of a pass: every epoch is short
    _case(11, batch_size=3, epochs=3, steps_per_epoch=6, on_exhaustion="short_epoch"),
    # restart, s > steps of a pass: stop in the first epoch
    _case(11, batch_size=3, epochs=3, steps_per_epoch=6, on_exhaustion="stop"),
    # restart, s = steps of a pass: stop never comes
    _case(11, batch_size=3, epochs=3, steps_per_epoch=4, on_exhaustion="stop"),
    # continue and repeat: the pass goes on in the next epoch
    _case(100, batch_size=10, epochs=5, steps_per_epoch=4, epoch_iterator="continue"),
    # continue and short_epoch: 4, 4, 2, 4, 4
    _case(100, batch_size=10, epochs=5, steps_per_epoch=4, epoch_iterator="continue", on_exhaustion="short_epoch"),
    # the same; the epochs limit is reached by the short epoch
    _case(100, batch_size=10, epochs=3, steps_per_epoch=4, epoch_iterator="continue", on_exhaustion="short_epoch"),
    # continue and stop: 4, 4, 2
    _case(100, batch_size=10, epochs=5, steps_per_epoch=4, epoch_iterator="continue", on_exhaustion="stop"),
    # continue and stop at an epoch's first step
    _case(100, batch_size=10, epochs=5, steps_per_epoch=5, epoch_iterator="continue", on_exhaustion="stop"),
    # the epochs limit on the step before that
    _case(100, batch_size=10, epochs=2, steps_per_epoch=5, epoch_iterator="continue", on_exhaustion="stop"),
    # continue and short_epoch at an epoch's first step: none is short
    _case(100, batch_size=10, epochs=5, steps_per_epoch=5, epoch_iterator="continue", on_exhaustion="short_epoch"),
    # continue under drop: the pass is over with samples left
    _case(11, batch_size=3, epochs=4, steps_per_epoch=2, epoch_iterator="continue", remainder="drop"),
    # continue under pad and short_epoch
    _case(
        10,
        batch_size=4,
        epochs=4,
        steps_per_epoch=2,
        epoch_iterator="continue",
        on_exhaustion="short_epoch",
        remainder="pad",
    ),
    # batch > samples with long epochs
    _case(5, batch_size=8, epochs=2, steps_per_epoch=3),
    # batch > samples, short epochs of one step
    _case(5, batch_size=8, epochs=4, steps_per_epoch=3, on_exhaustion="short_epoch"),
    # s = 1
    _case(10, batch_size=4, epochs=5, steps_per_epoch=1, epoch_iterator="continue", on_exhaustion="stop"),
    # --- limits
    # steps reached at an epoch's end
    _case(10, batch_size=4, steps=6),
    # steps reached in mid-epoch: one complete epoch
    _case(10, batch_size=4, steps=5),
    # steps reached in the first epoch: none is complete
    _case(10, batch_size=4, steps=2),
    # steps and epochs reached together
    _case(10, batch_size=4, steps=6, epochs=2),
    # updates reached mid-epoch
    _case(20, batch_size=2, updates=3, gradient_accumulation_steps=2),
    # updates reached by the flush at an epoch's end
    _case(10, batch_size=2, updates=3, gradient_accumulation_steps=2),
    # updates without accumulation
    _case(10, batch_size=4, updates=4),
    # all three at once, all on the same step
    _case(10, batch_size=2, epochs=2, steps=10, updates=6, gradient_accumulation_steps=2),
    # updates beyond what the epochs allow
    _case(10, batch_size=2, epochs=2, updates=7, gradient_accumulation_steps=2),
    # --- accumulation
    # nine updates
    _case(103, batch_size=10, epochs=3, gradient_accumulation_steps=4),
    # the same, the windows go on: eight
    _case(103, batch_size=10, epochs=3, gradient_accumulation_steps=4, accumulation_remainder="carry"),
    # the same, the open one flushed at the end
    _case(
        103,
        batch_size=10,
        epochs=3,
        gradient_accumulation_steps=4,
        accumulation_remainder="carry",
        accumulation_at_end="flush",
    ),
    # accumulation > steps per epoch: one flush an epoch
    _case(12, batch_size=4, epochs=3, gradient_accumulation_steps=5, loss_normalization="window"),
    # accumulation > steps per epoch: all dropped, no update in the run
    _case(12, batch_size=4, epochs=3, gradient_accumulation_steps=5, accumulation_remainder="drop"),
    # accumulation > steps per epoch: all dropped, endless
    _case(12, batch_size=4, updates=1, gradient_accumulation_steps=5, accumulation_remainder="drop"),
    # accumulation > steps per epoch: the count leaks, endless
    _case(12, batch_size=4, updates=1, gradient_accumulation_steps=5, accumulation_remainder="leak"),
    # endless but for stop
    _case(
        12,
        batch_size=4,
        updates=1,
        steps_per_epoch=2,
        epoch_iterator="continue",
        on_exhaustion="stop",
        gradient_accumulation_steps=5,
        accumulation_remainder="drop",
    ),
    # stop is never come to under restart: endless
    _case(
        12,
        batch_size=4,
        updates=1,
        steps_per_epoch=2,
        on_exhaustion="stop",
        gradient_accumulation_steps=5,
        accumulation_remainder="drop",
    ),
    # accumulation > steps per epoch, cut by passes of many epochs
    _case(
        12,
        batch_size=1,
        epochs=9,
        steps_per_epoch=2,
        epoch_iterator="continue",
        gradient_accumulation_steps=5,
        accumulation_boundary="pass",
    ),
    # accumulation > steps of a pass, cut by epochs of many passes
    _case(12, batch_size=4, epochs=2, steps_per_epoch=8, gradient_accumulation_steps=5),
    # accumulation > all steps of the run, flushed at the end
    _case(
        12,
        batch_size=4,
        epochs=2,
        gradient_accumulation_steps=20,
        accumulation_remainder="carry",
        accumulation_at_end="flush",
    ),
    # an abandoned pass is no end: restart under boundary pass
    _case(
        12,
        batch_size=2,
        updates=2,
        steps_per_epoch=4,
        gradient_accumulation_steps=10,
        accumulation_boundary="pass",
        accumulation_remainder="drop",
    ),
    # the first window is cut by the pass's end, the second fills over the restart
    _case(
        10,
        batch_size=2,
        updates=1,
        steps_per_epoch=7,
        gradient_accumulation_steps=6,
        accumulation_boundary="pass",
        accumulation_remainder="drop",
    ),
    # under drop the last full batch ends the pass
    _case(
        11,
        batch_size=3,
        epochs=3,
        steps_per_epoch=5,
        remainder="drop",
        gradient_accumulation_steps=2,
        accumulation_boundary="pass",
    ),
    # leak: kept gradients enter the next epoch's first update, weighted by rows
    _case(
        103,
        batch_size=10,
        epochs=3,
        gradient_accumulation_steps=4,
        accumulation_remainder="leak",
        loss_normalization="samples",
    ),
    # leak at the end: nothing is open, nothing to flush
    _case(
        10,
        batch_size=2,
        epochs=2,
        gradient_accumulation_steps=3,
        accumulation_remainder="leak",
        accumulation_at_end="flush",
    ),
    # leak, then one more step: the flush at the end takes what leaked with it
    _case(
        10,
        batch_size=2,
        steps=6,
        gradient_accumulation_steps=3,
        accumulation_remainder="leak",
        accumulation_at_end="flush",
    ),
    # leak over several epochs before the first update
    _case(
        10,
        batch_size=4,
        epochs=5,
        steps_per_epoch=2,
        epoch_iterator="continue",
        on_exhaustion="short_epoch",
        gradient_accumulation_steps=2,
        accumulation_remainder="leak",
        loss_normalization="window",
    ),
    # at the end: a window open in mid-epoch is flushed
    _case(20, batch_size=2, steps=13, gradient_accumulation_steps=4, accumulation_at_end="flush"),
    # at the end: the same, dropped
    _case(20, batch_size=2, steps=13, gradient_accumulation_steps=4),
    # at the end: the limit fills a window, nothing is open
    _case(20, batch_size=2, steps=14, gradient_accumulation_steps=4, accumulation_at_end="flush"),
    # --- exhaustion and accumulation
    # the short epoch's end flushes
    _case(
        100,
        batch_size=10,
        epochs=5,
        steps_per_epoch=4,
        epoch_iterator="continue",
        on_exhaustion="short_epoch",
        gradient_accumulation_steps=4,
        loss_normalization="sum",
    ),
    # the steps limit on the last step of the pass: the epoch was not ended, the window is dropped
    _case(
        100,
        batch_size=10,
        steps=10,
        steps_per_epoch=4,
        epoch_iterator="continue",
        on_exhaustion="short_epoch",
        gradient_accumulation_steps=4,
    ),
    # the same with stop, flushed at the end
    _case(
        100,
        batch_size=10,
        steps=10,
        steps_per_epoch=4,
        epoch_iterator="continue",
        on_exhaustion="stop",
        gradient_accumulation_steps=4,
        accumulation_at_end="flush",
    ),
    # the steps limit one after the last step of the pass
    _case(
        100,
        batch_size=10,
        steps=11,
        steps_per_epoch=4,
        epoch_iterator="continue",
        on_exhaustion="short_epoch",
        gradient_accumulation_steps=4,
    ),
    # the updates limit is reached by the short epoch's flush
    _case(
        100,
        batch_size=10,
        updates=3,
        steps_per_epoch=4,
        epoch_iterator="continue",
        on_exhaustion="short_epoch",
        gradient_accumulation_steps=4,
    ),
    # stop flushes the epoch it ends, whatever happens at the end
    _case(
        100,
        batch_size=10,
        epochs=5,
        steps_per_epoch=4,
        epoch_iterator="continue",
        on_exhaustion="stop",
        gradient_accumulation_steps=4,
    ),
    # stop, the window carried: flushed at the end
    _case(
        100,
        batch_size=10,
        epochs=5,
        steps_per_epoch=4,
        epoch_iterator="continue",
        on_exhaustion="stop",
        gradient_accumulation_steps=4,
        accumulation_remainder="carry",
        accumulation_at_end="flush",
    ),
    # stop at a first step, the window carried: dropped at the end
    _case(
        100,
        batch_size=10,
        epochs=5,
        steps_per_epoch=5,
        epoch_iterator="continue",
        on_exhaustion="stop",
        gradient_accumulation_steps=4,
        accumulation_remainder="carry",
    ),
    # stop leaks: nothing is open at the end
    _case(
        100,
        batch_size=10,
        epochs=5,
        steps_per_epoch=4,
        epoch_iterator="continue",
        on_exhaustion="stop",
        gradient_accumulation_steps=4,
        accumulation_remainder="leak",
        accumulation_at_end="flush",
    ),
    # short epochs do not cut under boundary pass, the pass's end before them does
    _case(
        100,
        batch_size=10,
        steps=25,
        steps_per_epoch=4,
        epoch_iterator="continue",
        on_exhaustion="short_epoch",
        gradient_accumulation_steps=6,
        accumulation_boundary="pass",
        accumulation_at_end="flush",
    ),
    # the steps limit on the last step of the pass under boundary pass: the cut comes first
    _case(
        100,
        batch_size=10,
        steps=10,
        steps_per_epoch=4,
        epoch_iterator="continue",
        on_exhaustion="short_epoch",
        gradient_accumulation_steps=6,
        accumulation_boundary="pass",
    ),
    # restart and short_epoch with windows of more than a pass
    _case(
        11,
        batch_size=3,
        epochs=3,
        steps_per_epoch=6,
        on_exhaustion="short_epoch",
        gradient_accumulation_steps=5,
        loss_normalization="samples",
    ),
    # --- order
    # in turn
    _case(10, batch_size=4, epochs=3, order="sequential"),
    # one order for all passes, the carried stream
    _case(10, batch_size=4, epochs=3, remainder="carry", reshuffle=False, seed=3),
    # an abandoned pass counts as begun: the next has the next order
    _case(10, batch_size=4, epochs=4, steps_per_epoch=1, seed=11),
]
