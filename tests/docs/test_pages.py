"""README and docs/ are right: every block of code and every command runs, and prints what stands below it."""

import re

import pytest
from pages import PAGES, ROOT, Block, Commands, Walk, blocks, has_printed

WITH_BLOCKS = [page for page in PAGES if blocks(page)]


@pytest.fixture(scope="module")
def ran():
    """One command run for several pages is run once."""
    return Commands()


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs(page, tmp_path, ran):
    Walk(page, tmp_path, ran)()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_of_a_kind_that_runs(page):
    fences = re.findall(r"^```(\S+)$", page.read_text(), flags=re.MULTILINE)
    known = {"console", "python", "text", "toml", "yaml"}
    assert {fence for fence in fences if not fence.startswith("{")} <= known
    assert len([fence for fence in fences if fence in known]) == len(blocks(page))


def test_pages_are_found():
    names = {str(page.relative_to(ROOT)) for page in WITH_BLOCKS}
    assert {"README.md", "docs/tutorials/reproduce.md", "docs/howto/task.md", "docs/explanation/steps.md"} <= names
    assert len(names) >= 18


def test_a_text_must_be_what_was_printed():
    printed = "one\ntwo 2.5 s\nthree\nfour @3\n"
    for text, expected in {
        "one\n…\nthree\n": True,
        "two 3.5 s\nthree\n": True,
        "one\nthree\n": False,
        "three\n…\none\n": False,
        "four\n": True,
        "five\n": False,
    }.items():
        assert has_printed(printed, Block("text", text, "")) is expected, text
    assert not has_printed("7 steps", Block("text", "8 steps\n", ""))
    assert has_printed("7 steps", Block("text", "8 steps\n", "", vary=True))
