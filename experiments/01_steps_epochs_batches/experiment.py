"""The textbook's arithmetic of steps, epochs and batch size: every case of cases.toml run and counted."""

import tomllib
from pathlib import Path

from experiments.common.grid import Setup

from .counting import counted, refusal

CASES = tomllib.loads(Path(__file__).with_name("cases.toml").read_text())
SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1797)


def run(lab):
    result = lab.result()
    cases, sizes = (CASES["case"][::4], SIZES[::6]) if lab.small else (CASES["case"], SIZES)
    setups = {case["what"]: Setup(case["plan"], "textbook", {"n": case["samples"]}) for case in cases}
    for size in sizes:
        for rest in ("keep", "drop"):
            plan = {"batch_size": size, "epochs": 1, "remainder": rest}
            setups[size, rest] = Setup(plan, "textbook", {"n": 1797})
    points = lab.grid(setups)
    rows = [counted(case, points[case["what"]]) for case in cases]
    result.table("cases", "Every case: counted by hand, and observed in both frameworks", rows)
    rows = [sized(size, points[size, "keep"].runs[0].counts, points[size, "drop"].runs[0].counts) for size in sizes]
    result.table("sizes", "A pass over 1,797 samples", rows)
    result.table("refused", "Cases without an answer", [refusal(case) for case in CASES["refused"]])
    return result


def sized(size, keep, drop):
    return {
        "batch size": size,
        "steps, rest kept": keep.num_steps,
        "steps, rest dropped": drop.num_steps,
        "last batch kept": keep.last_batch_size,
        "samples dropped": drop.samples_dropped,
    }
