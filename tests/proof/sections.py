"""The sections of the proof: what each does at full size, and what counts as bad in it.

A section is a function of its size that returns what was looked at (``size``), everything that was wrong (``bad``)
and perhaps a table (``text``).
"""

import json
import multiprocessing
import re
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from proof.provenance import ROOT, commit

SEED = 20_000
TRAINERS = ("keras", "keras2", "lightning", "transformers", "accelerate", "ignite", "optax", "pytorch")
DEALING = ("DistributedSampler", "Lightning", "Accelerate", "MirroredStrategy")  # engines
LIKE = [
    "plan",
    *(word for name in ("keras", "lightning", "transformers", "accelerate", "ignite") for word in ("--like", name)),
    *("--samples", "103", "--batch-size", "10", "--gradient-accumulation-steps", "4", "--epochs", "3"),
]

Outcome = dict[str, Any]


def sweep(name: str) -> Callable[[int], Outcome]:
    """A sweep of tests/sweeps."""

    def run(size: int) -> Outcome:
        import sweeps

        result = sweeps.load(name).run(size, SEED)
        assert result.cases
        title, _, table = result.text.partition("\n")
        return {"size": title, "bad": result.mismatches} | ({"text": table.strip()} if table.strip() else {})

    return run


def counting(size: int) -> Outcome:
    """Closed forms compared with the simulator, and the edges of the rules."""
    from sweeps.counting import check_case
    from sweeps.simulator import EDGES

    outcome = sweep("counting")(size)
    edges = [problem for fields, num_samples in EDGES if (problem := check_case(fields, num_samples))]
    return {"size": f"{outcome['size']} and {len(EDGES)} edges", "bad": outcome["bad"] + edges}


def preset(trainer: str) -> Callable[[int], Outcome]:
    """A preset compared with its trainer."""

    def run(size: int) -> Outcome:
        from agreement import agree

        agreement = agree(trainer, size, SEED)
        reasons = ", ".join(f"{count} {reason!r}" for reason, count in sorted(agreement.refused.items()))
        refused = f"; refused by name: {reasons}" if reasons else ""
        return {"size": f"{agreement.compared} random configurations{refused}", "bad": agreement.mismatches}

    return run


def dealing(engine: str) -> Callable[[int], Outcome]:
    """What an engine deals to replicas, compared with the plans of its preset."""

    def run(size: int) -> Outcome:
        from dealing import agree

        found = agree(engine, size, SEED)
        return {"size": found.text, "bad": found.mismatches}

    return run


def memory(size: int) -> Outcome:
    """What huge plans allocate."""
    import numpy as np

    from xframe.plan.training_plan import TrainingPlan

    plan = TrainingPlan(batch_size=64, epochs=3, gradient_accumulation_steps=7)
    plan.step(0, 1000)
    assert np.__version__
    bad, largest = [], 0
    for name, call in {
        "counts": lambda: plan.counts(size),
        "step": lambda: plan.step(10**13 + 7, size),
        "inverse": lambda: plan.sample_order(size).positions(0, np.arange(64)),
    }.items():
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        largest = max(largest, peak)
        if peak > 2e6:
            bad.append(f"{name} of {size:,} samples allocates {peak:,} bytes")
    return {
        "size": f"counts, a step and an inverse of {size:,} shuffled samples: at most {largest:,} bytes",
        "bad": bad,
    }


