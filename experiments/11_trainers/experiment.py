"""What each trainer really does: all asked the same, recorded, explained, compared with their presets."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

from experiments.common.results import EXACT
from experiments.common.training import ONE_THREAD, QUIET, ROOT

ASKING = runpy.run_path(str(Path(__file__).with_name("asking.py")), run_name="asking")


def run(lab):
    samples, batch, trainers = ASKING["SAMPLES"], ASKING["BATCH"], ASKING["TRAINERS"]
    result = lab.result(
        "What does your trainer really do?",
        f"""Each trainer was asked the same, over {samples} samples in batches of {batch}: {samples // batch} full ones
        and one of {samples % batch} in a pass. Its script was recorded by `xframe.watch`, explained as by `xframe
        explain`, and compared with its preset (`xframe plan --like`) step by step: samples and updates. The last column
        has the trainer's own counts; one that is not what was observed is in bold. The scripts, which know nothing of
        being recorded, are in `experiments/11_trainers/scripts.py`.""",
    )
    lab.folder.mkdir(exist_ok=True)
    said, missing = {}, []
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    for trainer in ["pytorch"] if lab.small else trainers:
        command = [sys.executable, "-m", f"{__package__}.asking", trainer, str(lab.folder)]
        environment = {**os.environ, **ONE_THREAD, **QUIET, "PYTHONPATH": path}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            missing.append(f"{trainers[trainer]} did not run: {(done.stderr.strip().splitlines() or ['no word'])[-1]}.")
        else:
            said[trainer] = json.loads((lab.folder / f"{trainer}.json").read_text())
        lab.say(trainer)
    result.setting = " ".join([result.setting, *missing])
    for index, title in enumerate(ASKING["ALL"]):
        asked = [name for name in said if name in ASKING["UNSIZED"].get(title, trainers)]
        rows = [dict(zip(ASKING["HEAD"], ASKING["row"](name, index, title, lab.folder, said[name]))) for name in asked]
        result.table(f"question_{index + 1:02}", title, dict.fromkeys(ASKING["HEAD"], EXACT), rows)
    every = [(name_of(row), row) for table in result.tables for row in table.rows if row["steps"] != "–"]
    names = dict.fromkeys(name for name, _ in every)
    rows = [summed(name, [row for whose, row in every if whose == name]) for name in names]
    rows.append(summed("all", [row for _, row in every]))
    result.table("trainers", "All questions, by trainer", dict.fromkeys(rows[0], EXACT), rows)
    return result


def name_of(row):
    """The trainer, without its arguments."""
    return re.sub(r" \(.*", "", row["trainer"])


def summed(name, rows):
    """What all runs of a trainer come to; bold is what differs."""
    return {
        "trainer": name,
        "runs": len(rows),
        "differ from the preset": sum("**" in row["its preset"] for row in rows),
        "own counts not observed": sum("**" in row["says of itself"] for row in rows),
        "of these, updates": sum(" updates**" in row["says of itself"] for row in rows),
    }
