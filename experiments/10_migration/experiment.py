"""A Keras script migrated to PyTorch: at each stage both are recorded and compared, and one mistake is mended."""

import json
import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from experiments.common.results import EXACT
from experiments.common.training import ONE_THREAD, QUIET, ROOT

HERE = Path(__file__).parent
MISTAKES = tomllib.loads((HERE / "mistakes.toml").read_text())["mistake"]
JUDGED = "exit", "verdict", "identical steps", "first difference", "causes", "place", "what is said of it"


def run(lab):
    result = lab.result(
        "A Keras script migrated to PyTorch, with the mistakes that people make: is each caught?",
        """`keras_script.py` is migrated to `torch_port.py`, both in `experiments/10_migration`: a convolution, batch
        normalisation, a falling rate, clipped gradients, a validation after each epoch. The first port has all mistakes
        of `mistakes.toml` at once; at each stage both scripts are recorded as they are by `xframe record`, compared by
        `xframe compare`, and the mistake at hand is mended. Then each is made alone. *Identical steps* are those before
        the first difference, *causes* how many are listed, *place* which of them names the mistake, none if it is said
        elsewhere in the report. One seed: nothing here is left to chance.""",
    )
    lab.folder.mkdir(exist_ok=True)
    mistakes = MISTAKES[-2:] if lab.small else MISTAKES
    scripts = {"keras_0": (HERE / "keras_script.py").read_text(), "torch_last": (HERE / "torch_port.py").read_text()}
    for number in range(len(mistakes), 0, -1):
        later = scripts.get(f"torch_{number}", scripts["torch_last"])
        assert mistakes[number - 1]["right"] in later, mistakes[number - 1]["what"]
        scripts[f"torch_{number - 1}"] = later.replace(mistakes[number - 1]["right"], mistakes[number - 1]["wrong"])
    for number, mistake in enumerate(mistakes):
        right, wrong = mistake.get("alone") or (mistake["right"], mistake["wrong"])
        assert right in scripts["torch_last"], mistake["what"]
        scripts[f"alone_{number}"] = scripts["torch_last"].replace(right, wrong)
    ordered = dict(enumerate(m["keras"] for m in mistakes if "keras" in m)) or {0: MISTAKES[1]["keras"]}
    scripts["keras_1"] = scripts["keras_0"].replace(*ordered[0])
    record(lab, "keras_1", scripts)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: record(lab, name, scripts), [name for name in scripts if name != "keras_1"]))
    begins = next((i + 1 for i, m in enumerate(mistakes) if "keras" in m), 0)
    stages, alone = [], []
    for stage, mistake in enumerate([*mistakes, None]):
        right = f"torch_{stage}" if mistake else "torch_last"
        row = {"stage": stage, "to be mended": mistake["what"] if mistake else "nothing"}
        stages.append(row | judged(lab, mistake, f"keras_{int(stage >= begins)}", right))
        if mistake:
            row = {"mistake": mistake["what"]}
            alone.append(row | judged(lab, mistake, f"keras_{int('keras' not in mistake)}", f"alone_{stage}"))
    result.table("stages", "Stage by stage", dict.fromkeys(("stage", "to be mended", *JUDGED), EXACT), stages)
    result.table(
        "alone", "Each mistake alone, in a port otherwise right", dict.fromkeys(("mistake", *JUDGED), EXACT), alone
    )
    return result


def xframe(lab, *words):
    path = os.pathsep.join(filter(None, (str(ROOT), str(ROOT / "adapters"), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, **ONE_THREAD, **QUIET, "PYTHONPATH": path}
    command = [sys.executable, "-m", "xframe", *words]
    return subprocess.run(command, cwd=lab.folder, env=environment, capture_output=True, text=True)


def record(lab, name, scripts):
    (lab.folder / f"{name}.py").write_text(scripts[name])
    done = xframe(lab, "record", "--out", f"{name}.trace", "--", sys.executable, f"{name}.py")
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-3000:]}")
    lab.say(f"recorded {name}")


def judged(lab, mistake, left, right):
    done = xframe(lab, "compare", "--json", f"{left}.trace", f"{right}.trace")
    found = json.loads(done.stdout)
    first, causes = found["first_difference"], [cause["sentence"] for cause in found["causes"]]
    details = [*causes, *found["explanation"], *(check["detail"] for check in found["checks"] if check["detail"])]
    row = {"exit": done.returncode, "verdict": found["verdict"], "identical steps": first["step"] if first else 87}
    row |= {"first difference": first["check"] if first else "none", "causes": len(causes), "place": None}
    row["what is said of it"] = "nothing more"
    if mistake:
        place = next((i for i, text in enumerate(details) if mistake["says"] in text), None)
        row["place"] = place + 1 if place is not None and place < len(causes) else None
        said = "not named" if place is None else details[place].replace(left, "keras").replace(right, "torch")
        row["what is said of it"] = next((part for part in said.split("; ") if mistake["says"] in part), said)
    return row
