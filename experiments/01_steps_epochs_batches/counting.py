"""A case's row: what its formula gives, and what was observed."""

import math

import xframe


def counted(case, point):
    hand = {what: round(eval(case[what], vars(math))) for what in ("steps", "updates")}  # noqa: S307
    seen = point.counted("steps", "updates")
    row = {"case": case["what"], "samples": case["samples"]}
    row["plan"] = ", ".join(f"{name} {value}" for name, value in case["plan"].items())
    for what in hand:
        row |= {f"{what} by hand": f"{case[what].replace('*', '·')} = {hand[what]:,}", what: seen[what]}
    row |= point.counted("epochs", "samples seen", "last batch")
    return {**row, "as by hand": hand == seen, "alike": point.alike}


def refusal(case):
    try:
        said = str(xframe.TrainingPlan(**case["plan"]).counts(num_samples=case["samples"]))
    except xframe.XframeError as error:
        said = str(error)
    return {"case": case["what"], "samples": case["samples"], "what is said": said}
