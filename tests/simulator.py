"""What a plan does to a data set, walked batch by batch: the yardstick for counting in closed form.

Nothing here is computed that could be tallied, and nothing of xframe is imported; the samples' order is passed in.
"""

import dataclasses
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

VALUES: dict[str, tuple[str, ...]] = {
    "remainder": ("keep", "drop", "pad", "error", "carry"),
    "epoch_iterator": ("restart", "continue"),
    "on_exhaustion": ("repeat", "short_epoch", "stop"),
    "accumulation_boundary": ("epoch", "pass"),
    "accumulation_remainder": ("flush", "drop", "leak", "carry"),
    "accumulation_at_end": ("drop", "flush"),
    "loss_normalization": ("sum", "window", "actual", "samples"),
    "order": ("shuffle", "sequential"),
}
DEFAULTS: dict[str, Any] = {
    "epochs": None,
    "steps": None,
    "updates": None,
    "remainder": "keep",
    "steps_per_epoch": None,
    "epoch_iterator": None,
    "on_exhaustion": None,
    "gradient_accumulation_steps": 1,
    "accumulation_boundary": "epoch",
    "accumulation_remainder": "flush",
    "accumulation_at_end": "drop",
    "loss_normalization": "actual",
    "order": "shuffle",
    "seed": 0,
    "reshuffle": True,
}


class Refused(Exception):  # noqa: N818
    """The plan does not fit the data, or would never end."""


@dataclasses.dataclass
class Step:
    """One training-step call; ``update`` counts the updates applied so far, a flush after this step included."""

    index: int
    epoch: int
    step_in_epoch: int
    sample_ids: list[int]
    padding: int
    update: int


@dataclasses.dataclass
class Update:
    """One update and the factor with which each step's mean gradient enters it."""

    after_step: int
    weights: dict[int, Fraction]


@dataclasses.dataclass
class Run:
    """What happened."""

    steps: list[Step]
    updates: list[Update]
    counts: dict[str, int | None]


def resolve(fields: dict) -> dict:
    """All fields of the plan, with the defaults of those left out."""
    unknown = set(fields) - set(DEFAULTS) - {"batch_size"}
    assert not unknown, unknown
    plan = DEFAULTS | {name: value for name, value in fields.items() if value is not None}
    if plan["steps_per_epoch"] is not None:
        if plan["epoch_iterator"] is None:
            plan["epoch_iterator"] = "continue" if plan["remainder"] == "carry" else "restart"
        if plan["on_exhaustion"] is None and plan["remainder"] != "carry":
            plan["on_exhaustion"] = "repeat"
    return plan


class _Passes:
    """The current pass and the place in it."""

    def __init__(self, num_samples: int, order: Callable[[int], Sequence[int]]) -> None:
        self.num_samples = num_samples
        self.order = order
        self.index = -1
        self.ids: list[int] = []
        self.position = 0

    def begin(self) -> None:
        self.index += 1
        self.ids = [int(sample) for sample in self.order(self.index)]
        self.position = 0
        assert len(self.ids) == self.num_samples

    @property
    def left(self) -> int:
        return len(self.ids) - self.position

    def take(self) -> int:
        self.position += 1
        return self.ids[self.position - 1]


class _Window:
    """The open accumulation window. After a leak there are more gradients than steps in the window."""

    def __init__(self, plan: dict, run: Run) -> None:
        self.size = plan["gradient_accumulation_steps"]
        self.remainder = plan["accumulation_remainder"]
        self.normalization = plan["loss_normalization"]
        self.run = run
        self.num_steps = 0
        self.gradients: list[Step] = []

    def add(self, step: Step) -> None:
        self.gradients.append(step)
        self.num_steps += 1
        if self.num_steps == self.size:
            self.update()

    def update(self) -> None:
        last = self.run.steps[-1]
        last.update += 1
        self.run.updates.append(Update(last.index, {step.index: self.weight(step) for step in self.gradients}))
        self.zero()

    def weight(self, step: Step) -> Fraction:
        if self.normalization == "sum":
            return Fraction(1)
        if self.normalization == "window":
            return Fraction(1, self.size)
        if self.normalization == "actual":
            return Fraction(1, len(self.gradients))
        return Fraction(len(step.sample_ids), sum(len(present.sample_ids) for present in self.gradients))

    def zero(self) -> None:
        self.num_steps = 0
        self.gradients = []

    def cut(self) -> None:
        if self.num_steps == 0:
            return
        if self.remainder == "flush":
            self.update()
        elif self.remainder == "drop":
            self.zero()
        elif self.remainder == "leak":
            self.num_steps = 0


