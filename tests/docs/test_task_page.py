"""The how-to of tasks names every layer, with its arguments and defaults as they are."""

import re
from dataclasses import MISSING, fields

import pytest
from pages import ROOT

from xframe.tasks.layers import KINDS

TEXT = (ROOT / "docs/howto/task.md").read_text()
ROWS = re.findall(r"^\| (`[^|]*) \| (.*)\|$", TEXT, flags=re.MULTILINE)
ARGUMENTS = {name: given for names, given in ROWS for name in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_layer_is_listed(kind):
    given = ARGUMENTS[kind.__name__]
    for each in fields(kind):
        wanted = each.name if each.default is MISSING else f"{each.name}={each.default!r}"
        if each.name == "name":  # which a model sets
            wanted = "name"
        assert f"`{wanted}`".replace("'", '"').replace("1e-05", "1e-5") in given


def test_no_other_layer_is_listed():
    assert {*ARGUMENTS} == {kind.__name__ for kind in KINDS}


def test_links_to_files_lead_somewhere():
    for page in (ROOT / "docs").rglob("*.md"):
        for target in re.findall(r"\]\(([\w./-]+\.md)(?:#[\w-]+)?\)", page.read_text()):
            assert (page.parent / target).exists() or "docs/experiments" in str(page), (page, target)
