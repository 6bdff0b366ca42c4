"""The figures at full size: counting, presets, adapters, order, traces, causes. ``make proof``; see results/proof.md.

Usage: proof.py [SECTION ...]        Resumable: what was done with these very sources is not done again.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "trainers")]

RESULTS = ROOT / "results" / "proof.json"
PAGE = ROOT / "results" / "proof.md"
SOURCES = ("xframe", "adapters", "tests", "experiments")
PACKAGES = (  # whose versions matter
    "pytorch-ignite",
    "numpy",
    "torch",
    "tensorflow",
    "keras",
    "tf_keras",
    "lightning",
    "transformers",
    "accelerate",
    "optax",
    "jax",
    "pyarrow",
    "duckdb",
    "pandas",
)
SEED = 20_000
TRAINERS = ("keras", "keras2", "lightning", "transformers", "accelerate", "ignite", "optax", "pytorch")
LIKE = [
    "plan",
    *(word for name in ("keras", "lightning", "transformers", "accelerate", "ignite") for word in ("--like", name)),
    *("--samples", "103", "--batch-size", "10", "--gradient-accumulation-steps", "4", "--epochs", "3"),
]

Found = dict[str, Any]


def counting(size: int) -> Found:
    """Closed forms against the simulator."""
    from counting_sweep import check_case, sweep
    from simulator import EDGES

    found = sweep(size, SEED)
    edges = [problem for fields, num_samples in EDGES if (problem := check_case(fields, num_samples))]
    return {
        "size": f"{found.cases:,} random plans ({found.refused:,} of them refused by both) and {len(EDGES)} edges",
        "bad": [*found.mismatches, *edges],
    }


def contract(size: int) -> Found:
    """Random plans through all three adapters."""
    from contract_sweep import sweep

    from xframe.running import registry

    found = sweep([registry.load(name) for name in ("numpy", "torch", "tensorflow")], size, SEED)
    return {"size": f"{found.cases:,} random plans x 3 adapters", "bad": found.mismatches}


def preset(trainer: str) -> Callable[[int], Found]:
    """A preset against its trainer."""

    def run(size: int) -> Found:
        from agreement import agree

        found = agree(trainer, size, SEED)
        reasons = ", ".join(f"{count} {reason!r}" for reason, count in sorted(found.refused.items()))
        return {
            "size": f"{found.compared} random configurations" + (f"; refused by name: {reasons}" if reasons else ""),
            "bad": found.mismatches,
        }

    return run


def memory(size: int) -> Found:
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


def script(path: str, wrong: Callable[[str], list[str]] = lambda text: [], *options: str) -> Callable[[int], Found]:
    """A script's own tables."""

    def run(size: int) -> Found:
        command = [sys.executable, path, str(size), *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return {"size": f"`{' '.join(['python', *command[1:]])}`", "bad": wrong(done.stdout), "text": done.stdout}

    return run


def improbable(text: str) -> list[str]:
    """Statistics of the order that chance would not show."""
    rows = [row for row in text.splitlines() if row.startswith("| all ")]
    assert len(rows) == 1
    return [row for row in rows if float(row.split("|")[-2]) < 1e-4]


def like(size: int) -> Found:
    """The trainers side by side, and what that costs beside importing torch."""
    import statistics

    xframe = str(Path(sys.executable).with_name("xframe"))
    found = json.loads(subprocess.run([xframe, *LIKE, "--json"], capture_output=True, text=True, check=True).stdout)
    updates = {name: counts["num_updates"] for name, counts in found["plans"].items()}
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


def inference(size: int) -> Found:
    """Random plans told again from their rows."""
    from infer_sweep import sweep

    found = sweep(size, SEED)
    told = (
        f"{found.cases:,} random plans inferred from their rows, and {found.corrupted:,} runs with a row changed "
        f"({found.other_runs:,} of these follow another plan)"
    )
    return {"size": told, "bad": found.mismatches}


def causes(size: int) -> Found:
    """Departures that the causes were not made for."""
    from cause_attack import sweep

    found = sweep(size, SEED)
    return {
        "size": f"{found.cases:,} departures of random plans and rows: {found.right:,} causes right, "
        f"{found.certain:,} certain",
        "bad": [*found.wrong_certain],
    }


def damage(size: int) -> Found:
    """Traces damaged at random."""
    from damage_sweep import sweep

    found = sweep(size, SEED)
    return {"size": f"{found.damages:,} random damages to closed and unfinished traces", "bad": found.mistakes}


def kills(size: int) -> Found:
    """Workers killed at random moments."""
    from kill_sweep import sweep

    found = sweep(size, SEED)
    return {"size": f"{found.kills:,} kills of torch and tensorflow workers", "bad": found.mistakes}


def selftest(size: int) -> Found:
    """Known faults, mutations and clean runs."""
    from selftest_proof import full

    return full(size)


BARS = (  # workload, loop, what it is measured by, at most so many times that; see README, "How fast?"
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


def bench(size: int) -> Found:
    """What all loops cost per step, in so many rounds, and the bars that recording is held to."""
    from xframe.bench.measuring import bench_loops

    found = bench_loops(rounds=size)
    loops = {(one.workload["task"], loop.name): loop for one in found for loop in one.loops}
    bad, rows = [], ["| workload | recorded | beside | at most | ratio |", "| --- | --- | --- | --- | --- |"]
    for task, name, beside, most in BARS:
        ratio = loops[task, name].ratio(loops[task, beside])
        row = f"| {task} | {name} | {beside} | {most:.3g} | {ratio} |"
        rows.append(row)
        bad += [row] if ratio is None or ratio.median > most else []
    text = "\n".join([*rows, "", "```text", *map(str, found), "```"])
    (ROOT / "results" / "bench.md").write_text(
        f"# What a training step costs\n\n`xframe bench --rounds {size}`, commit {commit()}. "
        f"Ratios are medians of rounds, with their 95 % intervals.\n\n{text}\n"
    )
    return {"size": f"`xframe bench --rounds {size}`, {len(BARS)} bars; see bench.md", "bad": bad}


def quality(size: int) -> Found:
    """Each task trained to what its text states."""
    done = subprocess.run([sys.executable, "tests/quality.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [row for row in done.stdout.splitlines() if "stated" in row]
    bad = [row for row in rows if not row.endswith("good")] + ([done.stderr[-500:]] if done.returncode else [])
    return {
        "size": f"`python tests/quality.py`: {len(rows)} runs",
        "bad": bad,
        "text": "\n".join(["```", *rows, "```"]),
    }


def slower(text: str) -> list[str]:
    """Where comparing takes longer than DuckDB's join or a fifth of pandas' time, or more than 300 MB."""
    bad = []
    for row in text.splitlines():
        if match := re.search(r": (duckdb|pandas) \|.*xframe takes ([\d.]+) x", row):
            bad += [row] if float(match[2]) > {"duckdb": 1, "pandas": 0.2}[match[1]] else []
        if match := re.search(r": xframe \| [\d.]+ s, (\d+) MB", row):
            bad += [row] if int(match[1]) > 300 else []
    return bad


# What a section rests on, where that is less than everything.
ORDER = ("xframe/order.py", "tests/order_quality.py", "experiments/order_speed.py")

SECTIONS: dict[str, tuple[Callable[[int], Found], int]] = {
    "counting": (counting, 50_000),
    "memory": (memory, 10**15),
    **{f"preset {name}": (preset(name), 300) for name in TRAINERS},
    "contract": (contract, 400),
    "order quality": (script("tests/order_quality.py", improbable), 20_000),
    "order speed": (script("experiments/order_speed.py"), 11),
    "like": (like, 11),
    "inference": (inference, 3000),
    "self-proof": (selftest, 1000),
    "causes": (causes, 1000),
    "damage": (damage, 10_000),
    "kills": (kills, 200),
    "quality": (quality, 1),
    "bench": (bench, 9),
    "trace speed": (script("experiments/trace_speed.py", slower), 10_000_000),
    "trace memory": (script("experiments/trace_speed.py", slower, "--only-xframe"), 100_000_000),
}


def sources(section: str) -> str:
    """A digest of the code that makes a section's figures."""
    digest = hashlib.blake2b(digest_size=16)
    where = ORDER if section.startswith("order ") else SOURCES
    listed = subprocess.run(["git", "ls-files", "-z", *where], cwd=ROOT, capture_output=True, check=True).stdout
    for name in sorted(listed.decode().split("\0")):
        if name.endswith(".py") and (ROOT / name).exists():
            digest.update(name.encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()


def commit() -> str:
    """The commit of that code, and whether it was changed since."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    changes = subprocess.run(
        [*git, "status", "--porcelain", *SOURCES], capture_output=True, text=True, check=True
    ).stdout
    return head.strip() + (", changed" if changes.strip() else "")


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name).partition('+')[0]}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found) + f"; {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def page(done: Found) -> str:
    """The results as Markdown."""
    lines = [
        "# The figures at full size",
        "",
        "Made by `make proof`, which a change of the code makes run again. Sections name their size; random ones begin "
        f"at seed {SEED}. A mismatch is printed in full. What each section does is said in `tests/proof.py`.",
        "",
        "| section | size | mismatches | seconds | commit |",
        "| --- | --- | --- | --- | --- |",
    ]
    kept = {name: done[name] for name in SECTIONS if name in done}
    for name, entry in kept.items():
        size = entry["size"].replace("|", "\\|")
        lines.append(f"| {name} | {size} | {len(entry['bad'])} | {entry['seconds']} | {entry['commit']} |")
    for name, entry in kept.items():
        if entry["bad"]:
            lines += ["", f"## Mismatches: {name}", "", "```", *entry["bad"], "```"]
        if "text" in entry:
            lines += ["", f"## {name.capitalize()}", "", entry["text"].rstrip()]
    lines += ["", *sorted({entry["versions"] for entry in kept.values()}), ""]
    return "\n".join(lines)


def prove(name: str) -> bool:
    """One section, unless it was done with these sources; whether nothing in it is bad."""
    done: Found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    digest, (run, size) = sources(name), SECTIONS[name]
    if done.get(name, {}).get("sources") == digest:
        print(f"{name}: done before")
        return not done[name]["bad"]
    print(f"{name} ...", flush=True)
    made_at, began = commit(), time.perf_counter()
    found = run(size)
    seconds = round(time.perf_counter() - began)
    done[name] = {**found, "seconds": seconds, "sources": digest, "commit": made_at, "versions": versions()}
    RESULTS.write_text(json.dumps(done, indent=2) + "\n")
    PAGE.write_text(page(done))
    print(f"    {found['size']}: {len(found['bad'])} mismatches, {seconds} s", flush=True)
    return not found["bad"]


def main(names: list[str]) -> int:
    if len(names) == 1:
        return int(not prove(names[0]))
    # Each in a process of its own: frameworks are set up once in a process, and trainers set them up their way.
    return max(subprocess.run([sys.executable, __file__, name], check=False).returncode for name in names or SECTIONS)


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - set(SECTIONS)
    sys.exit(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}" if unknown else main(sys.argv[1:]))
