"""Which code and which packages made a figure."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
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


def commit(*sources: str) -> str:
    """The commit of that code, and whether it was changed since."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    status = [*git, "status", "--porcelain", *(str(ROOT / name) for name in sources)]
    changes = subprocess.run(status, capture_output=True, text=True, check=False).stdout
    return (head.strip() or "unknown") + (", changed" if changes.strip() else "")


def versions() -> str:
    shown = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            shown.append(f"{name} {importlib.metadata.version(name).partition('+')[0]}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(shown) + f"; {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
