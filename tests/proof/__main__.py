"""Usage: python -m proof [SECTION ...]        In tests/, or by ``make proof``; see results/proof.md.

Resumable: a section that was done with these very sources is not done again.
"""

import json
import os
import subprocess
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from experiments.common.provenance import versions
from proof.provenance import ROOT, commit, sources
from proof.sections import SECTIONS, SEED, Outcome

sys.path.append(str(ROOT / "tests" / "trainers"))
RESULTS = ROOT / "results" / "proof.json"
PAGE = ROOT / "results" / "proof.md"


def page(done: Outcome) -> str:
    """The results as Markdown."""
    lines = [
        "# The figures at full size",
        "",
        "Made by `make proof`, which a change of the code makes run again. Sections name their size; random ones begin "
        f"at seed {SEED}. A mismatch is printed in full. `tests/proof/sections.py` states what each does.",
        "",
        "| section | size | mismatches | seconds | commit |",
        "| --- | --- | --- | --- | --- |",
    ]
    kept = {name: done[name] for name in SECTIONS if name in done}
    for name, entry in kept.items():
        size = entry["size"].replace("|", "\\|")
        lines.append(f"| {name} | {size} | {len(entry['bad'])} | {entry['seconds']} | {entry['commit']} |")
    for name, entry in kept.items():
        if entry["bad"]:
            lines += ["", f"## Mismatches: {name}", "", "```", *entry["bad"], "```"]
        if "text" in entry:
            lines += ["", f"## {name.capitalize()}", "", entry["text"].rstrip()]
    lines += ["", *sorted({entry["versions"] for entry in kept.values()}), ""]
    return "\n".join(lines)


def prove(name: str) -> bool:
    """One section, unless it was done with these sources; whether nothing in it is bad."""
    done: Outcome = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    digest, (run, size) = sources(name), SECTIONS[name]
    if done.get(name, {}).get("sources") == digest:
        print(f"{name}: done before")
        return not done[name]["bad"]
    print(f"{name} ...", flush=True)
    made_at, began = commit(), time.perf_counter()
    outcome = run(size)
    seconds = round(time.perf_counter() - began)
    done[name] = {**outcome, "seconds": seconds, "sources": digest, "commit": made_at, "versions": versions()}
    RESULTS.write_text(json.dumps(done, indent=2) + "\n")
    PAGE.write_text(page(done))
    print(f"    {outcome['size']}: {len(outcome['bad'])} mismatches, {seconds} s", flush=True)
    return not outcome["bad"]


def main(names: list[str]) -> int:
    if len(names) == 1:
        return int(not prove(names[0]))
    # Each in a process of its own: frameworks are set up once in a process, and trainers set them up their way.
    return max(
        subprocess.run([sys.executable, "-m", "proof", name], check=False).returncode for name in names or SECTIONS
    )


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - set(SECTIONS)
    sys.exit(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}" if unknown else main(sys.argv[1:]))
