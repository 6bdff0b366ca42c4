"""A Keras script migrated to PyTorch: at each stage both are recorded and compared, and one mistake is mended."""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .migrating import judged, record, written

HERE = Path(__file__).parent
MISTAKES = tomllib.loads((HERE / "mistakes.toml").read_text())["mistake"]


def run(lab):
    result, mistakes = lab.result(), MISTAKES[-2:] if lab.small else MISTAKES
    edit = next(mistake["keras"] for mistake in MISTAKES if "keras" in mistake)
    scripts = written(mistakes, edit, (HERE / "keras_script.py").read_text(), (HERE / "torch_port.py").read_text())
    record(lab, "keras_1", scripts.pop("keras_1"))  # alone, as the first reads the data
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: record(lab, name, scripts[name]), scripts))
    edited = next((i + 1 for i, mistake in enumerate(mistakes) if "keras" in mistake), 0)
    stages, alone = [], []
    for stage, mistake in enumerate(mistakes):
        row = judged(lab, mistake, f"keras_{int(stage >= edited)}", f"torch_{stage}")
        stages.append({"stage": stage, "to be mended": mistake["what"], **row})
        row = judged(lab, mistake, f"keras_{int('keras' not in mistake)}", f"alone_{stage}")
        alone.append({"mistake": mistake["what"], **row})
    row = judged(lab, None, "keras_1", "torch_last")
    stages.append({"stage": len(mistakes), "to be mended": "nothing", **row})
    result.table("stages", "Stage by stage", stages)
    result.table("alone", "Each mistake alone, in a port otherwise right", alone)
    return result
