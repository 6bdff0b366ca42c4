"""What do six trainers' own ways of resuming lose? Each script of ``resumed/`` by ``xframe prove-resume``.

Usage: python tests/proof/resumed_trainers.py [--only lightning] [--write results/resume.md]

103 samples in batches of 10, three epochs, Adam with a rate that falls, dropout; recorded whole, cut and resumed, with
and without accumulation, and once more with the recipe of docs/howto/resume_trainers.md. Needs the trainers, which the
extra ``trainers`` has. Markdown on stdout; with --write it is also written there, and beside it all facts as JSON, in
which those of trainers that --only leaves out stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from xframe.resuming.proving import prove_resume

SCRIPTS = Path(__file__).parent / "resumed"
TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]
ABOUT = """
Each trainer's own checkpoint and its own way to go on, cut by SIGTERM: 103 samples in batches of 10, three epochs of 11
steps, Adam with a falling rate, dropout. *Lost* are the causes that `xframe prove-resume` names; *weights apart* is the
largest difference of the final weights from those of the run that was not cut, which is repeatable to the bit."""
HEAD = ("trainer", "how", "cut after", "goes on from", "steps", "updates", "lost", "weights apart")


class Way(NamedTuple):
    """One way in which a script is resumed."""

    trainer: str
    how: str
    script: str
    after: int
    arguments: str = ""
    resume: str = "--resume"
    exact: bool = False


WINDOWS = "--accumulation 4 --every 6"
WAYS = (
    Way("torch, by hand", "all states saved, the epoch begun again", "torch_loop", 17),
    Way("Lightning", "ckpt_path", "lightning_fit", 17),
    Way("Lightning", "ckpt_path, within a window of 4", "lightning_fit", 19, WINDOWS),
    Way("Lightning", "ckpt_path, StatefulDataLoader", "lightning_fit", 17, "--stateful"),
    Way("Lightning", "the same, saved at a pass's end", "lightning_fit", 13, "--stateful --every 11"),
    Way("Transformers", "resume_from_checkpoint, windows of 4", "transformers_train", 21, "--accumulation 4"),
    Way("Transformers", "the same, ignore_data_skip", "transformers_train", 21, "--accumulation 4 --skip-nothing"),
    Way("Accelerate", "load_state, skip_first_batches", "accelerate_loop", 17),
    Way("Accelerate", "the same, use_seedable_sampler", "accelerate_loop", 17, "--seedable"),
    Way("Accelerate", "the same, within a window of 4", "accelerate_loop", 19, f"--seedable {WINDOWS}"),
    Way("Keras", "BackupAndRestore, save_freq=5", "keras_fit", 17, resume=""),
    Way("Keras", 'BackupAndRestore, save_freq="epoch"', "keras_fit", 17, "--every epoch", ""),
    Way("Ignite", "Checkpoint, load_objects", "ignite_engine", 17),
    Way("Ignite", "the same, within a window of 4", "ignite_engine", 19, WINDOWS),
    Way("torch, by hand", "within a window of 4", "torch_loop", 19, f"--exact {WINDOWS}", exact=True),
    Way("Lightning", "within a window of 4", "lightning_fit", 19, f"--exact {WINDOWS}", exact=True),
    Way("Accelerate", "within a window of 4", "accelerate_loop", 19, f"--exact {WINDOWS}", exact=True),
    Way("Keras", "within an epoch, from its beginning", "keras_fit", 17, "--exact", "", exact=True),
    Way("Ignite", "within a window of 4", "ignite_engine", 19, f"--exact {WINDOWS}", exact=True),
)


def proven(way: Way) -> dict[str, Any]:
    """What prove-resume says of one."""
    command = [sys.executable, str(SCRIPTS / f"{way.script}.py"), "{dir}", *way.arguments.split()]
    with tempfile.TemporaryDirectory() as folder:
        proof = prove_resume(command, after=way.after, resume=way.resume, out=Path(folder) / "proof")
    facts = proof.to_dict()
    kept = ("verdict", "lost", "after", "step", "steps", "updates", "repeats", "structure", "numbers", "items")
    return {**way._asdict(), **{name: facts[name] for name in kept}}


def apart(fact: dict[str, Any]) -> str:
    """How far the final weights are from the whole run's."""
    item = next((one for one in fact["items"] if one["name"] == "final weights"), None)
    if item is None:
        return "not known"
    return "0" if item["found"] == "kept" else item["detail"].removeprefix("differ by up to ").partition(" ")[0]


def row(fact: dict[str, Any]) -> tuple[str, ...]:
    """Of the table."""
    steps, updates = fact["steps"], fact["updates"]
    lost = ", ".join(f"`{name}`" for name in fact["lost"]) or "nothing: equal to the bit"
    counts = f"{fact['step']} + {steps['resumed']} of {steps['whole']}", f"{updates['joined']} of {updates['whole']}"
    return fact["trainer"], fact["how"], str(fact["after"]), str(fact["step"]), *counts, lost, apart(fact)


def table(facts: list[dict[str, Any]]) -> list[str]:
    """Of ways that were proven."""
    cells = [HEAD, ("---",) * len(HEAD), *map(row, facts)]
    return ["| " + " | ".join(one) + " |" for one in cells]


def page(facts: list[dict[str, Any]]) -> str:
    """Both tables."""
    names = ("torch", "lightning", "transformers", "accelerate", "keras", "tensorflow", "pytorch-ignite")
    versions = ", ".join(f"{name} {found}" for name in names if (found := installed(name)))
    commits = ", ".join(dict.fromkeys(fact["commit"] for fact in facts))
    own, exact = ([fact for fact in facts if fact["exact"] is one] for one in (False, True))
    lines = [
        "# What trainers lose when they resume",
        "",
        f"`python tests/proof/resumed_trainers.py`, commit {commits};",
    ]
    lines += [f"{versions}.", ABOUT, "", *table(own)]
    lines += ["", "With the recipes of [docs/howto/resume_trainers.md](../docs/howto/resume_trainers.md):", ""]
    return "\n".join([*lines, *table(exact), ""])


def installed(name: str) -> str:
    """Its version; empty if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="trainers whose names have this in them")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    from proof.provenance import commit

    data = None if given.write is None else given.write.with_suffix(".json")
    before = [] if data is None or not data.exists() else json.loads(data.read_text(encoding="utf-8"))
    made = {(one["trainer"], one["how"], one["exact"]): one for one in before}
    for way in WAYS:
        if given.only.lower() in way.trainer.lower():
            fact = made[way.trainer, way.how, way.exact] = {**proven(way), "commit": commit()}
            print("| " + " | ".join(row(fact)) + " |", file=sys.stderr, flush=True)
    facts = [made[key] for way in WAYS if (key := (way.trainer, way.how, way.exact)) in made]
    print(page(facts))
    if data is not None:
        given.write.write_text(page(facts), encoding="utf-8")
        data.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