def script(path: str, wrong: Callable[[str], list[str]] = lambda text: [], *options: str) -> Callable[[int], Outcome]:
    """A script's own tables."""

    def run(size: int) -> Outcome:
        command = [sys.executable, path, str(size), *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return {"size": f"`{' '.join(['python', *command[1:]])}`", "bad": wrong(done.stdout), "text": done.stdout}

    return run


def listed(text: str) -> list[str]:
    """The items of the list at the end of a script's text."""
    return [line[2:] for line in text.splitlines() if line.startswith("- ")]


def like(size: int) -> Outcome:
    """The trainers side by side, and what that costs beside importing torch."""
    xframe = str(Path(sys.executable).with_name("xframe"))
    printed = subprocess.run([xframe, *LIKE, "--json"], capture_output=True, text=True, check=True).stdout
    updates = {name: counts["num_updates"] for name, counts in json.loads(printed)["plans"].items()}
    expected = {"keras": 8, "lightning": 9, "transformers": 9, "accelerate": 9, "ignite": 8}
    taken: dict[str, list[float]] = {"like": [], "torch": []}
    for _ in range(size):
        for name, command in {"like": [xframe, *LIKE], "torch": [sys.executable, "-c", "import torch"]}.items():
            began = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            taken[name].append(time.perf_counter() - began)
    ratio = statistics.median(taken["like"]) / statistics.median(taken["torch"])
    bad = [f"updates {updates}"] if updates != expected else []
    bad += [f"{ratio:.2f} x the time of importing torch"] if ratio > 0.5 else []
    shown = ", ".join(f"{name} {count}" for name, count in updates.items())
    return {"size": f"`xframe {' '.join(LIKE)}`: {shown}; {ratio:.2f} x `import torch`, {size} rounds", "bad": bad}


def swept_on_ray(size: int) -> Outcome:
    """Sweeps on a local Ray cluster, stopped and started again."""
    from sweeps.grids import run

    result = run(size, SEED, engine="ray")
    return {"size": result.text, "bad": result.mismatches}


def selftest(size: int) -> Outcome:
    """Known faults, mutations and clean runs."""
    from proof.selftest import full

    return full(size)


BARS = (  # workload, loop, what it is compared with, at most this many times that; see docs/tutorials/benchmark.md
    ("bench-mlp", "torch:eager", "torch-indexed", 1.05),
    ("bench-mlp", "tensorflow:block", "tensorflow-graph", 1.25),
    ("bench-mlp", "tensorflow:block", "keras-fit-32", 1 / 3.5),
    ("bench-mlp", "tensorflow:block", "keras-fit-batched", 1 / 2.2),
    ("bench-mlp", "tensorflow:fit", "keras-fit-gathered", 1.06),
    *(("bench-mlp", "torch:eager", name, 1.0) for name in ("torch-dataloader", "ignite", "accelerate")),
    *(("bench-mlp", "torch:eager", name, 1.0) for name in ("lightning", "transformers")),
    ("digits-cnn", "torch:eager", "torch-indexed", 1.02),
    ("digits-cnn", "tensorflow:block", "tensorflow-graph", 1.02),
)


def bench(size: int) -> Outcome:
    """What all loops cost per step, in that many rounds, and the bars that recording has to keep."""
    from xframe.bench.loops import bench_loops

    measured = bench_loops(rounds=size)
    loops = {(one.workload["task"], loop.name): loop for one in measured for loop in one.loops}
    bad, rows = [], ["| workload | recorded | beside | at most | ratio |", "| --- | --- | --- | --- | --- |"]
    for task, name, beside, most in BARS:
        if (task, name) not in loops:
            bad.append(
                f"{task}: {name} is not installed here, so its bar stands unjudged (`make trainers` installs it)"
            )
            continue
        ratio = loops[task, name].ratio(loops[task, beside])
        row = f"| {task} | {name} | {beside} | {most:.3g} | {ratio} |"
        rows.append(row)
        bad += [row] if ratio is None or ratio.median > most else []
    text = "\n".join([*rows, "", "```text", *map(str, measured), "```"])
    (ROOT / "results" / "bench.md").write_text(
        f"# What a training step costs\n\n`xframe bench --rounds {size}`, commit {commit()}. "
        f"Ratios are medians of rounds, with their 95 % intervals.\n\n{text}\n"
    )
    return {"size": f"`xframe bench --rounds {size}`, {len(BARS)} bars; see bench.md", "bad": bad}


def quality(size: int) -> Outcome:
    """Each task trained to what its text states."""
    command = ["tests/proof/quality.py"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [row for row in done.stdout.splitlines() if "stated" in row]
    bad = [row for row in rows if not row.endswith("good")] + ([done.stderr[-500:]] if done.returncode else [])
    return {
        "size": f"`python {command[0]}`: {len(rows)} runs",
        "bad": bad,
        "text": "\n".join(["```", *rows, "```"]),
    }


def rules(size: int) -> Outcome:
    """Every rule, dialect and setting in every adapter, and the table of them."""
    from sweeps.rules import ADAPTERS, Distances, run

    result, made_at = Distances(), commit()
    with ProcessPoolExecutor(len(ADAPTERS), mp_context=multiprocessing.get_context("spawn")) as pool:
        for one in pool.map(run, *zip(*((size, SEED, (adapter,)) for adapter in ADAPTERS), strict=True)):
            result |= one
    title, _, table = result.text.partition("\n")
    (ROOT / "results" / "rules.md").write_text(
        f"# Every rule in every framework\n\n`python -m proof rules`, commit {made_at}. {title}.\n\nBy adapter: the "
        "optimizer that the rule is lowered to, in *italics* where it is not the framework's own; then, of the weights "
        "after each update made from NumPy's weights and slots, the largest distance in eps of the tensor's largest "
        "weight, and what share of the bound the worst weight or slot reaches: 64 eps in float64; in float32 twice "
        f"what the formula's own operations round.\n\n{result.table}\n"
    )
    return {"size": f"{title}; see rules.md", "bad": result.mismatches, "text": table.strip()}


def numbers(size: int) -> Outcome:
    """Numeric bugs that are planted, clean runs, and what people compare by on the same; the table of them."""
    from sweeps.numeric import Judged, run

    result, made_at, parts = Judged(), commit(), 2
    with ProcessPoolExecutor(parts, mp_context=multiprocessing.get_context("spawn")) as pool:
        for one in [pool.submit(run, size, SEED, share=(part, parts)) for part in range(parts)]:
            result |= one.result()
    write_numbers(result, f"commit {made_at}")
    title, _, table = result.text.partition("\n")
    bad = result.mismatches + result.short
    return {"size": f"{title}; see numerics.md", "bad": bad, "text": table.strip()}


def write_numbers(result: Any, made_at: str) -> None:
    """The table of numeric bugs and clean runs, as a result of its own."""
    title, _, table = result.text.partition("\n")
    rows = "\n".join(sorted(result.rows))
    (ROOT / "results" / "numerics.md").write_text(
        f"# Rounding told apart from a bug\n\n`python -m proof numbers`, {made_at}. {title}.\n\n"
        "Each bug is planted into one of two equal trainings of a few steps; a clean run has random data, model, rule, "
        "precision and batch size from 1 up, digits at batch 6 and training that is chaos among them. The other ways "
        f"compare two free runs of the same.\n\n{table.strip()}\n\n## Each bug\n\n"
        "| bug | in | first in | causes named | not seen by |\n| --- | --- | --- | --- | --- |\n"
        f"{rows}\n"
    )


def slower(text: str) -> list[str]:
    """Where comparing takes longer than DuckDB's join or a fifth of pandas' time, or more than 300 MB."""
    bad = []
    for row in text.splitlines():
        if match := re.search(r": (duckdb|pandas) \|.*xframe takes ([\d.]+) x", row):
            bad += [row] if float(match[2]) > {"duckdb": 1, "pandas": 0.2}[match[1]] else []
        if match := re.search(r": xframe \| [\d.]+ s, (\d+) MB", row):
            bad += [row] if int(match[1]) > 300 else []
    return bad


def torch_optimizers(rounds: int) -> Outcome:
    """What Keras' optimizers for torch cost beside torch's own."""
    from proof.torch_optim_cost import run

    return run(rounds)


def tensorflow_optimizers(rounds: int) -> Outcome:
    """What PyTorch's optimizers for Keras cost beside Keras' own."""
    from proof.tensorflow_optim_cost import run

    return run(rounds)


def pairs_of_scripts(_size: int) -> Outcome:
    """Mistakes that people made, each between two scripts that are recorded as they are."""
    from scripts.pairs import judging

    with tempfile.TemporaryDirectory() as folder:
        rows = [row for row in judging.PAIRS if judging.possible(row)]
        judging.record(Path(folder), rows)
        judged = {row: judging.judge(Path(folder), row) for row in rows}
    bad = [f"{row}: {problem}" for row, one in judged.items() for problem in one.wrong]
    twins = sum(one.twin is not None for one in judged.values())
    return {"size": f"{len(rows)} pairs, {twins} faithful twins", "bad": bad, "text": judging.table(judged)}


def translations(_size: int) -> Outcome:
    """Each translation trained, stepped or evaluated beside its source; those without one are refused by reason."""
    from translations import installed, layers, proving

    table, bad, shown = proving.run()
    count, wrong = layers.models()
    compared, differ = installed.compare()
    size = f"{shown}, {count} models; signatures of {', '.join(compared)}"
    return {"size": size, "bad": bad + wrong + differ, "text": "\n".join(table)}


SECTIONS: dict[str, tuple[Callable[[int], Outcome], int]] = {
    "counting": (counting, 50_000),
    "replicas": (sweep("replicas"), 5000),
    "replicas trained": (sweep("replicated"), 30),
    "memory": (memory, 10**15),
    **{f"preset {name}": (preset(name), 300) for name in TRAINERS},
    **{f"dealing {name}": (dealing(name), 300) for name in DEALING},
    "contract": (sweep("contract"), 400),
    "order quality": (sweep("order"), 20_000),
    "order speed": (script("tests/proof/order_speed.py"), 11),
    "like": (like, 11),
    "inference": (sweep("inference"), 3000),
    "self-proof": (selftest, 1000),
    "causes": (sweep("causes"), 1000),
    "doubles": (sweep("doubles"), 5000),
    "pairs": (sweep("pairs"), 1000),
    "pairs of scripts": (pairs_of_scripts, 1),
    "damage": (sweep("damage"), 10_000),
    "forged": (sweep("forged"), 20_000),
    "states": (sweep("states"), 2000),
    "resumed": (sweep("resumed"), 200),
    "translate": (translations, 1),
    "kills": (sweep("kills"), 200),
    "killed and gone on": (sweep("killed"), 200),
    "spoiled checkpoints": (sweep("spoiled"), 2000),
    "stopped at every step": (sweep("handed"), 50),
    "sweep": (sweep("grids"), 20),
    "sweep on Ray": (swept_on_ray, 5),
    "orphans": (sweep("orphans"), 300),
    "endings": (sweep("endings"), 1200),
    "signals": (sweep("signals"), 2000),
    "instructions": (sweep("instructions"), 4000),
    "interrupts": (sweep("interrupts"), 100),
    "disks": (sweep("disks"), 1200),
    "losses": (sweep("losses"), 500),
    "rules": (rules, 1000),
    "numbers": (numbers, 300),
    "optimizers in loops": (script("tests/proof/optimizers_in_loops.py", listed), 32),
    "layers": (script("tests/proof/layers.py", listed), 100),
    "quality": (quality, 1),
    "torch optimizers": (torch_optimizers, 25),
    "tensorflow optimizers": (tensorflow_optimizers, 9),
    "bench": (bench, 9),
    "checkpoint cost": (script("tests/proof/checkpoint_cost.py", listed), 21),
    "trace speed": (script("tests/proof/trace_speed.py", slower), 10_000_000),
    "trace memory": (script("tests/proof/trace_speed.py", slower, "--only-xframe"), 100_000_000),
}