def simulate(fields: dict, num_samples: int, order: Callable[[int], Sequence[int]]) -> Run:
    """The run of a plan; ``order`` gives the ids of the p-th pass begun."""
    plan = resolve(fields)
    batch_size = plan["batch_size"]
    remainder = plan["remainder"]
    epoch_size = plan["steps_per_epoch"]
    boundary = plan["accumulation_boundary"]
    assert num_samples >= 1
    assert any(plan[limit] is not None for limit in ("epochs", "steps", "updates"))
    if remainder == "drop" and num_samples < batch_size:
        raise Refused("drop: fewer samples than a batch")
    if remainder == "error" and num_samples % batch_size != 0:
        raise Refused("error: a short batch would be left")

    run = Run([], [], {})
    passes = _Passes(num_samples, order)
    window = _Window(plan, run)
    epoch = 0
    step_in_epoch = 0  # of the step that is due
    steps_of_epoch: dict[int, int] = {}
    epochs_completed: list[int] = []
    samples_seen = 0
    samples_dropped = 0
    samples_padded = 0
    states: set[tuple] = set()

    def pass_is_over() -> bool:
        return passes.left < batch_size if remainder == "drop" else passes.left == 0

    def limit_reached() -> bool:
        return (
            (plan["steps"] is not None and len(run.steps) >= plan["steps"])
            or (plan["updates"] is not None and len(run.updates) >= plan["updates"])
            or (plan["epochs"] is not None and len(epochs_completed) >= plan["epochs"])
        )

    passes.begin()
    while True:
        # A step is due. What follows depends on this state alone: seen twice with no update between, it never ends.
        if plan["steps"] is None and plan["epochs"] is None:
            state = (len(run.updates), passes.position, step_in_epoch, window.num_steps)
            if state in states:
                raise Refused("endless: the updates are never reached")
            states.add(state)

        if plan["epoch_iterator"] == "restart" and step_in_epoch == 0 and run.steps:
            passes.begin()
        elif remainder != "carry" and pass_is_over():
            repeats = epoch_size is None or plan["on_exhaustion"] == "repeat"
            if repeats or (plan["on_exhaustion"] == "short_epoch" and step_in_epoch == 0):
                passes.begin()
            else:
                if step_in_epoch > 0:
                    epochs_completed.append(epoch)
                    epoch += 1
                    step_in_epoch = 0
                    if boundary == "epoch":
                        window.cut()
                if plan["on_exhaustion"] == "stop" or limit_reached():
                    break
                continue

        # The batch.
        ids: list[int] = []
        padding = 0
        passes_ended: list[int] = []
        if remainder == "carry":
            while len(ids) < batch_size:
                if passes.left == 0:
                    if epoch_size is None and passes.index + 1 == plan["epochs"]:
                        break
                    passes.begin()
                if epoch_size is None and not ids:
                    epoch = passes.index  # a step belongs to its first sample's epoch
                ids.append(passes.take())
                if passes.left == 0:
                    passes_ended.append(passes.index)
        else:
            while len(ids) < batch_size and passes.left > 0:
                ids.append(passes.take())
            if remainder == "pad":
                while len(ids) < batch_size:
                    ids.append(passes.ids[padding % num_samples])
                    padding += 1
            if pass_is_over():
                passes_ended.append(passes.index)
                if remainder == "drop":
                    samples_dropped += passes.left
        samples_seen += len(ids) - padding
        samples_padded += padding

        # The step, its update, and what it ends.
        step = Step(len(run.steps), epoch, step_in_epoch, ids, padding, len(run.updates))
        run.steps.append(step)
        steps_of_epoch[epoch] = steps_of_epoch.get(epoch, 0) + 1
        step_in_epoch += 1
        window.add(step)
        epoch_ended = bool(passes_ended) if epoch_size is None else step_in_epoch == epoch_size
        if epoch_ended if boundary == "epoch" else passes_ended:
            window.cut()
        if epoch_ended:
            epochs_completed.extend(passes_ended if epoch_size is None else [epoch])
            epoch = epochs_completed[-1] + 1
            step_in_epoch = 0
        if limit_reached():
            break

    if window.num_steps > 0 and plan["accumulation_at_end"] == "flush":
        window.update()

    lengths = {steps_of_epoch.get(completed, 0) for completed in epochs_completed}
    run.counts = {
        "num_steps": len(run.steps),
        "num_updates": len(run.updates),
        "num_epochs": 1 + run.steps[-1].epoch,
        "steps_per_epoch": lengths.pop() if len(lengths) == 1 else None,
        "samples_seen": samples_seen,
        "samples_dropped": samples_dropped,
        "samples_padded": samples_padded,
        "last_batch_size": len(run.steps[-1].sample_ids),
    }
    return run


def random_plan(rng: random.Random) -> dict:
    """Fields of a valid plan; it may still not fit a data set. Over up to 300 samples its runs are short."""
    return _fields(rng, rng.randint(60, 300))


