"""Accumulated gradients against the large batch that they stand for: sweep.toml run, and how far apart all end."""

from pathlib import Path

from experiments.common.results import Kind, order
from experiments.common.training import distance
from xframe import Trace

SWEEP = Path(__file__).with_name("sweep.toml")
LARGE = "batches of 256, the rest kept", "batches of 256, the rest dropped"
NORMALISED = "batch normalisation, batches of 256"
APART = dict.fromkeys(("from 256 kept", "from 256 dropped", "frameworks differ by"), order(1e-12))


def run(lab):
    result, table = lab.result(), lab.sweep(SWEEP)
    traces = {(row.case, row.adapter): Trace.open(row.trace) for row in table.itertuples()}
    rows = [measured(case, traces) for case in dict.fromkeys(table["case"])]
    result.table("windows", "Each way", rows, {"loss held out": Kind(".9f", 1e-7), **APART})
    return result


def measured(case, traces):
    ours, theirs = (traces[case, adapter] for adapter in ("torch", "tensorflow"))
    kept, dropped = (NORMALISED, None) if case.startswith("batch normalisation") else LARGE

    def away(large):
        return None if large is None or case in (*LARGE, NORMALISED) else distance(traces[large, "torch"], ours)

    counts = ours.counts()
    row = {"case": case, "steps": counts.num_steps, "updates": counts.num_updates, "samples seen": counts.samples_seen}
    row |= {"alike": ours.certificate == theirs.certificate, "loss held out": ours.validations[-1].loss}
    return row | dict(zip(APART, (away(kept), away(dropped), distance(ours, theirs))))
