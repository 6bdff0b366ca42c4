"""Accumulated gradients against the large batch that they stand for: sweep.toml run, and how far apart all end."""

import tomllib
from pathlib import Path

from experiments.common.results import EXACT, Kind, order
from experiments.common.training import distance
from xframe import Trace

SWEEP = Path(__file__).with_name("sweep.toml")
LARGE = "batches of 256, the rest kept", "batches of 256, the rest dropped", "batch normalisation, batches of 256"
KINDS = {
    **dict.fromkeys(("case", "steps", "updates", "samples seen", "alike"), EXACT),
    "loss held out": Kind(".9f", 1e-7),
    **dict.fromkeys(("from 256 kept", "from 256 dropped", "frameworks differ by"), order(1e-12)),
}


def run(lab):
    result = lab.result(
        "Is accumulating gradients the same as a larger batch?",
        """`experiments/04_accumulation/sweep.toml`, run by `xframe sweep`: the perceptron on 1,437 digits, 10 epochs,
        SGD with a learning rate of 0.1, in float64, torch:eager and tensorflow:block, from the same starting
        weights with the samples in the same order: 5 batches of 256 and one of 157, or 5 windows of 4 batches of 64
        and one of batches of 64, 64 and 29. *From 256 kept* and *from 256 dropped*: the largest difference of any
        final weight of torch from the one after batches of 256, relative to the largest weight. *Frameworks differ
        by*: the same, between the two. There is one seed: float64 and one thread leave nothing to chance but the
        task.""",
    )
    table = lab.sweep(SWEEP)
    cases = [case["name"] for case in tomllib.loads(SWEEP.read_text())["cases"]]
    traces = {
        (row.case, row.adapter): Trace.open(file) for row, file in zip(table.itertuples(), table["trace"], strict=True)
    }
    rows = []
    for case in cases:
        ours, theirs = (traces[case, adapter] for adapter in ("torch", "tensorflow"))
        kept, dropped = LARGE[2:] * 2 if case.startswith("batch normalisation") else LARGE[:2]
        rows.append(
            {
                "case": case,
                "steps": ours.counts().num_steps,
                "updates": ours.counts().num_updates,
                "samples seen": ours.counts().samples_seen,
                "loss held out": ours.validations[-1].loss,
                "from 256 kept": None if case in LARGE else distance(traces[kept, "torch"], ours),
                "from 256 dropped": None
                if case in LARGE or kept is dropped
                else distance(traces[dropped, "torch"], ours),
                "frameworks differ by": distance(ours, theirs),
                "alike": ours.certificate == theirs.certificate,
            }
        )
    result.table("windows", "Each way", KINDS, rows)
    return result
