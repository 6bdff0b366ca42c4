"""The order of samples: of passes, of all samples in a pass, and inside a batch."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from xframe.testing.faults.bases import Batches, BatchesBy, Faulty, changed, mixin
from xframe.testing.faults.declaring import fault
from xframe.testing.faults.plans import KEPT_ORDER, RESTARTED

if TYPE_CHECKING:
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.runtime import Runtime
    from xframe.tasks.task import Task


@fault("skips-a-pass", "boundaries", 20, "pass-skipped", plan=RESTARTED)
def skips_a_pass(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """The pass that an epoch abandons is counted twice, so that the next has the order of the one after it."""
    return order.ids(2 * pass_index)


@fault("begins-with-the-second-pass", "boundaries", 0, "pass-skipped")
def begins_with_the_second_pass(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """Epochs counted from 1 seed the order, so that each pass has that of the next."""
    return order.ids(pass_index + 1)


@fault("resumes-a-later-pass", "boundaries", 29, "pass-skipped")
def resumes_a_later_pass(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """After the first pass, as after a checkpoint, the sampler is set to an epoch too far."""
    return order.ids(pass_index + (pass_index > 0))


@fault("never-shuffles", "boundaries", 0, "not-shuffled")
class NeverShuffles(BatchesBy, order="sequential"):
    """The plan shuffles, the pipeline doesn't."""


@fault("another-seed", "boundaries", 0, "other-seed")
class ShufflesWithAnotherSeed(BatchesBy, seed=lambda plan: plan.seed + 1):
    """The order of the next seed."""


@fault("same-order-each-pass", "boundaries", 29, "same-order-every-pass", thread="pytorch/pytorch#31771")
class SameOrderEachPass(BatchesBy, reshuffle=False):
    """The plan shuffles each pass again, the pipeline only once."""


@fault("reshuffles-each-pass", "boundaries", 29, "reshuffled", plan=KEPT_ORDER)
class ReshufflesEachPass(BatchesBy, reshuffle=True):
    """One order is to be kept, the pipeline shuffles each pass again."""


def _generator(plan: TrainingPlan, pass_index: int) -> Any:
    import numpy as np

    return np.random.default_rng([plan.seed, pass_index])


@mixin
def shuffles_by_another_generator(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """The other of two scripts, each of which shuffles by a generator of its own."""
    import numpy as np

    return np.random.RandomState(1000 * plan.seed + pass_index).permutation(order.num_samples)


@fault("shuffles-on-its-own", "boundaries", 0, "shuffled-independently")
@fault("each-shuffles-on-its-own", "boundaries", 0, "shuffled-independently", against=shuffles_by_another_generator)
def shuffles_on_its_own(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """Each pass is shuffled by the script's own generator, as in two scripts written separately."""
    return _generator(plan, pass_index).permutation(order.num_samples)


@fault("shuffles-in-a-buffer", "boundaries", 0, "buffer-shuffle", thread="tensorflow/tensorflow#36626")
def shuffles_in_a_buffer(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """A shuffle buffer of four batches over sorted data."""
    import numpy as np

    draw, size, n = _generator(plan, pass_index), 4 * plan.batch_size, order.num_samples
    buffer, drawn = list(range(min(size, n))), []
    for incoming in range(len(buffer), n):
        place = int(draw.integers(len(buffer)))
        drawn.append(buffer[place])
        buffer[place] = incoming
    draw.shuffle(buffer)
    return np.array([*drawn, *buffer], dtype=np.int64)


@fault("draws-with-replacement", "boundaries", 0, "with-replacement")
def draws_with_replacement(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """Each sample is drawn from all of them, whether it was drawn before or not."""
    return _generator(plan, pass_index).integers(0, order.num_samples, order.num_samples)


@fault("draws-by-weight", "boundaries", 0, "weighted-sampling")
def draws_by_weight(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """Some samples are drawn up to ten times as often as others, as by a sampler with weights."""
    import numpy as np

    weights = 1.0 + np.arange(order.num_samples) % 10
    return _generator(plan, pass_index).choice(order.num_samples, order.num_samples, p=weights / weights.sum())


@fault("repeats-before-shuffling", "boundaries", 0, "passes-mixed")
def repeats_before_shuffling(plan: TrainingPlan, order: Any, pass_index: int) -> Any:
    """All passes are put one after the other first and shuffled as one."""
    import numpy as np

    n = order.num_samples
    passes = _generator(plan, 0).permutation(np.tile(np.arange(n), plan.epochs or 1))
    return passes[pass_index * n : (pass_index + 1) * n]


@fault("shuffles-batches", "boundaries", 0, "shuffle-after-batch")
class ShufflesBatches(Faulty):
    """Batches are cut from the stored order first and shuffled then."""

    def pipeline(self, plan: TrainingPlan, task: Task, runtime: Runtime) -> Batches:
        held: list[Any] = []
        passes = itertools.count()
        for batch in super().pipeline(changed(plan, order="sequential"), task, runtime):
            held.append(batch)
            if batch.place.ends_pass:
                chosen = _generator(plan, next(passes)).permutation(len(held))
                yield from (held[i]._replace(place=old.place) for i, old in zip(chosen, held, strict=True))
                held = []


@fault("sorts-its-batches", "boundaries", 0, "order-inside-batches")
def sorts_its_batches(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """Each batch's samples are sorted, as by length or by the file they came from."""
    import numpy as np

    return (batch.take(np.argsort(np.asarray(batch.ids))) for batch in batches)


@fault("swaps-inside-a-batch", "boundaries", 2, "order-inside-batches")
def swaps_inside_a_batch(plan: TrainingPlan, task: Task, batches: Batches) -> Batches:
    """The first two samples of step 2 change places, ids and data alike."""
    for i, batch in enumerate(batches):
        yield batch.take([1, 0, *range(2, len(batch.ids))]) if i == 2 else batch
