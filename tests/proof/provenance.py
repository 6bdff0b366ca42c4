"""Which code and which packages made a figure."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("xframe", "adapters", "tests")
PACKAGES = (  # whose versions matter
    "pytorch-ignite",
    "numpy",
    "torch",
    "tensorflow",
    "keras",
    "tf_keras",
    "lightning",
    "transformers",
    "accelerate",
    "optax",
    "jax",
    "pyarrow",
    "duckdb",
    "pandas",
)
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
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    changes = subprocess.run(
        [*git, "status", "--porcelain", *SOURCES], capture_output=True, text=True, check=True
    ).stdout
    return head.strip() + (", changed" if changes.strip() else "")


def versions() -> str:
    shown = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            shown.append(f"{name} {importlib.metadata.version(name).partition('+')[0]}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(shown) + f"; {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
