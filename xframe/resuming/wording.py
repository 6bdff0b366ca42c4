"""The outcome as text, and as Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from xframe.errors import counted, printable
from xframe.resuming.kept import NOTHING_RESTORED
from xframe.resuming.proof import Item, Proof
from xframe.tables import escaped, plain

_MARK = {"kept": "kept", "lost": "LOST", "not judged": "not judged"}


def text(proof: Proof) -> str:
    """For a terminal."""
    lines = [*_runs(proof), ""]
    lines += plain([["", "", "what was observed"], *_rows(proof)], indent=2)
    for cause, seen, fixes in _causes(proof):
        lines += ["", f"Lost: {seen}. [{cause}]"]
        lines += plain([["Keep it:" if not i else "", at, fix] for i, (at, fix) in enumerate(fixes.items())], indent=2)
    lines += ["", *proof.notes, *_last(proof)]
    return "\n".join(line.rstrip() for line in lines)


def markdown(proof: Proof) -> str:
    """For a page or a pull request."""
    lines = [f"# Resume: {proof.verdict}", "", *(f"{escaped(line)}  " for line in _runs(proof)), ""]
    lines += ["| thing | found | what was observed |", "| --- | --- | --- |"]
    lines += ["| " + " | ".join(map(escaped, row)) + " |" for row in _rows(proof)]
    for cause, seen, fixes in _causes(proof):
        lines += ["", f"**`{cause}`**: {escaped(seen)}.", ""]
        lines += [f"- {at}: {escaped(fix)}" for at, fix in fixes.items()]
    lines += ["", *(f"{escaped(line)}  " for line in (*proof.notes, *_last(proof)))]
    return "\n".join(lines)


def _runs(proof: Proof) -> list[str]:
    steps, updates = proof.steps, proof.updates
    again = proof.steps["cut"] - proof.step
    lines = [f"whole    {_amount(steps['whole'], updates['whole'])}"]
    lines += [f"cut      after step {proof.after:,}, by {proof.by}"]
    if proof.names == (NOTHING_RESTORED,):
        return [*lines, f"resumed  from the very start: {_amount(steps['resumed'], updates['resumed'])}"]
    goes_on = f"resumed  goes on from step {proof.step:,}"
    goes_on += f", {counted(again, 'step')} before the cut" if again > 0 else ""
    return [*lines, f"{goes_on} (shown by its {proof.join}): {_amount(steps['resumed'], updates['resumed'])}"]


def _amount(steps: int, updates: int | None) -> str:
    return counted(steps, "step") + ("" if updates is None else f", {counted(updates, 'update')}")


def _causes(proof: Proof) -> list[tuple[str, str, Mapping[str, str]]]:
    """Each cause once: its name, all that shows it, and what keeps it."""
    items = [(item.cause, item) for item in proof.lost if item.cause and item.fix]
    shown: dict[str, list[Item]] = {cause: [] for cause, _ in items}
    for cause, item in items:
        shown[cause].append(item)
    return [(cause, "; ".join(map(_lost, ones)), ones[0].fix) for cause, ones in shown.items()]


def _lost(item: Item) -> str:
    """A sentence with its subject."""
    whose = "the resumed run's " + item.name if item.name in ("losses", "final weights") else "the resumed run"
    return f"{whose} {item.detail}"


def _rows(proof: Proof) -> list[list[str]]:
    return [[item.name, _MARK[item.found], _sentence(item)] for item in proof.items]


def _sentence(item: Item) -> str:
    return item.detail + (f"  [{item.cause}]" if item.cause else "")


def _last(proof: Proof) -> list[str]:
    same = len({*proof.certificates.values()}) == 1 and proof.names != (NOTHING_RESTORED,)
    lines = [f"certificate of both: {proof.certificates['whole']}"] if same else []
    lines += [f"run: {printable(proof.folder)}"]
    said = {
        "passed": "the resumed run is the run that it continues, to the bit",
        "failed": f"the resumed run is not the run that it continues: {', '.join(proof.names)}",
        "inconclusive": "whether the resumed run is the run that it continues cannot be judged",
    }[proof.verdict]
    return [*lines, f"{proof.verdict.upper()}  {said}"]


def again(proof: Proof) -> str:
    """The command that compares the two runs in full."""
    return shlex.join(["xframe", "compare", str(proof.folder / "whole.trace"), str(proof.folder / "joined.trace")])
