"""Throughput of both frameworks over batch size and model, by xframe.bench: only runs of one structure are compared."""

from experiments.common.lab import BOTH
from experiments.common.results import EXACT, TIME
from xframe import TrainingPlan
from xframe.bench.throughput import bench_plan
from xframe.running.request import Request

TASKS = {"digits-mlp": "perceptron, 64-32-10", "digits-cnn": "two convolutions, batch normalisation"}
SIZES, ROUNDS, EPOCHS = (16, 64, 256), 3, 6
KINDS = {
    **dict.fromkeys(("model", "batch size", "steps", "comparable"), EXACT),
    **dict.fromkeys((*(f"{name} samples/s" for name in BOTH), "tensorflow by torch", "interval", "stable"), TIME),
    **dict.fromkeys((f"{name} first step, s" for name in BOTH), TIME),
}


def run(lab):
    tasks, sizes = (["digits-mlp"], SIZES[2:]) if lab.small else (TASKS, SIZES)
    result = lab.result(
        "How many samples a second do both frameworks train, by batch size and model?",
        f"""`xframe bench` of each plan: {EPOCHS} epochs, torch:eager and tensorflow:block in float32 on one thread of
        the CPU, {ROUNDS} rounds, each run in a process of its own, one at a time and in turns. The first epoch is
        warm-up and not counted. *Interval*: of the ratio, its range over the rounds; *stable*: of six rounds or more it
        stays within 10 %. *First step*: from the loaded data to the first row, building and compiling included.
        *Comparable*: the very runs that were timed had the same steps, samples and updates.""",
    )
    rows = []
    for task in tasks:
        for size in sizes:
            plan = TrainingPlan(batch_size=size, epochs=EPOCHS)
            out = lab.folder / f"{task}-{size}"
            request = Request(plan=plan, task=task, adapters=BOTH, device="cpu", threads=1, out=out)
            bench = bench_plan(request, rounds=1 if lab.small else ROUNDS)
            ratio, runs = bench.ratios()["tensorflow"], bench.runs
            rows.append(
                {
                    "model": f"{task}: {TASKS[task]}",
                    "batch size": size,
                    "steps": bench.comparisons[0].runs["torch"].num_steps,
                    "comparable": bench.comparable,
                    **{f"{name} samples/s": round(bench.speed(name).median) for name in BOTH},
                    "tensorflow by torch": f"{ratio.median:.2f}",
                    "interval": "–" if ratio.low is None else f"{ratio.low:.2f} to {ratio.high:.2f}",
                    "stable": ratio.stable,
                    **{f"{name} first step, s": min(one.first_seconds for one in runs[name]) for name in BOTH},
                }
            )
            lab.say(f"{task}, batch {size}")
    result.table("speed", "Samples a second", KINDS, rows)
    return result
