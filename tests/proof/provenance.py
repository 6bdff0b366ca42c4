"""Which code made a figure."""

import hashlib
import subprocess

from experiments.common import provenance
from experiments.common.provenance import ROOT

SOURCES = ("xframe", "adapters", "tests")
# What a section rests on, where that is less than everything.
ORDER = ("xframe/plan/order.py", "tests/sweeps/order.py", "tests/proof/order_speed.py")


def sources(section: str) -> str:
    """A digest of the code that makes a section's figures."""
    digest = hashlib.blake2b(digest_size=16)
    where = ORDER if section.startswith("order ") else SOURCES
    listed = subprocess.run(["git", "ls-files", "-z", *where], cwd=ROOT, capture_output=True, check=True).stdout
    for name in sorted(listed.decode().split("\0")):
        if name.endswith(".py") and (ROOT / name).exists():
            digest.update(name.encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()


def commit() -> str:
    """The commit of that code, and whether it was changed since."""
    return provenance.commit(*SOURCES)
