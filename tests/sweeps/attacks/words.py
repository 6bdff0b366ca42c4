"""Whether what a cause says holds: its numbers, the fix that it names, its equations of totals."""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter

from sweeps.attacks.fields import LEFTOVERS, REMAINDERS
from sweeps.attacks.rows import Attack, made, seen_alike, unlabelled
from xframe.comparison.result import Explanation
from xframe.diagnosis.reference import changed
from xframe.inference.reproducing import cells
from xframe.plan import counting

NUMBER = r"(\d[\d,]*)"
# What sentences state that can be worked out; a sweep counts how often each was read, so that none falls silent.
STATED = {
    "mod": rf"\({NUMBER} mod {NUMBER} = {NUMBER}\)",
    "due": rf"[:,] (?:and )?{NUMBER} (step|update)s? where {NUMBER} (?:is|are) due, {NUMBER} (more|fewer)",
    "batches of": rf"(?:in its first {NUMBER} steps?, )?takes batches of {NUMBER}; .* has {NUMBER}",
    "product": rf"{NUMBER} = {NUMBER} x {NUMBER},",
    "sample in step": rf"has sample {NUMBER} in step {NUMBER} in place of {NUMBER}",
    "twice": r"and so twice in its pass",
}


def _int(text: str) -> int:
    return int(text.replace(",", ""))


def untrue(cause: Explanation, attack: Attack, *, planned: bool, read: Counter[str]) -> list[str]:
    """What of a cause's words does not hold; counts in ``read`` what was worked out."""
    n, plan, candidate, reference = attack.num_samples, attack.plan, attack.candidate, attack.reference
    stated = {name: re.findall(pattern, cause.sentence) for name, pattern in STATED.items()}
    read.update({name: len(found) for name, found in stated.items()})
    wrong = []
    for one, b, r in stated["mod"]:
        if _int(one) % _int(b) != _int(r) or (planned and (_int(one), _int(b)) != (n, plan.batch_size)):
            wrong.append("mod")
    for have, noun, due, by, way in stated["due"]:
        if noun == "step":
            counted = len(candidate), len(reference)
        else:
            assert candidate.updates is not None
            assert reference.updates is not None
            counted = int(candidate.updates[-1]), int(reference.updates[-1])
        if (_int(have), _int(due)) != counted or abs(counted[0] - counted[1]) != _int(by):
            wrong.append("due")
        if (counted[0] > counted[1]) != (way == "more"):
            wrong.append("more or fewer")
    for first, size, other in stated["batches of"]:
        sizes = candidate.batch_size[: _int(first) if first else None]
        if _int(size) != int(sizes.max()) or (planned and _int(other) != plan.batch_size):
            wrong.append("batches of")
    for product, a, b in stated["product"]:
        if _int(product) != _int(a) * _int(b):
            wrong.append("product")
    for sample, step, other in stated["sample in step"]:
        if candidate.ids is not None and _int(sample) not in candidate.batch(_int(step)):
            wrong.append("sample in step")
        if reference.ids is not None and _int(other) not in reference.batch(_int(step)):
            wrong.append("sample in place of")
    if stated["twice"] and candidate.ids is not None and attack.change is None:
        where = cells(plan, n, counting.rows(plan, n, 0, len(reference)))
        if stated["sample in step"] and len(where.passes) == len(candidate.ids):
            sample, real = _int(stated["sample in step"][0][0]), ~where.padding
            pairs = Counter(zip(where.passes[real].tolist(), candidate.ids[real].tolist(), strict=True))
            if not any(count > 1 for (_, one), count in pairs.items() if one == sample):
                wrong.append("twice in its pass")
    if cause.step is not None and not 0 <= cause.step <= max(len(candidate), len(reference)):
        wrong.append("step")
    if "{" in "".join(cause.fix.values()):
        wrong.append("braces")
    if planned:
        wrong += _fixed(cause, attack)
    if cause.by_chance:
        wrong += _chance(cause, attack)
    return wrong


def _fixed(cause: Explanation, attack: Attack) -> list[str]:
    plan, fix, wrong = attack.plan, cause.fix, []
    if cause.name in REMAINDERS.values():
        keeps = {"keep": "drop_last=False", "drop": "drop_last=True"}.get(plan.remainder)
        if keeps is not None and keeps not in fix.get("torch", ""):
            wrong.append("fix of a remainder")
    flushes = cause.name in LEFTOVERS.values() and plan.accumulation_remainder == "flush"
    if flushes and "i + 1 == len(loader)" not in fix.get("torch", ""):
        wrong.append("fix of a leftover")
    match = re.fullmatch(r'(\w+) = "?(\w+)"?', fix.get("plan", ""))
    if cause.certain and match:
        # A plan so fixed must give the candidate's rows.
        ((name, value),) = tomllib.loads(fix["plan"]).items()
        fields = {**dict.fromkeys(("epochs", "steps", "updates")), name: value} if name == "steps" else {name: value}
        rows = made(changed(plan, **fields), attack.num_samples)
        seen = attack.candidate if attack.kind != "a field, epochs from 1" else unlabelled(attack.candidate)
        if rows is None or not seen_alike(seen, rows):
            wrong.append(f"fix of the plan: {match[0]}")
    return wrong


def _chance(cause: Explanation, attack: Attack) -> list[str]:
    """Each side of an equation of totals, worked out."""
    candidate, reference, wrong = attack.candidate, attack.reference, []
    for part in cause.by_chance.split("; "):
        kind, _, text = part.partition(" totals agree only by chance: ")
        if kind == "step" and len(candidate) != len(reference):
            wrong.append("by chance: steps")
        if kind == "update":
            assert candidate.updates is not None
            assert reference.updates is not None
            if candidate.updates[-1] != reference.updates[-1]:
                wrong.append("by chance: updates")
        values = []
        for side in text.split(" per ")[0].split(" = "):
            if "both are" in side:
                continue
            match = re.fullmatch(r"(?:([\d,]+) x )?(?:([⌈⌊])([\d,]+)/([\d,]+)[⌉⌋]|([\d,]+))", side)
            if not match:
                wrong.append(f"by chance: {side}")
                continue
            times = _int(match[1]) if match[1] else 1
            if match[5]:
                values.append(times * _int(match[5]))
            else:
                up = math.ceil if match[2] == "⌈" else math.floor
                values.append(times * up(_int(match[3]) / _int(match[4])))
        if len(set(values)) > 1:
            wrong.append(f"by chance: {text}")
    return wrong
