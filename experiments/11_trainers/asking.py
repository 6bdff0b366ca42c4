"""The questions, and what becomes of each: recorded, explained, compared with the trainer's preset.

    python -m experiments.11_trainers.asking TRAINER FOLDER

asks one trainer all of them, in this process. The scripts are in scripts.py, and know nothing of being recorded.
"""

import json
import math
import re
import sys
from pathlib import Path

import xframe
from xframe.inference.inferring import infer
from xframe.plan import presets
from xframe.trace.rows import Rows

HERE = Path(__file__).parent
TRAINERS = {  # by preset, as a reader knows it
    "pytorch": "PyTorch, by hand",
    "lightning": "Lightning",
    "transformers": "Transformers",
    "accelerate": "Accelerate",
    "ignite": "Ignite",
    "keras": "Keras fit",
}
SAMPLES, BATCH = 103, 10  # a pass has eleven batches, the last of three samples
QUESTIONS = {
    "Three epochs": {"epochs": 3},
    "Three epochs, the short batch dropped": {"epochs": 3, "remainder": "drop"},
    "Three epochs in windows of 4 steps": {"epochs": 3, "gradient_accumulation_steps": 4},
    "The same, the short batch dropped": {"epochs": 3, "gradient_accumulation_steps": 4, "remainder": "drop"},
    "Three epochs in windows of 12 steps, more than a pass has": {"epochs": 3, "gradient_accumulation_steps": 12},
    "17 steps": {"steps": 17},
    "7 updates in windows of 4 steps": {"updates": 7, "gradient_accumulation_steps": 4},
    "Four epochs of 4 steps": {"epochs": 4, "steps_per_epoch": 4},
    "The same in windows of 3 steps": {"epochs": 4, "steps_per_epoch": 4, "gradient_accumulation_steps": 3},
    "Three epochs of 15 steps, more than a pass has": {"epochs": 3, "steps_per_epoch": 15},
    "The same in windows of 4 steps": {"epochs": 3, "steps_per_epoch": 15, "gradient_accumulation_steps": 4},
}
UNSIZED = {  # data of unknown length, by trainer: the arguments
    "Three epochs over data that do not say how many they are": {
        "keras": {"epochs": 3, "data": "unknown"},
        "lightning": {"max_epochs": 3, "data": "iterable"},
    },
    "The same in epochs of 15 steps and windows of 4": {
        "lightning": {"max_epochs": 3, "limit_train_batches": 15, "accumulate_grad_batches": 4, "data": "iterable"},
    },
}
ALL = QUESTIONS | UNSIZED
UPDATES, STEPS, PASSES = "updates", "steps", "passes begun"
CLAIMS = {  # what a trainer says of itself, and what was observed of that
    "global_step": UPDATES,
    "completed_steps": UPDATES,
    "optimizer.iterations": UPDATES,
    "state.iteration": STEPS,
    "current_epoch": PASSES,
    "state.epoch": PASSES,
    "epochs in history": PASSES,
    "epoch + 1": PASSES,
}
STRUCTURE = "steps", "boundaries", "updates"
SAME = "batch_size", "per_device_train_batch_size"
SHOWN = (  # of the plan that explains the rows, beside its size and limits
    *("remainder", "steps_per_epoch", "epoch_iterator", "on_exhaustion", "gradient_accumulation_steps"),
    *("accumulation_boundary", "accumulation_remainder", "accumulation_at_end"),
)
HEAD = "trainer", STEPS, UPDATES, PASSES, "samples seen", "explained by", "its preset", "says of itself"


def arguments_of(trainer, title):
    """The trainer's own for this question and its preset's plan; or why it has none."""
    try:
        if title in UNSIZED:
            arguments = {"batch_size": BATCH, **UNSIZED[title][trainer]}
        else:
            arguments = presets.put(trainer, {"batch_size": BATCH, **QUESTIONS[title]})
            xframe.TrainingPlan.like(trainer, num_samples=SAMPLES, **arguments)
    except xframe.UsageError as error:
        return None, None, (error.remedy or str(error)).rstrip(".")
    try:
        return arguments, xframe.TrainingPlan.like(trainer, num_samples=SAMPLES, order="sequential", **arguments), None
    except xframe.UsageError as error:
        return arguments, None, f"refuses: {error.what}"


