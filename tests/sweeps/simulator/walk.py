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
REPLICA_VALUES: dict[str, tuple[str, ...]] = {  # of a plan with several of them
    "replica_split": ("slices", "interleaved", "dealt"),
    "replica_remainder": ("uneven", "pad", "drop"),
    "replica_gradients": ("rows", "replicas"),
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
    "replicas": 1,
    "replica_split": "slices",
    "replica_remainder": "uneven",
    "replica_gradients": "rows",
}


class Refused(Exception):  # noqa: N818
    """The plan does not fit the data, or would never end."""


@dataclasses.dataclass
class Step:
    """One training-step call; ``update`` counts the updates applied so far, a flush after this step included, and
    ``cut`` whether it ended what cuts accumulation windows. ``shares``: of each replica its rows, as pairs of a sample
    and whether it is there as padding."""

    index: int
    epoch: int
    step_in_epoch: int
    sample_ids: list[int]
    padding: int
    update: int
    cut: bool = dataclasses.field(default=False, compare=False)  # scripts ask for it; a plan does not state it
    shares: list[list[tuple[int, bool]]] = dataclasses.field(default_factory=list, compare=False)


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
    """The current pass and the place in it. Its rows may be made even for replicas: more than its samples, or fewer."""

    def __init__(self, plan: dict, num_samples: int, order: Callable[[int], Sequence[int]]) -> None:
        self.plan = plan
        self.num_samples = num_samples
        self.order = order
        self.index = -1
        self.ids: list[int] = []
        self.rows = self.position = 0

    def begin(self) -> None:
        self.index += 1
        self.ids = [int(sample) for sample in self.order(self.index)]
        self.rows = self.num_samples
        while self.plan["replica_remainder"] != "uneven" and self.rows % self.plan["replicas"] != 0:
            self.rows += 1 if self.plan["replica_remainder"] == "pad" else -1
        self.position = 0
        assert len(self.ids) == self.num_samples

    @property
    def left(self) -> int:
        return max(0, self.rows - self.position)

    def take(self) -> tuple[int, bool]:
        """The next row: a sample, and whether all samples were taken before it, so that it is padding."""
        self.position += 1
        return self.ids[(self.position - 1) % self.num_samples], self.position > self.num_samples


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
    passes = _Passes(plan, num_samples, order)
    passes.begin()
    if passes.left == 0:
        raise Refused("replicas: fewer samples than replicas")
    if plan["remainder"] == "drop" and passes.left < plan["batch_size"]:
        raise Refused("drop: fewer samples than a batch")
    if plan["remainder"] == "error" and passes.left % plan["batch_size"] != 0:
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
        self.passes = _Passes(plan, num_samples, order)
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
                self.step(*(self.carried_batch() if self.plan["remainder"] == "carry" else self.batch()))
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

    def batch(self) -> tuple[list[tuple[int, bool]], list[int]]:
        """The batch's rows, and the passes that end with it."""
        passes, size = self.passes, self.plan["batch_size"]
        rows: list[tuple[int, bool]] = []
        while len(rows) < size and passes.left > 0:
            rows.append(passes.take())
        if not self.pass_is_over():
            return rows, []
        while self.plan["remainder"] == "pad" and len(rows) < size:
            rows.append(passes.take())
        self.samples_dropped += len(passes.ids[passes.position :])
        return rows, [passes.index]

    def carried_batch(self) -> tuple[list[tuple[int, bool]], list[int]]:
        """The same where the passes are one endless stream."""
        passes, rows, passes_ended = self.passes, [], []
        by_passes = self.plan["steps_per_epoch"] is None
        while len(rows) < self.plan["batch_size"]:
            if passes.left == 0:
                if by_passes and passes.index + 1 == self.plan["epochs"]:
                    break
                passes.begin()
            if by_passes and not rows:
                self.epoch = passes.index  # a step belongs to its first sample's epoch
            rows.append(passes.take())
            if passes.left == 0:
                passes_ended.append(passes.index)
        return rows, passes_ended

    def shares(self, rows: list[tuple[int, bool]]) -> list[list[tuple[int, bool]]]:
        """Each replica's rows of a step, handed out one by one."""
        replicas, split = self.plan["replicas"], self.plan["replica_split"]
        shares: list[list[tuple[int, bool]]] = [[] for _ in range(replicas)]
        runs_for = self.plan["batch_size"] if split == "dealt" else len(rows)
        run = next(size for size in range(1, runs_for + 1) if size * replicas >= runs_for)
        replica = 0
        for row in rows:
            if split == "interleaved":
                shares[replica].append(row)
                replica = (replica + 1) % replicas
            else:
                replica += len(shares[replica]) == run
                shares[replica].append(row)
        return shares

    def step(self, rows: list[tuple[int, bool]], passes_ended: list[int]) -> None:
        """The step, its update, and what it ends."""
        ids, padding = [sample for sample, _ in rows], sum(fills for _, fills in rows)
        self.samples_seen += len(ids) - padding
        self.samples_padded += padding
        epoch_size = self.plan["steps_per_epoch"]
        step = Step(len(self.run.steps), self.epoch, self.step_in_epoch, ids, padding, len(self.run.updates))
        step.shares = self.shares(rows)
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
