"""Holds the recorded scripts against each other: what is found of each mistake, and what the table says should be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import xframe
from scripts.pairs.running import start
from scripts.pairs.table import PAIRS

TESTS = Path(__file__).parents[2]


class Judged(NamedTuple):
    """What a comparison says of a row.

    Attributes:
        twin: the faithful twin's verdict, None if there is no such twin.
        verdict: of the scripts with the mistake.
        first: the step and check of their first difference.
        cause: the first cause, in words.
        certain: whether it is stated as certain.
        settings: those that differ.
        wrong: what the table expects and was not found.
    """

    twin: str | None
    verdict: str
    first: tuple[int | None, str]
    cause: str
    certain: bool
    settings: list[str]
    wrong: list[str]


def record(folder: Path, rows: Sequence[str]) -> None:
    """Runs both sides of the rows, each framework in a process of its own."""
    start(folder)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    environment |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    for side in ("left", "right"):
        command = [sys.executable, "-m", "scripts.pairs.running", side, str(folder), *rows]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]


def judge(folder: Path, row: str) -> Judged:
    """What is found of one row."""
    pair = PAIRS[row]
    files = {side: folder / f"{row}-{side}.trace" for side in ("left", "right")}
    slipped = {side: folder / f"{row}-{side}_slip.trace" for side in files}
    slip = {side: slipped[side] if slipped[side].exists() else file for side, file in files.items()}
    twin = xframe.compare(*files.values(), order=pair.order)
    comparison = xframe.compare(*slip.values(), order=pair.order)
    facts = comparison.to_dict()
    first = facts["first_difference"]
    causes = facts.get("causes") or [{}]
    settings = [str(one) for one in facts.get("settings") or []]
    found = (first["step"], first["check"]) if first else (None, "none")
    wrong = []
    if pair.twin and twin.verdict != "passed":
        wrong.append(f"the faithful twin {twin.verdict}: {twin.to_dict()['first_difference']}")
    if found != (found[0] if pair.first[0] is None else pair.first[0], pair.first[1]):
        wrong.append(f"first difference {found}, expected {pair.first}")
    where = settings if pair.named.startswith("settings: ") else [str(causes[0].get("sentence"))]
    if not any(pair.named.removeprefix("settings: ") in text for text in where):
        wrong.append(f"{pair.named!r} is not in {where}")
    return Judged(
        twin.verdict if pair.twin else None,
        comparison.verdict,
        found,
        str(causes[0].get("sentence", "")),
        bool(causes[0].get("certain")),
        settings,
        wrong,
    )


if __name__ == "__main__":
    chosen = sys.argv[2:] or list(PAIRS)
    place = Path(sys.argv[1]).absolute()
    place.mkdir(exist_ok=True)
    record(place, chosen)
    for name in chosen:
        print(name, PAIRS[name].mistake)
        for key, value in judge(place, name)._asdict().items():
            print("   ", key, value)
