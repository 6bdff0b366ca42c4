"""Verifies that pass, several at a time: each ends by exit code 0, and none by a signal after its verdict."""

import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from sweeps import Result

AT_ONCE = 8
BOTH = 6  # one of that many runs torch and tensorflow, the others numpy


@dataclass
class Endings(Result):
    """``endings``: exit codes, negative for signals, by adapters."""

    endings: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        lines = [f"{count:6,}  {adapters}: exit {code}" for (adapters, code), count in sorted(self.endings.items())]
        return "\n".join([f"{self.cases:,} runs of verify, {AT_ONCE} at a time", *lines])


def run(size: int, seed: int) -> Endings:
    """That many runs of verify, a sixth of them with both frameworks."""
    rng, result = random.Random(seed), Endings()
    adapters = ["torch,tensorflow" if i % BOTH == BOTH - 1 else "numpy" for i in range(size)]
    plans = [["--epochs", rng.randint(1, 3), "--batch-size", rng.choice([32, 64, 100])] for _ in adapters]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(AT_ONCE) as pool:
        for which, (code, bad) in zip(adapters, pool.map(partial(verify, name), adapters, plans), strict=True):
            result.cases += 1
            result.endings[which, code] += 1
            result.mismatches += bad
    return result


def verify(folder: str, adapters: str, plan: list[object]) -> tuple[int, list[str]]:
    """How one run ends, and what is wrong with that."""
    command = [sys.executable, "-m", "xframe", "verify", "--adapters", adapters, *map(str, plan), "--json"]
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False)
    passed = '"verdict": "passed"' in done.stdout
    text = f"{' '.join(command[3:])}: exit {done.returncode}, passed: {passed}: {done.stderr[-1000:]}"
    return done.returncode, [] if passed and done.returncode == 0 else [text]
