"""A plan in words: whole texts as a reader has them, and every number in them compared with the simulator."""

import random
import re
from itertools import chain, cycle, groupby, islice

import pytest
from sweeps.counting import order_of
from sweeps.simulator import EDGES, Refused, random_case, replicated_case, simulate

from xframe.errors import PlanError
from xframe.plan.training_plan import TrainingPlan
from xframe.report import words
from xframe.report.plans import arithmetic, one_step

DIGITS = 1797
TEXTS = {
    "keep": (
        {"epochs": 3},
        "1,797 samples / batches of 64 = 28 full + 1 short of 5 (keep) -> 29 steps an epoch\n"
        "epochs  3 x 29 steps = 87 steps\n"
        "total   87 steps, 87 updates, 3 epochs\n"
        "samples 5,391 seen, last batch 5",
    ),
    "drop, all limits": (
        {"epochs": 3, "steps": 57, "updates": 100, "remainder": "drop"},
        "1,797 samples / batches of 64 = 28 full, 5 samples dropped -> 28 steps an epoch\n"
        "epochs  3 x 28 steps = 84 steps  (not reached)\n"
        "steps   57 steps / 28 an epoch = 2 epochs + 1 of 28 steps\n"
        "updates 100 updates / 28 an epoch = 3 epochs + 16 of 28 steps  (not reached)\n"
        "total   57 steps, 57 updates, 3 epochs (the last one unfinished)\n"
        "samples 3,648 seen, 10 dropped (5 in each full pass), last batch 64",
    ),
    "pad": (
        {"epochs": 3, "remainder": "pad"},
        "1,797 samples / batches of 64 = 28 full + 1 of 5 filled up with 59 repeated (pad) -> 29 steps an epoch\n"
        "epochs  3 x 29 steps = 87 steps\n"
        "total   87 steps, 87 updates, 3 epochs\n"
        "samples 5,391 seen, 177 rows of padding, last batch 64",
    ),
    "replicas": (
        {"epochs": 2, "replicas": 2},
        "1,797 samples / batches of 64 = 28 full + 1 short of 5 (keep) -> 29 steps an epoch\n"
        "epochs  2 x 29 steps = 58 steps\n"
        "total   58 steps, 58 updates, 2 epochs\n"
        "samples 3,594 seen, last batch 5\n"
        "replicas 2, one slice of a step's rows after the other (slices); a gradient is the mean over all rows\n"
        "  replica 0: 32 of a full batch, 1,798 seen, last batch 3\n"
        "  replica 1: 32 of a full batch, 1,796 seen, last batch 2",
    ),
    "replicas in turn": (
        {
            "epochs": 1,
            "replicas": 4,
            "replica_split": "interleaved",
            "replica_remainder": "pad",
            "replica_gradients": "replicas",
        },
        "1,797 samples + 3 for 4 replicas (pad) / batches of 64 = 28 full + 1 short of 8 (keep) -> 29 steps an epoch\n"
        "epochs  1 x 29 steps = 29 steps\n"
        "total   29 steps, 29 updates, 1 epoch\n"
        "samples 1,797 seen, 3 rows of padding, last batch 8\n"
        "replicas 4, a step's rows in turn (interleaved); a gradient is the mean of the replicas' own\n"
        "  replica 0: 16 of a full batch, 450 seen, last batch 2\n"
        "  replicas 1-3: each 16 of a full batch, 449 seen, 1 row of padding, last batch 2",
    ),
    "replicas without rows": (
        {
            "batch_size": 8,
            "epochs": 2,
            "replicas": 4,
            "replica_split": "dealt",
            "replica_remainder": "drop",
            "steps_per_epoch": 225,
        },
        "1,797 samples - 1 for 4 replicas (drop) / batches of 8 = 224 full + 1 short of 4 (keep) -> 225 steps a pass\n"
        "epochs of 225 steps, each begins a new pass (restart)\n"
        "epochs  2 x 225 steps = 450 steps\n"
        "total   450 steps, 450 updates, 2 epochs, 225 steps in each complete epoch\n"
        "samples 3,592 seen, 2 dropped (1 in each full pass), last batch 4\n"
        "replicas 4, one run of 2 rows after the other (dealt); a gradient is the mean over all rows\n"
        "  replicas 0-1: each 2 of a full batch, 900 seen, last batch 2\n"
        "  replicas 2-3: each 2 of a full batch, 896 seen, 2 steps without rows, last batch 0",
    ),
    "error": (
        {"batch_size": 599, "steps": 3, "remainder": "error"},
        "1,797 samples / batches of 599 = 3 full, none left -> 3 steps an epoch\n"
        "steps   3 steps / 3 an epoch = 1 epoch exactly\n"
        "total   3 steps, 3 updates, 1 epoch\n"
        "samples 1,797 seen, last batch 599",
    ),
    "carry": (
        {"epochs": 3, "remainder": "carry"},
        "1,797 samples / batches of 64 = 28 full, 5 left, which the next pass fills up (carry): "
        "one stream of batches of 64\n"
        "epochs  3 x 1,797 samples = 5,391, in batches of 64 = 85 steps\n"
        "total   85 steps, 85 updates, 3 epochs\n"
        "samples 5,391 seen, last batch 15",
    ),
    "restart": (
        {"epochs": 3, "steps_per_epoch": 10},
        "1,797 samples / batches of 64 = 28 full + 1 short of 5 (keep) -> 29 steps a pass\n"
        "epochs of 10 steps, each begins a new pass (restart), 19 steps of the pass are left\n"
        "epochs  3 x 10 steps = 30 steps\n"
        "total   30 steps, 30 updates, 3 epochs, 10 steps in each complete epoch\n"
        "samples 1,920 seen, last batch 64",
    ),
    "short epochs": (
        {"epochs": 7, "steps_per_epoch": 10, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"},
        "1,797 samples / batches of 64 = 28 full + 1 short of 5 (keep) -> 29 steps a pass\n"
        "epochs of 10 steps, the pass goes on (continue); when a pass is over, the epoch ends (short_epoch): "
        "10 + 10 + 9 steps\n"
        "epochs  7 of at most 10 steps = 68 steps\n"
        "total   68 steps, 68 updates, 7 epochs\n"
        "samples 4,234 seen, last batch 64",
    ),
    "stop": (
        {"epochs": 7, "steps_per_epoch": 10, "epoch_iterator": "continue", "on_exhaustion": "stop"},
        "1,797 samples / batches of 64 = 28 full + 1 short of 5 (keep) -> 29 steps a pass\n"
        "epochs of 10 steps, the pass goes on (continue); when a pass is over, training ends (stop)\n"
        "epochs  7 x 10 steps = 70 steps  (not reached)\n"
        "stop    the pass is over after 29 steps\n"
        "total   29 steps, 29 updates, 3 epochs\n"
        "samples 1,797 seen, last batch 5",
    ),
    "windows": (
        {"epochs": 3, "gradient_accumulation_steps": 4},
        "1,797 samples / batches of 64 = 28 full + 1 short of 5 (keep) -> 29 steps an epoch\n"
        "window  an update every 4 steps; the end of each epoch cuts it, and updates with what is there (flush): "
        "29 steps = 7 x 4 + 1 -> 8 updates an epoch\n"
        "epochs  3 x 29 steps = 87 steps\n"
        "total   87 steps, 24 updates, 3 epochs\n"
        "samples 5,391 seen, last batch 5",
    ),
    "windows that never fill": (
        {"epochs": 2, "updates": 5, "gradient_accumulation_steps": 40, "accumulation_remainder": "drop"},
        "1,797 samples / batches of 64 = 28 full + 1 short of 5 (keep) -> 29 steps an epoch\n"
        "window  an update every 40 steps; the end of each epoch cuts it, and zeroes its gradients (drop): "
        "29 steps = 0 x 40 + 29 -> 0 updates an epoch\n"
        "epochs  2 x 29 steps = 58 steps\n"
        "updates 5 updates  (never reached)\n"
        "total   58 steps, 0 updates, 2 epochs\n"
        "samples 3,594 seen, last batch 5",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name):
    fields, text = TEXTS[name]
    assert "\n".join(arithmetic(TrainingPlan.from_mapping({"batch_size": 64, **fields}), DIGITS)) == text


# Claims: the numbers that a line gives, by its pattern. A pattern may be absent; a number that none takes fails.


N = r"(\d+(?:,\d{3})*)"
PASS = re.compile(
    rf"{N} samples? / batches of {N} = {N} full"
    rf"(?:, none left|, {N} samples? dropped| \+ 1 short of {N} \(keep\)"
    rf"| \+ 1 of {N} filled up with {N} repeated \(pad\))"
    rf" -> {N} steps? (?:a pass|an epoch)"
)
STREAM = re.compile(rf"{N} samples? / batches of {N} = {N} full, .*\(carry\): one stream of batches of {N}")
WINDOW = re.compile(
    rf"window  an update every {N} steps(.*?)(?:: {N} steps? = {N} x {N}(?: \+ {N})? -> {N} updates? an? (epoch|pass))?"
)
LIMIT = re.compile(rf"(epochs|steps|updates) +{N} (.*?)(  \(not reached\))?")
TOTAL = re.compile(
    rf"total   {N} steps?, {N} updates?, {N} epochs?( \(the last one unfinished\))?"
    rf"(?:, {N} steps? in each complete epoch)?"
)
SAMPLES = re.compile(
    rf"samples {N} seen(?:, {N} dropped \({N} in each full pass\))?(?:, {N} rows? of padding)?, last batch {N}"
)


def numbers(match):
    """The groups of a match as integers, those that are numbers."""
    return [int(group.replace(",", "")) if group and group[0].isdigit() else group for group in match.groups()]


def last_numbers(text):
    return [int(found.replace(",", "")) for found in re.findall(N, text)]


def claims(fields, num_samples, run):
    """Checks each line; returns what kinds of lines there were."""
    plan = TrainingPlan.from_mapping(fields)
    lines, counts = arithmetic(plan, num_samples), run.counts
    full, rest = divmod(num_samples, plan.batch_size)
    kinds = []
    for line in lines:
        kind = line.split(maxsplit=1)[0]
        if line is lines[0]:
            _pass(plan, num_samples, line, full, rest)
        elif match := TOTAL.fullmatch(line):
            steps, updates, epochs, _, each = numbers(match)
            assert [steps, updates, epochs] == [counts[name] for name in ("num_steps", "num_updates", "num_epochs")]
            assert each is None or each == counts["steps_per_epoch"]
        elif match := SAMPLES.fullmatch(line):
            seen, dropped, each, padded, last = numbers(match)
            assert seen == counts["samples_seen"]
            assert (dropped or 0) == counts["samples_dropped"]
            assert each in (None, rest)
            assert (padded or 0) == counts["samples_padded"]
            assert last == counts["last_batch_size"]
        elif kind == "window":
            _window(fields, num_samples, line)
        elif kind == "end":
            _end(fields, num_samples, line, counts)
        elif kind == "stop":
            assert last_numbers(line) == [counts["num_steps"]]
        elif line.startswith("epochs of"):
            kind = "epochs of"
            _epochs(plan, num_samples, line, run)
        else:
            _limit(plan, num_samples, LIMIT.fullmatch(line), counts)
        kinds.append(kind)
    return kinds


def _pass(plan, num_samples, line, full, rest):
    if plan.remainder == "carry":
        assert numbers(STREAM.fullmatch(line)) == [num_samples, plan.batch_size, full, plan.batch_size]
        return
    n, b, whole, dropped, short, filled, repeated, steps = numbers(PASS.fullmatch(line))
    assert (n, b, whole) == (num_samples, plan.batch_size, full)
    assert {dropped, short, filled} <= {None, rest}
    assert (repeated or 0) == (-num_samples % plan.batch_size if plan.remainder == "pad" else 0)
    one_pass = simulate({"batch_size": b, "epochs": 1, "remainder": plan.remainder}, num_samples, lambda _: range(n))
    assert steps == len(one_pass.steps)


def _window(fields, num_samples, line):
    """The division of a window line, and that each epoch, or pass, has that many steps and updates."""
    k, _, steps, times, by, left, updates, each = numbers(WINDOW.fullmatch(line))
    assert k == fields["gradient_accumulation_steps"]
    if steps is None:
        return
    assert by == k
    assert times * k + (left or 0) == steps
    plan = TrainingPlan.from_mapping(fields)
    assert (plan.accumulation_boundary == "pass") == (each == "pass")
    limit = {"steps": 5 * steps + 1, "epochs": None, "updates": None}  # so that no limit leaves an epoch unfinished
    run = simulate({**fields, **limit}, num_samples, order_of(plan, num_samples))
    if plan.on_exhaustion != "stop":
        applied = [step.update for step in run.steps]
        assert applied[steps - 1 : -1 : steps] == [updates * (i + 1) for i in range(5)]


def _end(fields, num_samples, line, counts):
    """How many steps were left open: what a flush at the end applies, and a drop does not."""
    (open_steps,) = last_numbers(line)
    plan = TrainingPlan.from_mapping(fields)
    order = order_of(plan, num_samples)
    runs = {
        policy: simulate({**fields, "accumulation_at_end": policy}, num_samples, order) for policy in ("flush", "drop")
    }
    assert len(runs["flush"].updates) == len(runs["drop"].updates) + 1
    assert ("(flush)" in line) is (plan.accumulation_at_end == "flush")
    assert len(runs[plan.accumulation_at_end].updates) == counts["num_updates"]
    entered = len(runs["flush"].updates[-1].weights)
    assert entered == open_steps if plan.accumulation_remainder != "leak" else entered >= open_steps


def _epochs(plan, num_samples, line, run):
    s = plan.steps_per_epoch
    first, *rest = last_numbers(line)
    assert first == s
    if "of the pass are left" in line:
        whole = num_samples // plan.batch_size if plan.remainder == "drop" else -(-num_samples // plan.batch_size)
        assert rest == [whole - s]
    elif rest:  # the epochs of a pass
        lengths = [len(list(steps)) for _, steps in groupby(run.steps, key=lambda step: step.epoch)]
        assert [min(a, b) for a, b in zip(lengths, rest, strict=False)][:-1] == lengths[: len(rest)][:-1]
        assert len(rest) > 1


def _limit(plan, num_samples, match, counts):
    """What a limit alone would come to, and whether it is what stops the run."""
    name, limit, text, beyond = match.groups()
    assert int(limit.replace(",", "")) == getattr(plan.limits, name)
    if "never reached" in text:
        assert counts["num_updates"] < getattr(plan.limits, name)
        return
    others = dict.fromkeys({"epochs", "steps", "updates"} - {name})
    alone = TrainingPlan.from_mapping({**plan.to_dict(), **others}).counts(num_samples).num_steps
    if plan.on_exhaustion != "stop":
        claimed = last_numbers(text)
        if name == "epochs":
            assert claimed[-1] == alone
        elif "an epoch" in text:
            length, whole, *left = claimed
            assert whole * length + (left[0] if left else 0) == alone
        else:
            assert claimed in ([], [alone])
    assert (beyond is None) == (alone == counts["num_steps"]) or plan.on_exhaustion == "stop"


TEN_STEPS = {"batch_size": 10, "steps_per_epoch": 4}  # a pass over 100 samples


@pytest.mark.parametrize(
    ("fields", "unfinished"),
    [
        ({"steps": 8}, False),
        ({"steps": 9}, True),
        ({"steps": 10, "epoch_iterator": "continue"}, True),
        ({"steps": 10, "epoch_iterator": "continue", "on_exhaustion": "stop"}, True),
        ({"steps": 10, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"}, True),
        ({"updates": 10, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"}, True),
        ({"steps": 11, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"}, True),
        ({"steps": 12, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"}, True),
        ({"steps": 14, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"}, False),
        ({"epochs": 3, "epoch_iterator": "continue", "on_exhaustion": "short_epoch"}, False),
        ({"epochs": 9, "epoch_iterator": "continue", "on_exhaustion": "stop"}, False),
        ({"steps": 10, "steps_per_epoch": 25, "on_exhaustion": "stop"}, True),
        ({"steps": 10, "steps_per_epoch": 25, "on_exhaustion": "short_epoch"}, True),
        ({"steps": 11, "steps_per_epoch": 25, "on_exhaustion": "short_epoch"}, True),
        ({"epochs": 2, "steps_per_epoch": 25, "on_exhaustion": "short_epoch"}, False),
    ],
    ids=str,
)
def test_whether_the_last_epoch_is_whole(fields, unfinished):
    """An exhausted pass ends its epoch when the next step is due, which a limit of steps or updates forestalls."""
    total = arithmetic(TrainingPlan.from_mapping({**TEN_STEPS, **fields}), 100)[-2]
    assert total.startswith("total ")
    assert ("(the last one unfinished)" in total) is unfinished


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({"epochs": 9, "epoch_iterator": "continue"}, 10),
        ({"epochs": 9, "steps_per_epoch": 11}, 10),
        ({"epochs": 2, "epoch_iterator": "continue"}, None),
        ({"epochs": 2, "steps_per_epoch": 5}, None),
        ({"steps": 10, "epoch_iterator": "continue"}, None),
    ],
    ids=str,
)
def test_whether_a_pass_stopped_training(fields, steps):
    lines = arithmetic(TrainingPlan.from_mapping({**TEN_STEPS, "on_exhaustion": "stop", **fields}), 100)
    stops = [line for line in lines if line.startswith("stop ")]
    assert stops == ([] if steps is None else [f"stop    the pass is over after {steps} steps"])


# One step


STEP = re.compile(
    rf"step {N}: step {N} of epoch {N}, samples? {N}(?:-{N})?(?: of its order)?, in pass {N}"
    rf"(?:, and {N} samples? after it)?(?:, and {N} rows? of padding)?, all counted from 0; updates after it: {N}"
)


def test_a_step_in_words():
    plan = TrainingPlan(batch_size=10, epochs=1, order="sequential")
    assert one_step(plan, plan.step(2, 100), 100) == [
        "step 2: step 2 of epoch 0, samples 20-29, in pass 0, all counted from 0; updates after it: 3",
        "  sample ids: 20, 21, 22, 23, 24, 25, 26, 27, 28, 29",
    ]


@pytest.mark.parametrize("count", [300])
def test_every_step_is_where_it_is_said_to_be(count):
    kinds, rng = set(), random.Random("steps")
    for fields, num_samples in cases(count):
        try:
            plan = TrainingPlan.from_mapping(fields)
            order = order_of(plan, num_samples)
            walked = rng.choice(simulate(fields, num_samples, order).steps)
        except (PlanError, Refused):
            continue
        text, ids = one_step(plan, plan.step(walked.index, num_samples), num_samples)
        index, in_epoch, epoch, first, last, pass_index, after, padding, update = numbers(STEP.fullmatch(text))
        assert (last is None) is (f", sample {first:,}" in text)
        last = first if last is None else last
        assert (in_epoch, epoch, index) == (walked.step_in_epoch, walked.epoch, walked.index)
        assert update == walked.update
        assert (padding or 0) == walked.padding
        assert ("of its order" in text) is (plan.order == "shuffle")
        told = order(pass_index)[first : last + 1]
        later = chain.from_iterable(order(pass_index + 1 + i) for i in range(after or 0))
        repeated = cycle(order(pass_index))
        told += [*islice(later, after or 0), *islice(repeated, padding or 0)]
        if padding:
            assert last - first + 1 == len(walked.sample_ids) - padding
        assert told == walked.sample_ids, (text, fields, num_samples)
        shown = [int(sample) for sample in re.findall(r"\d+", ids.removeprefix("  sample ids:"))]
        assert shown == walked.sample_ids[:64]
        assert ids.endswith(", …") is (len(walked.sample_ids) > 64)
        kinds.add((after is not None, padding is not None))
    assert kinds == {(False, False), (True, False), (False, True)}


def cases(count):
    rng = random.Random("texts")
    return [*EDGES, *(random_case(rng) for _ in range(count))]


@pytest.mark.parametrize("count", [600])
def test_every_number_is_true(count):
    seen, texts = set(), 0
    for fields, num_samples in cases(count):
        try:
            plan = TrainingPlan.from_mapping(fields)
            run = simulate(fields, num_samples, order_of(plan, num_samples))
        except (PlanError, Refused):
            continue
        try:
            seen |= set(claims(fields, num_samples, run)[1:])
        except Exception as error:
            error.add_note("\n".join([f"{num_samples} samples, {fields}", *arithmetic(plan, num_samples)]))
            raise
        texts += 1
    assert texts > count
    assert seen == {"epochs", "steps", "updates", "epochs of", "window", "end", "stop", "total", "samples"}


SHARE = re.compile(
    rf"  replicas? {N}(?:-{N})?: (?:each )?{N} of a full batch, {N} seen(?:, {N} rows? of padding)?"
    rf"(?:, {N} steps? without rows)?, last batch {N}"
)


@pytest.mark.parametrize("count", [300])
def test_every_number_of_a_replica_is_true(count):
    rng, kinds = random.Random("replicas"), set()
    for fields, num_samples in (replicated_case(rng) for _ in range(count)):
        try:
            plan = TrainingPlan.from_mapping(fields)
            steps = simulate(fields, num_samples, order_of(plan, num_samples)).steps
        except (PlanError, Refused):
            continue
        told = {}
        for match in filter(None, map(SHARE.fullmatch, arithmetic(plan, num_samples))):
            first, last, _, seen, padding, without, at_last = numbers(match)
            for replica in range(first, (first if last is None else last) + 1):
                told[replica] = seen, padding or 0, without or 0, at_last
        for replica in range(plan.replicas):
            shares = [step.shares[replica] for step in steps]
            padding = sum(fills for rows in shares for _, fills in rows)
            seen = sum(map(len, shares)) - padding
            expected = seen, padding, shares.count([]), len(shares[-1])
            assert told.pop(replica) == expected, (fields, num_samples)
            kinds.add((padding > 0, shares.count([]) > 0))
        assert told == {}
    assert kinds == {(False, False), (False, True), (True, False)}


def test_a_step_of_replicas_in_words():
    plan = TrainingPlan(batch_size=6, epochs=1, order="sequential", replicas=3, remainder="pad")
    assert one_step(plan, plan.step(1, 8), 8)[1:] == [
        "  sample ids: 6, 7, 0, 1, 2, 3",
        "  replica 0: 6, 7",
        "  replica 1: 0, 1 (2 of padding)",
        "  replica 2: 2, 3 (2 of padding)",
    ]
    many = TrainingPlan(batch_size=6, epochs=1, order="sequential", replicas=10**6)
    lines = one_step(many, many.step(0, 8), 8)
    assert lines[-2:] == ["  replica 63: no rows", "  and 999,936 replicas more"]
    assert arithmetic(many, 8)[-1] == "  and 998,976 replicas more"


@pytest.mark.parametrize("count", [300])
def test_replicas_that_never_have_a_row_are_counted(count):
    rng, kinds = random.Random("idle"), set()
    for fields, num_samples in (replicated_case(rng) for _ in range(count)):
        try:
            plan = TrainingPlan.from_mapping(fields)
            steps = simulate(fields, num_samples, order_of(plan, num_samples)).steps
        except (PlanError, Refused):
            continue
        idle = sum(not any(step.shares[replica] for step in steps) for replica in range(plan.replicas))
        lines = [line for line in arithmetic(plan, num_samples) if "of them never" in line]
        assert lines == [f"  {idle:,} of them never {'has' if idle == 1 else 'have'} a row"] * bool(idle), fields
        assert ("of them never" in words.plan_line(plan, num_samples)) is bool(idle)
        kinds.add(bool(idle))
    assert kinds == {False, True}


@pytest.mark.parametrize(
    ("split", "idle"), [("slices", "25 of them never have"), ("interleaved", None), ("dealt", "25 of them never have")]
)
def test_rounded_up_shares_leave_replicas_without_rows(split, idle):
    """150 rows over 100 replicas are two for each of the first 75, where they are not dealt in turn."""
    line = words.plan_line(TrainingPlan(batch_size=150, epochs=1, replicas=100, replica_split=split), 300)
    assert f"({split}, uneven{f'; {idle} a row' if idle else ''})" in line


def test_a_plan_in_one_line_says_its_replicas():
    plan = TrainingPlan(batch_size=64, epochs=1, replicas=2, replica_gradients="replicas")
    line = words.plan_line(plan, 1797)
    assert "batch 64 over 2 replicas (slices, uneven, a mean of means), keep remainder" in line
    assert "replica" not in words.plan_line(TrainingPlan(batch_size=64, epochs=1), 1797)


def test_validation_and_early_stopping():
    fields = {"validation_every": 2, "validation_batch_size": 100, "early_stopping_patience": 1}
    lines = arithmetic(TrainingPlan(batch_size=5, epochs=3, **fields, early_stopping_min_delta=0.1), 10)
    assert lines[-2:] == [
        "validation after every 2 epochs, and at the end, in batches of 100",
        "early stopping after 1 validation in a row whose loss is not better by more than 0.1: "
        "all counts are upper bounds",
    ]
    assert arithmetic(TrainingPlan(batch_size=5, epochs=3), 10)[-1].startswith("samples")
