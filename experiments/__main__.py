"""Runs the experiments: see ``python -m experiments --help``."""

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from experiments.common.lab import Lab
from experiments.common.provenance import commit, versions
from experiments.common.results import ClaimError, differences

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
OTHERS = {
    "proof.md": "what is found of known mistakes, and the checks at full size.",
    "rules.md": "how far each framework's updates lie from NumPy's, in every rule, dialect and setting.",
    "bench.md": "what each loop costs per step, bare and recorded.",
    "recording.md": "what recording a script as it is costs.",
    "starting_cost.md": "what `xframe` costs before it does anything.",
}
SOURCES = ("xframe", "adapters", "experiments")


def every():
    """The experiments' names."""
    return sorted(path.parent.name for path in HERE.glob("[0-9][0-9]_*/experiment.py"))


def chosen(wanted):
    names = [name for name in every() if not wanted or any(name.startswith(word) for word in wanted)]
    unknown = [word for word in wanted if not any(name.startswith(word) for name in every())]
    if unknown:
        sys.exit(f"no such experiment: {', '.join(unknown)}; there are {', '.join(every())}")
    return names


def run(name, out, *, small):
    """Runs one experiment, and writes its result to ``out``."""
    load = f"load {os.getloadavg()[0]:.0f} before" if hasattr(os, "getloadavg") else "load unknown"
    began, said = time.monotonic(), {"commit": commit(*SOURCES), "versions": f"{versions()}, {load}"}

    def say(text):
        print(f"\r\x1b[K{name}: {text}" if sys.stderr.isatty() else f"{name}: {text}", file=sys.stderr, flush=True,
              end="" if sys.stderr.isatty() else "\n")  # fmt: skip

    with tempfile.TemporaryDirectory(prefix="xframe-experiment-") as scratch:
        lab = Lab(Path(scratch), say, small=small, home=HERE / name)
        result = importlib.import_module(f"experiments.{name}.experiment").run(lab)
        made = {"command": f"python -m experiments {name[:2]}", **said, "seconds": round(time.monotonic() - began)}
        try:
            if not small:
                importlib.import_module(f"experiments.{name}.learned").learn(result)
        except ClaimError:
            out = Path("xframe-runs", "refuted", name)
            say(f"a claim does not hold; the tables are in {out}\n")
            raise
        finally:
            result.write(out, made)
    say(f"{made['seconds']} s, {out}\n")


def index():
    """The list of all results, a sentence each, from what they say of themselves."""
    lines = ["# Results", "", "## Experiments", ""]
    lines += ["`make experiments` makes them again, `python -m experiments NN` one; each states how precisely.", ""]
    for name in every():
        made = RESULTS / name / "made.json"
        if made.exists():
            said = json.loads(made.read_text(encoding="utf-8"))
            lines.append(f"- [{name[:2]}: {said['question']}]({name}/README.md) {said.get('answer', '')}".rstrip())
    lines += ["", "## xframe itself", "", *(f"- [{file}]({file}): {what}" for file, what in OTHERS.items())]
    (RESULTS / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments", description=sys.modules["experiments"].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NN", help="experiments, by number or name; default: all")
    parser.add_argument("--small", action="store_true", help="few seeds and steps; writes to xframe-runs/small")
    parser.add_argument("--check", action="store_true", help="compare with results/ instead of replacing them")
    given = parser.parse_args()
    failed = []
    for name in chosen(given.names):
        out = RESULTS / name
        if given.small or given.check:
            out = Path("xframe-runs", "small" if given.small else "check", name)
            shutil.rmtree(out, ignore_errors=True)
        try:
            run(name, out, small=given.small)
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        if given.check:
            differing = list(differences(RESULTS / name, out))
            print(*(differing or [f"{name}: reproduced"]), sep="\n")
            failed += [name] * bool(differing)
    if not (given.small or given.check):
        index()
    if failed:
        sys.exit(f"failed: python -m experiments {' '.join(name[:2] for name in failed)}")


if __name__ == "__main__":
    main()
