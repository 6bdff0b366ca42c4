"""What the drift shows."""

import numpy as np

from experiments.common.results import Kind


def learn(result):
    table = result["weights"]

    def cell(setting, runs, updates=500):
        return table.cell(f"after {updates}", setting=setting, runs=runs)

    def value(setting, runs, updates=500):
        return table.value(f"after {updates}", setting=setting, runs=runs)

    both = {precision: f"torch and tensorflow, {precision}" for precision in ("float64", "float32", "bfloat16")}
    nudged = "torch nudged, float32"
    result.say(
        "In the calm training the two frameworks differ after 500 updates by "
        f"{cell('calm', both['float64'])} in float64, {cell('calm', both['float32'])} in float32 and "
        f"{cell('calm', both['bfloat16'])} in bfloat16: each a few units of what its precision can hold, and at "
        "most twice what it was after the first hundred.",
        value("calm", both["float64"]) < 1e-13,
        value("calm", both["float32"]) < 1e-4,
        all(value("calm", runs) <= 2 * value("calm", runs, 100) for runs in both.values()),
    )
    result.say(
        "In the restless one it is another story with the same programs: "
        f"{cell('restless', both['float64'])}, {cell('restless', both['float32'])} and "
        f"{cell('restless', both['bfloat16'])}.",
        value("restless", both["float32"]) > 10 * value("calm", both["float32"]),
        value("restless", both["float64"]) > 10 * value("calm", both["float64"]),
    )
    result.say(
        "That is nothing that one framework does wrong: torch differs from torch by "
        f"{cell('restless', nudged)} once each starting weight is moved to its neighbour among the float32 numbers "
        f"({cell('calm', nudged)} in the calm training). A tolerance for the end of a training says little without "
        "this figure beside it; the first update, at which all of it begins, differs by "
        f"{cell('calm', both['float32'], 1)} in the calm training and {cell('restless', both['float32'], 1)} in the "
        "restless one.",
        0.02 < value("restless", nudged) / value("restless", both["float32"]) < 50,
        0.02 < value("calm", nudged) / value("calm", both["float32"]) < 50,
        value("restless", both["float32"], 1) < 1e-6,
    )
    result.say(
        "bfloat16 is a different matter. Each framework's bfloat16 run is further from its own float64 run "
        f"({cell('calm', 'torch, bfloat16 and float64')} in torch, "
        f"{cell('calm', 'tensorflow, bfloat16 and float64')} in TensorFlow, calm) than the two bfloat16 runs are from "
        f"each other ({cell('calm', both['bfloat16'])}): what they lose, they lose together.",
        value("calm", "torch, bfloat16 and float64") > value("calm", both["bfloat16"]),
        value("calm", "tensorflow, bfloat16 and float64") > value("calm", both["bfloat16"]),
    )
    draw(result)


def draw(result):
    with result.figure(
        "losses",
        "How far the frameworks' losses are apart in each step, by precision, calm and restless",
        2,
        sharey=True,
    ) as panels:
        for axes, (setting, runs) in zip(panels, result.curves.items()):
            for precision, (ours, theirs) in runs.items():
                apart = np.maximum.accumulate(np.abs(np.asarray(ours, float) - np.asarray(theirs, float)))
                axes.plot(np.where(apart > 0, apart, np.nan), label=precision)
            axes.set(title=setting, xlabel="step", yscale="log")
        panels[0].set_ylabel("largest |difference of loss| so far")
        panels[0].legend()
    shown = Kind("").text(result["steps"].rows[0]["runs"])
    result.say(
        f"All {shown} runs made the same steps on the same samples, whatever their precision.",
        result["steps"].rows[0]["all alike"],
    )
    result.say("Not shown: a network with hundreds of layers, or a GPU, whose sums are made in other orders.")
