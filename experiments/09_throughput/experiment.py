"""Throughput of both frameworks over batch size and model, by xframe.bench: only runs of one structure are compared."""

from itertools import product

from experiments.common.grid import BOTH
from experiments.common.results import TIME
from xframe import TrainingPlan
from xframe.bench.throughput import bench_plan
from xframe.running.request import Request

TASKS = {"digits-mlp": "perceptron, 64-32-10", "digits-cnn": "two convolutions, batch normalisation"}
SIZES = 16, 64, 256
EXACT = "model", "batch size", "steps", "comparable"


def run(lab):
    result, rows = lab.result(), []
    for task, size in [("digits-mlp", 256)] if lab.small else product(TASKS, SIZES):
        plan, out = TrainingPlan(batch_size=size, epochs=6), lab.folder / f"{task}-{size}"
        request = Request(plan=plan, task=task, adapters=BOTH, device="cpu", threads=1, out=out)
        rows.append(measured(task, size, bench_plan(request, rounds=1 if lab.small else 3)))
        lab.say(f"{task}, batch {size}")
    result.table("speed", "Samples a second", rows, {column: TIME for column in rows[0] if column not in EXACT})
    return result


def measured(task, size, bench):
    ratio = bench.ratios()["tensorflow"]
    return {
        "model": f"{task}: {TASKS[task]}",
        "batch size": size,
        "steps": bench.comparisons[0].runs["torch"].num_steps,
        "comparable": bench.comparable,
        **{f"{name} samples/s": round(bench.speed(name).median) for name in BOTH},
        "tensorflow by torch": f"{ratio.median:.2f}",
        "interval": "–" if ratio.low is None else f"{ratio.low:.2f} to {ratio.high:.2f}",
        "stable": ratio.stable,
        **{f"{name} first step, s": min(one.first_seconds for one in bench.runs[name]) for name in BOTH},
    }