def run(trainer, folder):
    """In a process of its own: all questions to one trainer."""
    sys.path.insert(0, str(HERE))
    import scripts

    said = {}
    for i, title in enumerate(ALL):
        if trainer not in UNSIZED.get(title, TRAINERS):
            continue
        arguments, plan, _ = arguments_of(trainer, title)
        if arguments is not None:
            with xframe.watch(folder / f"{trainer}-{i}.trace", plan=plan, num_samples=SAMPLES):
                said[i] = getattr(scripts, trainer)(SAMPLES, **arguments)
    (folder / f"{trainer}.json").write_text(json.dumps(said))


def explained(trace):
    """What is particular in the plan that the rows follow, as ``xframe explain`` infers it."""
    inference = infer(Rows.of_trace(trace).limited(), SAMPLES)
    if inference.plan is None or inference.first_misfit is not None:
        return f"no plan, from step {inference.first_misfit} on"
    fields = inference.plan.to_dict()
    words = [f"{name} {fields[name]}" for name in SHOWN if name in fields and name not in inference.undecided]
    return ", ".join(words) or "nothing particular"


def judged(trace):
    """Whether the run is its preset's plan, but for what either calls an epoch."""
    checks = [check for check in xframe.compare(trace).to_dict()["checks"] if check["name"] in STRUCTURE]
    failed = [f"{check['name']} at step {check['first']}" for check in checks if check["result"] == "fail"]
    open_ = [check["detail"].removeprefix(f"{trace.name} ") for check in checks if check["result"] == "not judged"]
    return f"**differs: {', '.join(failed)}**" if failed else "; ".join(["the same", *open_])


def passes(trace):
    """How often a pass was begun: in stored order each begins with sample 0. None if samples are not known."""
    if not trace.has_ids:
        return None
    return sum(int((ids == 0).sum()) for ids in trace.batches())


def own(said, seen):
    """The trainer's own counts; one that is not what was observed says so."""
    words = []
    for name, value in said.items():
        observed = seen[CLAIMS[name]]
        differs = observed is not None and observed != math.ceil(value)  # 2.36 epochs are three begun
        words.append(f"**{name} {value}, {observed} {CLAIMS[name]}**" if differs else f"{name} {value}")
    return ", ".join(words)


def row(trainer, index, title, folder, said):
    arguments, plan, reason = arguments_of(trainer, title)
    if arguments is None:
        return [TRAINERS[trainer], *["–"] * 4, f"has no setting: {reason}", "–", "–"]
    trace = xframe.Trace.open(folder / f"{trainer}-{index}.trace")
    counts = trace.counts()
    seen = {STEPS: counts.num_steps, UPDATES: counts.num_updates, PASSES: passes(trace)}
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items() if name not in SAME)
    numbers = ["not seen" if number is None else number for number in (*seen.values(), counts.samples_seen)]
    own_counts = own(said[str(index)], seen)
    return [f"{TRAINERS[trainer]} ({given})", *numbers, explained(trace), judged(trace) if plan else reason, own_counts]


def name_of(row):
    """The trainer, without its arguments."""
    return re.sub(r" \(.*", "", row["trainer"])


def summed(rows):
    """What all runs of each trainer come to, and of all; bold is what differs."""
    names = [name_of(row) for row in rows]
    groups = {one: [row for name, row in zip(names, rows) if name == one] for one in names}
    return [
        {
            "trainer": name,
            "runs": len(own_rows),
            "differ from the preset": sum("**" in row["its preset"] for row in own_rows),
            "own counts not observed": sum("**" in row["says of itself"] for row in own_rows),
            "of these, updates": sum(" updates**" in row["says of itself"] for row in own_rows),
        }
        for name, own_rows in {**groups, "all": rows}.items()
    ]


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
