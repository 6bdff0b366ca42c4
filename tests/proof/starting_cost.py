"""What does xframe cost beside the frameworks it runs? Ratios of medians, measured interleaved in one run.

Usage: python tests/proof/starting_cost.py [ROUNDS]        (Markdown on stdout; nothing else should run meanwhile)
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
PYTHON = [sys.executable]
XFRAME = [str(Path(sys.executable).with_name("xframe"))]
SMALL = {
    "import torch": [*PYTHON, "-c", "import torch"],
    "nothing": [*PYTHON, "-c", "pass"],
    "import xframe": [*PYTHON, "-c", "import xframe"],
    "xframe plan": [*XFRAME, "plan", "--samples", "60000", "--batch-size", "1000", "--epochs", "10"],
    "xframe plan --step": [*XFRAME, "plan", "--samples", "60000", "--batch-size", "1000", "--step", "7"],
}
LARGE = {
    "both at once": [*XFRAME, "verify"],
    "torch alone": [*XFRAME, "verify", "--adapters", "torch"],
    "tensorflow alone": [*XFRAME, "verify", "--adapters", "tensorflow"],
}


def seconds(command, folder):
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def medians(commands, rounds):
    with tempfile.TemporaryDirectory() as folder:
        for command in commands.values():  # once unmeasured, so that files are in memory and compiled
            seconds(command, folder)
        taken = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                taken[name].append(seconds(command, folder))
    return {name: statistics.median(times) for name, times in taken.items()}


small, large = medians(SMALL, ROUNDS), medians(LARGE, max(3, ROUNDS // 2))
torch = small["import torch"]
slower = max(large["torch alone"], large["tensorflow alone"])
print(f"`python tests/proof/starting_cost.py {ROUNDS}`, {os.cpu_count()} cores\n")
print("| command | median s | ratio to `import torch` |\n| --- | --- | --- |")
for name, taken in small.items():
    print(f"| {name} | {taken:.3f} | {taken / torch:.2f} |")
added = small["import xframe"] - small["nothing"]
print(f"| added by `import xframe` | {added:.3f} | {added / torch:.3f} |")
print("\n| main job | median s | ratio to the slower alone |\n| --- | --- | --- |")
for name, taken in large.items():
    print(f"| {name} | {taken:.2f} | {taken / slower:.2f} |")
