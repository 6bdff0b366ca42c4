"""What steers the native loops, driven by a plain Python iterator of batches, against the simulator."""

import random
from fractions import Fraction
from itertools import chain, count, cycle, islice

import pytest
from sweeps.simulator import EDGES, Refused, Run, Step, Update, random_case, replicated_case, simulate

from xframe.errors import PlanError
from xframe.plan.replicas import share, shared_padding
from xframe.plan.training_plan import TrainingPlan
from xframe.running.steering import Place, Window, walk


class Batches:
    """Batches as a pipeline makes them, each a payload and its ids; notes which passes were begun and what was drawn.

    ``limit`` ends each stream after that many batches.
    """

    def __init__(self, plan, num_samples, limit=None):
        self.plan, self.num_samples, self.limit = plan, num_samples, limit
        self.order = plan.sample_order(num_samples)
        self.begun, self.drawn = [], 0

    def begin(self, first_pass, offset):
        self.begun.append(first_pass)
        for ids in islice(self.cut(first_pass, offset), self.limit):
            self.drawn += 1
            yield f"batch {self.drawn}", ids

    def cut(self, first_pass, offset):
        size, remainder = self.plan.batch_size, self.plan.remainder
        bounded = self.plan.steps_per_epoch is None and self.plan.epochs is not None
        passes = range(first_pass, self.plan.epochs) if bounded else count(first_pass)
        orders = (self.order.ids(index).tolist() for index in passes)
        if remainder == "carry":
            stream = islice(chain.from_iterable(orders), offset, None)
            while batch := list(islice(stream, size)):
                yield batch
        for ids in orders:
            rows, left = islice(cycle(ids) if remainder == "pad" else iter(ids), offset, None), len(ids) - offset
            for _ in range(left // size if remainder == "drop" else -(-left // size)):
                yield list(islice(rows, size))
            offset = 0


def drive(plan, num_samples):
    """The run as the adapters make it, in the simulator's words."""
    window, source = Window(plan), Batches(plan, num_samples)
    run, weights = Run([], [], {}), None  # what a gradient is added to without a look at ``fresh``
    for place, (payload, ids) in walk(plan, num_samples, source.begin):
        index = len(run.steps)
        assert payload == f"batch {index + 1}"
        if window.fresh:
            weights = {}
        weights[index] = window.weight(len(ids))
        divisor = window.close(place, len(ids))
        if divisor is not None:
            run.updates.append(Update(index, {step: Fraction(weight, divisor) for step, weight in weights.items()}))
        run.steps.append(Step(index, place.epoch, place.step_in_epoch, ids, place.padding, len(run.updates)))
        if window.over:
            break
    assert window.over
    assert source.drawn == len(run.steps)  # none was drawn in vain, which would hold a pipeline up
    return run


def fitting(cases):
    """Of these, the plans that are valid and fit their data, with the simulator's run; no run is longer than 250."""
    for fields, num_samples in cases:
        try:
            plan = TrainingPlan.from_mapping(fields)
            order = plan.sample_order(num_samples)
            run = simulate(fields, num_samples, lambda index, order=order: order.ids(index).tolist())
        except (PlanError, Refused):
            continue
        yield plan, num_samples, run


def agree(cases):
    """How many cases were driven; each as the simulator has it, in every step and in the weight of every gradient."""
    driven = 0
    for plan, num_samples, run in fitting(cases):
        driven_run = drive(plan, num_samples)
        assert driven_run.steps == run.steps, (plan, num_samples)
        assert driven_run.updates == run.updates, (plan, num_samples)
        driven += 1
    return driven


def test_edges():
    assert agree(EDGES) > 0.9 * len(EDGES)


@pytest.mark.parametrize("cases", [500])
def test_random_plans(cases):
    rng = random.Random("steering")
    assert agree(random_case(rng) for _ in range(cases)) > 0.9 * cases


class Dealt(Batches):
    """What one replica's pipeline makes: of each step its own rows, and how many the step has."""

    def __init__(self, plan, num_samples, replica):
        super().__init__(plan, num_samples)
        self.replica = replica

    def begin(self, first_pass, offset):
        for rows in self.cut(first_pass, offset):
            yield len(rows), rows[share(self.plan, len(rows), self.replica)]

    def cut(self, first_pass, offset):
        n, plan = self.num_samples, self.plan
        if plan.remainder == "carry":
            yield from super().cut(first_pass, offset)
            return
        bounded = plan.steps_per_epoch is None and plan.epochs is not None
        for index in range(first_pass, plan.epochs) if bounded else count(first_pass):
            ids, rows = self.order.ids(index).tolist(), n
            while plan.replica_remainder != "uneven" and rows % plan.replicas:
                rows += 1 if plan.replica_remainder == "pad" else -1
            for begin in range(offset, rows, plan.batch_size):
                end = begin + plan.batch_size
                if end <= rows or plan.remainder != "drop":
                    yield [ids[q % n] for q in range(begin, end if plan.remainder == "pad" else min(end, rows))]
            offset = 0


@pytest.mark.parametrize("cases", [300])
def test_replicas_walk_alike_and_each_has_its_rows(cases):
    rng, driven = random.Random("steering replicas"), 0
    for plan, num_samples, run in fitting(replicated_case(rng) for _ in range(cases)):
        for replica in {0, 1, plan.replicas - 1}:
            window, made = Window(plan), []
            source = Dealt(plan, num_samples, replica)
            for place, (_, ids) in walk(plan, num_samples, source.begin, rows=lambda batch: batch[0]):
                expected = run.steps[len(made)]
                window.close(place, place.rows)
                has = ids, shared_padding(plan, place.rows, place.padding, replica)
                shares = expected.shares[replica]
                assert has == ([sample for sample, _ in shares], sum(fills for _, fills in shares)), (plan, num_samples)
                made.append((place.epoch, place.step_in_epoch, place.rows, place.padding, window.updates))
                if window.over:
                    break
            assert window.over
            assert made == [
                (step.epoch, step.step_in_epoch, len(step.sample_ids), step.padding, step.update) for step in run.steps
            ], (plan, num_samples)
        driven += 1
    assert driven > 0.9 * cases


def places(num_samples=10, **fields):
    """The places of a whole walk, the end of which is the plan's."""
    plan = TrainingPlan.from_mapping(fields)
    return [place for place, _ in walk(plan, num_samples, Batches(plan, num_samples).begin)]


def test_places_of_two_epochs():
    first, second, third = places(batch_size=4, epochs=1, remainder="pad")
    assert first == Place(0, 0, 0, ends_pass=False, ends_epoch=False, exhausts=False, last=False, next_offset=4, rows=4)
    assert second == first._replace(step_in_epoch=1, next_offset=8)
    assert third == Place(
        0, 2, 2, ends_pass=True, ends_epoch=True, exhausts=False, last=True, epochs=1, next_pass=1, rows=4
    )


def test_places_of_epochs_that_a_pass_exhausts():
    fields = {"batch_size": 4, "steps_per_epoch": 2, "epoch_iterator": "continue"}
    ends = [
        [(place.ends_epoch, place.exhausts, place.last) for place in places(**fields, on_exhaustion=policy, epochs=3)]
        for policy in ("repeat", "short_epoch", "stop")
    ]
    goes_on, ended = (False, False, False), (True, False, False)
    assert ends[0] == [goes_on, ended, goes_on, ended, goes_on, (True, False, True)]
    assert ends[1] == [goes_on, ended, (False, True, False), goes_on, (True, False, True)]
    assert ends[2] == [goes_on, ended, (False, True, True)]


def test_a_restart_begins_the_pass_after_those_begun():
    plan = TrainingPlan(batch_size=4, epochs=4, steps_per_epoch=2)
    source = Batches(plan, 10)
    assert len(list(walk(plan, 10, source.begin))) == 8
    assert source.begun == [0, 1, 2, 3]
    longer = TrainingPlan(batch_size=4, epochs=3, steps_per_epoch=4)
    source = Batches(longer, 10)
    assert len(list(walk(longer, 10, source.begin))) == 12
    assert source.begun == [0, 2, 4]  # each epoch walks through a pass and into the next
    even = TrainingPlan(batch_size=5, epochs=3, steps_per_epoch=2, remainder="carry", epoch_iterator="restart")
    source = Batches(even, 10)
    assert len(list(walk(even, 10, source.begin))) == 6
    assert source.begun == [0, 1, 2]


def test_nothing_is_begun_before_it_is_asked_for():
    plan = TrainingPlan(batch_size=4, steps=100)
    source = Batches(plan, 10)
    walking = walk(plan, 10, source.begin)
    assert source.begun == []
    next(walking)
    assert (source.begun, source.drawn) == ([0], 1)


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
def test_a_stream_that_ends_early_ends_the_walk(limit):
    """The window does not learn of it, so nothing is flushed: whether a run is whole is for its trace to show."""
    plan = TrainingPlan(batch_size=2, epochs=2, gradient_accumulation_steps=4, accumulation_at_end="flush")
    window, divisors = Window(plan), []
    for place, batch in walk(plan, 20, Batches(plan, 20, limit).begin):
        divisors.append(window.close(place, len(batch[-1])))
    assert divisors == [None, None, None, 4, None][:limit]
    assert not window.over


def test_a_stream_that_goes_on_is_left_alone():
    plan = TrainingPlan(batch_size=4, epochs=2)
    source = Batches(TrainingPlan(batch_size=4, steps=1), 10)  # passes without end
    assert [place.last for place, _ in walk(plan, 10, source.begin)] == [False] * 5 + [True]
    assert source.drawn == 6


def test_a_batch_may_be_any_tuple_that_ends_in_its_ids():
    plan = TrainingPlan(batch_size=2, epochs=1)
    batches = [([0, 1],), ([2],)]
    assert [batch for _, batch in walk(plan, 3, lambda *_: iter(batches))] == batches


MIDDLE = Place(0, 0, 0, ends_pass=False, ends_epoch=False, exhausts=False, last=False)


def divisors(places, rows=2, **fields):
    """What ``close`` returns for steps at these places, and the window after them."""
    window = Window(TrainingPlan(batch_size=2, steps=100, gradient_accumulation_steps=3, **fields))
    return [window.close(place, rows) for place in places], window


@pytest.mark.parametrize(
    ("normalization", "full", "cut"), [("actual", 3, 2), ("window", 3, 3), ("sum", 1, 1), ("samples", 12, 8)]
)
def test_divisor(normalization, full, cut):
    end = MIDDLE._replace(ends_pass=True, ends_epoch=True)
    made, window = divisors([MIDDLE] * 4 + [end], rows=4, loss_normalization=normalization)
    assert made == [None, None, full, None, cut]
    assert window.weight(4) == (4 if normalization == "samples" else 1)
    assert window.fresh


@pytest.mark.parametrize(
    ("remainder", "expected", "fresh"),
    [
        ("flush", [None, 2, None, None, 3], True),
        ("drop", [None, None, None, None, 3], True),
        ("leak", [None, None, None, None, 5], True),
        ("carry", [None, None, 3, None, None], False),
    ],
)
def test_a_cut_after_two_of_three_steps(remainder, expected, fresh):
    places = [MIDDLE, MIDDLE._replace(ends_epoch=True), MIDDLE, MIDDLE, MIDDLE]
    assert divisors(places, accumulation_remainder=remainder)[0] == expected
    after_cut = divisors(places[:2], accumulation_remainder=remainder)[1]
    assert after_cut.fresh is (remainder in ("flush", "drop"))
    assert divisors(places, accumulation_remainder=remainder)[1].fresh is fresh


def test_only_the_boundary_chosen_cuts():
    ends_pass, ends_epoch, exhausts = (MIDDLE._replace(**{name: True}) for name in MIDDLE._fields[3:6])
    for boundary, cutting in (("epoch", [ends_epoch, exhausts]), ("pass", [ends_pass])):
        for place in (ends_pass, ends_epoch, exhausts):
            made, _ = divisors([place], accumulation_boundary=boundary)
            assert made == ([1] if place in cutting else [None]), (boundary, place)


def test_an_epoch_that_exhaustion_would_end_is_left_open_by_a_limit():
    """Exhaustion shows when the next step is due; a limit on that step comes first."""
    exhausts = MIDDLE._replace(ends_pass=True, exhausts=True)
    for limit, due in ((1, None), (2, 1)):
        window = Window(TrainingPlan(batch_size=2, steps=limit, gradient_accumulation_steps=3))
        assert window.close(exhausts, 2) == due
        assert window.over is (limit == 1)
    flushed = Window(TrainingPlan(batch_size=2, steps=1, gradient_accumulation_steps=3, accumulation_at_end="flush"))
    assert flushed.close(exhausts, 2) == 1


def test_a_limit_of_updates():
    window = Window(TrainingPlan(batch_size=2, updates=2, gradient_accumulation_steps=2))
    seen = [(window.close(MIDDLE, 2), window.over) for _ in range(4)]
    assert seen == [(None, False), (2, False), (None, False), (2, True)]


def test_without_accumulation_every_step_is_followed_by_its_update():
    window = Window(TrainingPlan(batch_size=2, steps=3))
    assert window.weight(2) == 1
    assert [(window.close(MIDDLE, 2), window.fresh, window.over) for _ in range(3)] == [
        (1, True, False),
        (1, True, False),
        (1, True, True),
    ]