def random_case(rng: random.Random) -> tuple[dict, int]:
    """Fields and a number of samples, chosen together so that edges are frequent; a few are refused."""
    low, high = rng.choices([(1, 1), (2, 12), (13, 60), (61, 300)], [6, 42, 30, 22])[0]
    num_samples = rng.randint(low, high)
    return _fields(rng, num_samples), num_samples


def _fields(rng: random.Random, num_samples: int) -> dict:
    plan: dict[str, Any] = {name: rng.choice(values) for name, values in VALUES.items()}
    plan["batch_size"] = batch_size = _batch_size(rng, num_samples, plan["remainder"])
    pass_steps = max(1, num_samples // batch_size if plan["remainder"] == "drop" else -(-num_samples // batch_size))

    epoch_steps = pass_steps
    if rng.random() < 0.65:
        sizes = [1, 2, pass_steps - 1, pass_steps, pass_steps + 1, 2 * pass_steps, rng.randint(1, 2 * pass_steps + 2)]
        plan["steps_per_epoch"] = epoch_steps = max(1, rng.choice(sizes))
    else:
        del plan["epoch_iterator"], plan["on_exhaustion"]
    if plan["remainder"] == "carry":
        plan.pop("on_exhaustion", None)

    k = 1
    if rng.random() < 0.8:
        sizes = [2, 3, 4, pass_steps - 1, pass_steps, pass_steps + 1, epoch_steps - 1, epoch_steps, epoch_steps + 1]
        k = max(1, rng.choice([*sizes, 2 * epoch_steps, rng.randint(2, pass_steps + epoch_steps + 2)]))
    plan["gradient_accumulation_steps"] = k
    if k == 1:
        for name in ("accumulation_boundary", "accumulation_remainder", "accumulation_at_end", "loss_normalization"):
            del plan[name]

    if plan["order"] == "shuffle":
        plan["seed"] = rng.choice([0, 0, 1, 7, rng.randint(2, 2**31 - 1)])
        plan["reshuffle"] = rng.random() < 0.7

    plan |= _limits(rng, pass_steps, epoch_steps, k)

    names = list(plan)
    rng.shuffle(names)
    # Some defaults depend on the remainder and on steps_per_epoch, which have their own.
    defaults = resolve({name: plan[name] for name in ("remainder", "steps_per_epoch") if name in plan})
    defaults |= {name: DEFAULTS[name] for name in ("remainder", "steps_per_epoch")}
    return {name: plan[name] for name in names if plan[name] != defaults.get(name) or rng.random() < 0.4}


def _batch_size(rng: random.Random, num_samples: int, remainder: str) -> int:
    smallest = -(-num_samples // 50)
    divisors = [size for size in range(smallest, num_samples + 1) if num_samples % size == 0]
    fits = remainder in ("drop", "error") and rng.random() < 0.95
    if remainder == "error" and fits:
        return rng.choice(divisors)
    kinds = ["divisor", "divisor", "all", "all but one", "any", "any", "half", *["small"] * 7]
    kind = rng.choice(kinds if fits else [*kinds, "above", "above", "far above"])
    size = {
        "divisor": rng.choice(divisors),
        "all": num_samples,
        "all but one": num_samples - 1,
        "any": rng.randint(smallest, num_samples),
        "small": rng.randint(smallest, max(smallest, num_samples // 3)),
        "half": num_samples // 2 + 1,
        "above": rng.randint(num_samples + 1, 2 * num_samples),
        "far above": rng.randint(2 * num_samples, 4 * num_samples + 3),
    }[kind]
    return max(1, size)


def _limits(rng: random.Random, pass_steps: int, epoch_steps: int, k: int) -> dict:
    epochs = min(rng.choice([1, 2, 3, 3, 4, 5, 6]), max(1, 250 // epoch_steps))
    ends = [epochs * epoch_steps, epochs * pass_steps, epochs * k, pass_steps + epoch_steps]
    steps = rng.choice(
        [*ends, rng.choice(ends) - 1, rng.choice(ends) + 1, rng.randint(1, 3 * (pass_steps + epoch_steps))]
    )
    flushed = -(-epoch_steps // k)
    updates = rng.choice(
        [1, flushed, rng.randint(2, 20), epochs * flushed, epochs * epoch_steps // k, rng.randint(1, 12)]
    )
    limits = {"epochs": epochs, "steps": max(1, steps), "updates": max(1, min(updates, 200 // k))}
    chosen = rng.choices(
        [
            ("epochs",),
            ("steps",),
            ("updates",),
            ("epochs", "steps"),
            ("epochs", "updates"),
            ("steps", "updates"),
            (*limits,),
        ],
        [6, 4, 4, 2, 2, 1, 1],
    )[0]
    return {name: limits[name] for name in chosen}


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
