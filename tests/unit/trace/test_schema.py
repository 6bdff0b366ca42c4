"""The table of columns, and what follows from it."""

import numpy as np
import pytest

from xframe.trace import schema
from xframe.trace.arrow import SCHEMA
from xframe.trace.certificate import Certifier
from xframe.trace.schema import TABLE, unknown_column


def test_each_column_stands_once():
    assert len(schema.COLUMNS) == len(TABLE) == len(set(schema.COLUMNS))
    assert tuple(SCHEMA.names) == schema.COLUMNS


def test_what_the_recorder_takes():
    assert schema.COUNTS == ("updates", "update_attempts", "epoch", "step_in_epoch", "padding")
    assert schema.REALS == ("lr", "loss", "accuracy")


def test_what_a_log_may_have():
    numbers = set(schema.FURTHER) - {*schema.SPARED}
    assert set(schema.IMPORTABLE) == {"step", "batch_size", "ids", *schema.COUNTS, *schema.REALS, *numbers}


def test_the_certificate_covers_what_every_reader_must_know():
    assert schema.CERTIFIED == ("step", "ids_digest", "batch_size", "updates") == Certifier._ROW.names
    assert tuple(column.name for column in TABLE if column.required) == schema.CERTIFIED
    assert schema.GROUPS["structure"] == schema.CERTIFIED
    assert Certifier._ROW.itemsize == 40


def test_what_the_digests_of_a_block_leave_out():
    covered = {name for group in schema.GROUPS for name in schema.GROUPS[group]}
    assert set(schema.COLUMNS) - covered == {
        "time_ns",
        "ids",
        *schema.SPARED,
    }  # another clock; vouched for by a digest; rounded; one replica's
    assert set(schema.GROUPS["labels"]) == {column.name for column in TABLE if column.origin == "declared"}


@pytest.mark.parametrize("name", [*schema.COLUMNS, "position"])
def test_a_column_without_values(name):
    values, known = unknown_column(name, 3)
    assert known.tolist() == [False] * 3
    assert len(values) == (0 if name in schema.LISTS else 3)
    empty = {"f": "[nan, nan, nan]", "V": repr([bytes(16)] * 3), "i": "[-1, -1, -1]" if len(values) else "[]"}
    assert repr(values.tolist()) == empty[values.dtype.kind]
    assert values.dtype == np.dtype(schema.DTYPES[schema.BY_NAME[name].kind] if name != "position" else "<i8")
