"""All of the table, or some of it: ``python -m translations.proving [PART OF AN EXPRESSION]`` in tests/."""

import importlib.util
import os
import random
import re
import sys
import traceback
import warnings
from collections import Counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

from translations import installed, layers, losses, optimizers, schedules
from translations.table import Row, rows
from xframe.translate.layers import common

MOST = 64.0  # eps
ROUNDED = 2.0**29  # where the framework itself rounds a constant to float32
JUDGES = {"optimizer": optimizers.judge, "schedule": schedules.judge, "loss": losses.judge, "layer": layers.judge}


def judge(row: Row) -> tuple[str, float, str | None]:
    """The kind, the distance in eps and what is wrong, if anything."""
    translation = row.translation()
    kind = translation.kind
    if bool(translation) != row.exact:
        return kind, 0.0, f"{row.source} > {row.target}: {'exact' if translation else translation.reasons}"
    if not row.exact:
        return kind, 0.0, None
    if kind == "schedule" and translation.framework == "torch":
        kind = "optimizer"
    worst = 0.0
    written = translation.written
    for each in (written, written.beside) if kind == "optimizer" and written.beside else (written,):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                distance = JUDGES[kind](translation, each)
        except Exception as error:
            if os.environ.get("XFRAME_SHOW"):
                traceback.print_exc()
            return kind, 0.0, f"{row.source} > {row.target}: {type(error).__name__}: {error}\n    {each.code}"
        worst = max(worst, distance)
        if not distance <= (ROUNDED if {common.ROUNDED, common.RESIZED} & {*written.notes} else MOST):
            return kind, distance, f"{row.source} > {row.target}: {distance:.3g} eps\n    {each.code}"
    return kind, worst, None


def possible(row: Row) -> bool:
    """Whether all that it takes is installed."""
    return "optax" not in (row.source.split(".")[0], row.target) or importlib.util.find_spec("optax") is not None


def run(part: str = "", sample: int | None = None, seed: int = 0) -> tuple[list[str], list[str], str]:
    """Rows of a table by kind and direction, what is wrong, and how much there was."""
    chosen = [row for row in rows() if re.search(part, f"{row.source} > {row.target}") and possible(row)]
    if sample is not None:
        chosen = random.Random(seed).sample(chosen, sample)
    counts, refused, rounded, worst, bad = Counter(), Counter(), Counter(), {}, []
    for row in chosen:
        kind, distance, wrong = judge(row)
        if os.environ.get("XFRAME_SHOW"):
            print(f"{distance:9.3g} {kind} {row.source} > {row.target}", file=sys.stderr)
        direction = (kind, row.translation().framework, row.target)
        (counts if row.exact else refused)[direction] += 1
        rounded[direction] += distance > MOST and not wrong
        worst[direction] = max(worst.get(direction, 0.0), distance if distance <= MOST or wrong else 0.0)
        bad += [wrong] if wrong else []
    assert chosen
    heads = ("kind", "from", "to", "exact", "rounded by Keras", "nothing exact", "worst of the exact, eps")
    table = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for one in sorted(worst):
        exact = counts[one] - rounded[one]
        table.append(f"| {' | '.join(one)} | {exact} | {rounded[one]} | {refused[one]} | {worst[one]:.1f} |")
    expressions = len({row.source for row in chosen})
    size = f"{expressions} expressions, {counts.total()} translations, {refused.total()} refusals"
    return table, bad, size


if __name__ == "__main__":
    lines, wrong, size = run(sys.argv[1] if len(sys.argv) > 1 else "")
    if "signatures" in sys.argv[2:]:
        compared, differ = installed.compare()
        wrong, size = wrong + differ, f"{size}, signatures of {', '.join(compared)}"
    print("\n".join([*lines, *wrong, size]))
    sys.exit(bool(wrong))
