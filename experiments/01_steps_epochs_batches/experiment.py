"""The textbook's arithmetic of steps, epochs and batch size: every case of cases.toml run and counted."""

import math
import tomllib
from pathlib import Path

import xframe
from experiments.common.lab import BOTH
from experiments.common.results import EXACT
from experiments.common.tasks import named
from experiments.common.training import Trial

CASES = tomllib.loads(Path(__file__).with_name("cases.toml").read_text())
SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1797)
COLUMNS = (
    *("case", "samples", "plan", "steps by hand", "steps", "updates by hand", "updates", "epochs", "samples seen"),
    *("last batch", "as by hand", "alike"),
)


def run(lab):
    result = lab.result(
        "Steps, epochs and batch size: does the textbook's arithmetic hold?",
        """A perceptron on the first n of the handwritten digits (from the beginning again after the 1,797th), in
        float32, in torch:eager and tensorflow:block. What is counted are the rows that were recorded in the training
        step, and the updates that the optimizer made. *By hand* is the formula of the case, evaluated without xframe;
        *alike* means equal certificates: the same samples and updates in each step of both frameworks.""",
    )
    cases, sizes = (CASES["case"][::4], SIZES[::6]) if lab.small else (CASES["case"], SIZES)
    stairs = [(size, rest) for size in sizes for rest in ("keep", "drop")]
    trials = [Trial(c["plan"], named("textbook", n=c["samples"]), a, labels=c) for c in cases for a in BOTH]
    trials += [
        Trial({"batch_size": size, "epochs": 1, "remainder": rest}, named("textbook", n=1797), adapter)
        for size, rest in stairs
        for adapter in BOTH
    ]
    runs = lab.train(trials)
    pairs = list(zip(runs[::2], runs[1::2]))
    result.table(
        "cases",
        "Every case: counted by hand, and observed in both frameworks",
        dict.fromkeys(COLUMNS, EXACT),
        [counted(*pair) for pair in pairs[: len(cases)]],
    )
    seen = {key: pair[0].counts for key, pair in zip(stairs, pairs[len(cases) :])}
    steps = [
        {
            "batch size": size,
            "steps, rest kept": seen[size, "keep"].num_steps,
            "steps, rest dropped": seen[size, "drop"].num_steps,
            "last batch kept": seen[size, "keep"].last_batch_size,
            "samples dropped": seen[size, "drop"].samples_dropped,
        }
        for size in sizes
    ]
    result.table("sizes", "A pass over 1,797 samples", dict.fromkeys(steps[0], EXACT), steps)
    refusals = [{"case": c["what"], "samples": c["samples"], "what is said": refusal(c)} for c in CASES["refused"]]
    result.table("refused", "Cases without an answer", dict.fromkeys(refusals[0], EXACT), refusals)
    return result


def counted(one, other):
    """A case's row."""
    case, counts = one.trial.labels, one.counts
    hand = {what: round(eval(case[what], vars(math))) for what in ("steps", "updates")}  # noqa: S307
    return {
        "case": case["what"],
        "samples": case["samples"],
        "plan": ", ".join(f"{name} {value}" for name, value in case["plan"].items()),
        **{f"{what} by hand": f"{case[what].replace('*', '·')} = {hand[what]:,}" for what in hand},
        "steps": counts.num_steps,
        "updates": counts.num_updates,
        "epochs": counts.num_epochs,
        "samples seen": counts.samples_seen,
        "last batch": counts.last_batch_size,
        "as by hand": hand == {"steps": counts.num_steps, "updates": counts.num_updates},
        "alike": one.trace.certificate == other.trace.certificate,
    }


def refusal(case):
    try:
        return str(xframe.TrainingPlan(**case["plan"]).counts(num_samples=case["samples"]))
    except xframe.XframeError as error:
        return str(error)
