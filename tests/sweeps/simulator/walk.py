"""The walk itself: a run of a plan, one batch after the other, with everything tallied on the way."""

import dataclasses
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
    """One training-step call; ``update`` counts the updates applied so far, a flush after this step included, and
    ``cut`` whether it ended what cuts accumulation windows."""

    index: int
    epoch: int
    step_in_epoch: int
    sample_ids: list[int]
    padding: int
    update: int
    cut: bool = dataclasses.field(default=False, compare=False)  # scripts ask for it; a plan does not state it


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
    assert num_samples >= 1
    assert any(plan[limit] is not None for limit in ("epochs", "steps", "updates"))
    if plan["remainder"] == "drop" and num_samples < plan["batch_size"]:
        raise Refused("drop: fewer samples than a batch")
    if plan["remainder"] == "error" and num_samples % plan["batch_size"] != 0:
        raise Refused("error: a short batch would be left")
    return _Walk(plan, num_samples, order).run_to_its_end()


def updated(plan: dict, steps: Sequence[Step]) -> Run:
    """The run whose steps are these, made one after the other: its windows and updates are those of the plan."""
    run = Run([], [], {})
    window = _Window(plan, run)
    for index, step in enumerate(steps):
        run.steps.append(dataclasses.replace(step, index=index, update=len(run.updates)))
        window.add(run.steps[-1])
        if step.cut:
            window.cut()
    if window.num_steps > 0 and plan["accumulation_at_end"] == "flush":
        window.update()
    return run


class _Walk:
    """Where the run stands, and what was tallied so far."""

    def __init__(self, plan: dict, num_samples: int, order: Callable[[int], Sequence[int]]) -> None:
        self.plan = plan
        self.num_samples = num_samples
        self.run = Run([], [], {})
        self.passes = _Passes(num_samples, order)
        self.window = _Window(plan, self.run)
        self.epoch = 0
        self.step_in_epoch = 0  # of the step that is due
        self.steps_of_epoch: dict[int, int] = {}
        self.epochs_completed: list[int] = []
        self.samples_seen = self.samples_dropped = self.samples_padded = 0
        self.states: set[tuple] = set()

    def run_to_its_end(self) -> Run:
        self.passes.begin()
        while True:
            self.refuse_if_endless()
            if self.samples_are_ready():
                self.step(*self.batch())
                if self.limit_reached():
                    break
            elif self.plan["on_exhaustion"] == "stop" or self.limit_reached():
                break
        if self.window.num_steps > 0 and self.plan["accumulation_at_end"] == "flush":
            self.window.update()
        self.run.counts = self.counts()
        return self.run

    def refuse_if_endless(self) -> None:
        """A step is due. What follows depends on this state alone: seen twice with no update between, it never ends."""
        if self.plan["steps"] is None and self.plan["epochs"] is None:
            state = (len(self.run.updates), self.passes.position, self.step_in_epoch, self.window.num_steps)
            if state in self.states:
                raise Refused("endless: the updates are never reached")
            self.states.add(state)

    def samples_are_ready(self) -> bool:
        """Whether the step that is due has samples, from a new pass if need be; if not, its epoch has ended."""
        plan = self.plan
        if plan["epoch_iterator"] == "restart" and self.step_in_epoch == 0 and self.run.steps:
            self.passes.begin()
        elif plan["remainder"] != "carry" and self.pass_is_over():
            repeats = plan["steps_per_epoch"] is None or plan["on_exhaustion"] == "repeat"
            if not repeats and not (plan["on_exhaustion"] == "short_epoch" and self.step_in_epoch == 0):
                if self.step_in_epoch > 0:
                    self.epochs_completed.append(self.epoch)
                    self.epoch += 1
                    self.step_in_epoch = 0
                    if plan["accumulation_boundary"] == "epoch":
                        self.run.steps[-1].cut = True
                        self.window.cut()
                return False
            self.passes.begin()
        return True

    def pass_is_over(self) -> bool:
        drops = self.plan["remainder"] == "drop"
        return self.passes.left < self.plan["batch_size"] if drops else self.passes.left == 0

    def limit_reached(self) -> bool:
        plan = self.plan
        return (
            (plan["steps"] is not None and len(self.run.steps) >= plan["steps"])
            or (plan["updates"] is not None and len(self.run.updates) >= plan["updates"])
            or (plan["epochs"] is not None and len(self.epochs_completed) >= plan["epochs"])
        )

    def batch(self) -> tuple[list[int], int, list[int]]:
        """The batch's ids, how many of them are padding, and the passes that end with it."""
        passes, remainder, size = self.passes, self.plan["remainder"], self.plan["batch_size"]
        if remainder == "carry":
            return self.carried_batch()
        ids: list[int] = []
        padding = 0
        while len(ids) < size and passes.left > 0:
            ids.append(passes.take())
        if remainder == "pad":
            while len(ids) < size:
                ids.append(passes.ids[padding % self.num_samples])
                padding += 1
        if not self.pass_is_over():
            return ids, padding, []
        if remainder == "drop":
            self.samples_dropped += passes.left
        return ids, padding, [passes.index]

    def carried_batch(self) -> tuple[list[int], int, list[int]]:
        """The same where the passes are one endless stream."""
        passes, ids, passes_ended = self.passes, [], []
        by_passes = self.plan["steps_per_epoch"] is None
        while len(ids) < self.plan["batch_size"]:
            if passes.left == 0:
                if by_passes and passes.index + 1 == self.plan["epochs"]:
                    break
                passes.begin()
            if by_passes and not ids:
                self.epoch = passes.index  # a step belongs to its first sample's epoch
            ids.append(passes.take())
            if passes.left == 0:
                passes_ended.append(passes.index)
        return ids, 0, passes_ended

    def step(self, ids: list[int], padding: int, passes_ended: list[int]) -> None:
        """The step, its update, and what it ends."""
        self.samples_seen += len(ids) - padding
        self.samples_padded += padding
        epoch_size = self.plan["steps_per_epoch"]
        step = Step(len(self.run.steps), self.epoch, self.step_in_epoch, ids, padding, len(self.run.updates))
        self.run.steps.append(step)
        self.steps_of_epoch[self.epoch] = self.steps_of_epoch.get(self.epoch, 0) + 1
        self.step_in_epoch += 1
        self.window.add(step)
        epoch_ended = bool(passes_ended) if epoch_size is None else self.step_in_epoch == epoch_size
        step.cut = bool(epoch_ended if self.plan["accumulation_boundary"] == "epoch" else passes_ended)
        if step.cut:
            self.window.cut()
        if epoch_ended:
            self.epochs_completed.extend(passes_ended if epoch_size is None else [self.epoch])
            self.epoch = self.epochs_completed[-1] + 1
            self.step_in_epoch = 0

    def counts(self) -> dict[str, int | None]:
        steps = self.run.steps
        lengths = {self.steps_of_epoch.get(completed, 0) for completed in self.epochs_completed}
        return {
            "num_steps": len(steps),
            "num_updates": len(self.run.updates),
            "num_epochs": 1 + steps[-1].epoch,
            "steps_per_epoch": lengths.pop() if len(lengths) == 1 else None,
            "samples_seen": self.samples_seen,
            "samples_dropped": self.samples_dropped,
            "samples_padded": self.samples_padded,
            "last_batch_size": len(steps[-1].sample_ids),
        }
