"""Checkpoints that are damaged at random: each is refused with one clear error, and none is gone on from."""

import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from checkpointed import PLAN
from checkpointed import run as made

from sweeps import Result
from xframe.errors import StateError
from xframe.running.checkpoints import read_checkpoint

KINDS = ("a bit", "a bit of the head", "a digit of the head", "cut", "longer", "zeros", "two bytes swapped", "mixed")


@dataclass
class Spoiled(Result):
    """``kinds``: how many of each kind were refused."""

    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        lines = [f"{count:6,}  {kind}" for kind, count in sorted(self.kinds.items())]
        return "\n".join([f"{self.cases:,} damaged checkpoints", *lines])


def run(size: int, seed: int) -> Spoiled:
    """That many files, each of other bytes than either of two whole checkpoints of one run."""
    rng, result = random.Random(seed), Spoiled()
    with tempfile.TemporaryDirectory() as name:
        whole, file = [], Path(name) / "spoiled"
        for step in (4, 5):
            made(PLAN, Path(name) / f"{step}.trace", file=Path(name) / f"{step}", stop_after=step)
            whole.append((Path(name) / f"{step}").read_bytes())
        while result.cases < size:
            kind = rng.choice(KINDS)
            content = _spoiled(kind, *whole, rng)
            if content in whole:
                continue
            result.cases += 1
            file.write_bytes(content)
            try:
                read_checkpoint(file)
            except StateError:
                result.kinds[kind] += 1
            except Exception as error:
                result.mismatches.append(f"case {result.cases}, {kind}: {type(error).__name__}: {error}")
            else:
                result.mismatches.append(f"case {result.cases}, {kind}: it was taken")
    return result


def _spoiled(kind: str, good: bytes, other: bytes, rng: random.Random) -> bytes:
    content, size, head = bytearray(good), len(good), 8 + int.from_bytes(good[:8], "little")
    at, second = rng.randrange(size), rng.randrange(size)
    match kind:
        case "a bit":
            content[at] ^= 1 << rng.randrange(8)
        case "a bit of the head":
            content[at % head] ^= 1 << rng.randrange(8)
        case "a digit of the head":
            at = rng.choice([i for i in range(8, head) if chr(good[i]).isdigit()])
            content[at] = 48 + (content[at] - 48 + rng.randrange(1, 10)) % 10
        case "cut":
            del content[at:]
        case "longer":
            content += bytes(rng.randrange(1, 50))
        case "zeros":
            length = len(content[at : at + 1000])
            content[at : at + 1000] = bytes(length)
        case "two bytes swapped":
            content[at], content[second] = content[second], content[at]
        case "mixed":
            content[at:] = other[at:]
    return bytes(content)
