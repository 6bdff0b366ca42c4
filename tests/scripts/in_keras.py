"""Runs the scripts in Keras, bare and then watched, and writes down what they left."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np

import xframe

WRITTEN = Path(__file__).with_name("written")
folder, facts = Path(sys.argv[1]), {}
for name in ("keras_fit", "keras_batches"):
    bare = runpy.run_path(str(WRITTEN / f"{name}.py"))
    with xframe.watch(folder / f"{name}.trace"):
        left = runpy.run_path(str(WRITTEN / f"{name}.py"))
    weights = zip(bare["model"].get_weights(), left["model"].get_weights(), strict=True)
    losses = left["history"].history["loss"] if "history" in left else left["losses"]
    rates = [float(left["rate"](step)) for step in range(8)] if "rate" in left else []
    same = all(np.array_equal(a, b) for a, b in weights)
    facts[name] = {"same_weights": same, "losses": [float(loss) for loss in losses], "rates": rates}
(folder / "left.json").write_text(json.dumps(facts))
