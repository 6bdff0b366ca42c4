"""The tables that scikit-learn bundles, read as it reads them, but without an import of it, which takes a second."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """1,797 images as rows of 64 pixels from 0 to 16, and their labels: ``sklearn.datasets.load_digits``."""
    table = _table("digits.csv.gz", ",")
    return table[:, :-1], table[:, -1].astype(int)


def diabetes() -> tuple[NDArray[Any], NDArray[Any]]:
    """10 measurements of 442 patients, and each one's disease progression: ``sklearn.datasets.load_diabetes``."""
    return _table("diabetes_data_raw.csv.gz"), _table("diabetes_target.csv.gz")


def _table(name: str, delimiter: str | None = None) -> NDArray[Any]:
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    path = Path(package.submodule_search_locations[0], "datasets", "data", name)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return np.loadtxt(lines, delimiter=delimiter)
