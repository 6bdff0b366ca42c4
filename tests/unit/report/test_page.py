"""The page says what the other forms say, in the order in which a reader asks; nothing of a trace is markup in it."""

import copy
import pickle
import re
from html.parser import HTMLParser

import pytest

import xframe
from xframe.report.page.rendering import comparison_page
from xframe.report.text import text
from xframe.report.view import View

PLAN = xframe.TrainingPlan(batch_size=3, epochs=2, remainder="keep")
HOSTILE = "<script>alert(1)</script>&\"'\x00\u202e$\\frac{a}{b}$ {{ 7 * 7 }}"


class Outline(HTMLParser):
    """The tags with their attributes, the words, and whether each tag that is opened is closed in its turn."""

    VOID = ("meta", "br", "link", "input", "img", "hr")

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def failed(runs):
    rows = runs.rows(PLAN, 8)
    reference = runs(rows, "reference", plan=PLAN, num_samples=8)
    rows[2]["ids"] = rows[2]["ids"][:1]
    return xframe.compare(reference, runs(rows, "candidate", plan=PLAN, num_samples=8))


def test_a_page_says_what_the_terminal_says(failed):
    page, view = Outline(comparison_page(failed)), View.of(failed)
    assert view.closing in text(failed)
    for words in (view.headline, view.closing, *view.reasons, view.plan, *(cause.sentence for cause in view.causes)):
        assert " ".join(words.split()) in page.text
    for row in (*view.checks, *view.runs):
        assert all(" ".join(cell.split()) in page.text for cell in row)
    places = [page.text.index(word) for word in ("Failed", "First difference: step 2", "FAIL first @2", "PASS")]
    assert places == sorted(places)


def test_the_same_input_makes_the_same_page(failed):
    assert comparison_page(failed) == comparison_page(failed)


def test_nothing_of_a_trace_is_markup(runs):
    rows = runs.rows(PLAN, 8)
    facts = {"task": HOSTILE, "versions": {HOSTILE: HOSTILE}, "runtime": {"device": HOSTILE, "precision": HOSTILE}}
    reference = runs(rows, "reference", metadata={**facts, "label": HOSTILE})
    rows[1]["loss"] = 7.0
    page = comparison_page(xframe.compare(reference, runs(rows, "candidate", metadata={**facts, "label": "$x$"})))
    outline = Outline(page)
    assert "script" not in {tag for tag, _ in outline.tags}
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>&\"'??$\\frac{a}{b}$ {{ 7 * 7 }}" in outline.text
    assert "\x00" not in page
    assert "\u202e" not in page


def test_a_page_loads_nothing(failed):
    page = comparison_page(failed)
    assert "default-src 'none'" in page
    assert not re.findall(r"(?:https?:)?//\w|url\(|@import|<link|<script|\bsrc=", page)


def test_tables_are_named_and_their_heads_scoped(failed):
    page = comparison_page(failed)
    tables = re.findall(r"<table.*?</table>", page, flags=re.DOTALL)
    assert len(tables) >= 3
    for table in tables:
        assert "<caption>" in table
        assert all("scope=" in cell for cell in re.findall(r"<th\b[^>]*>", table))


def test_a_frame_has_both_sides_rows(failed):
    frame = failed.frame()
    assert frame["reference"]["batch_size"].tolist() == [3, 3, 2, 3, 3, 2]
    assert frame["candidate"]["batch_size"].tolist() == [3, 3, 1, 3, 3, 2]
    assert frame.xs("loss", axis=1, level="column").shape == (6, 2)


def test_a_copy_has_no_rows_and_says_so(failed):
    other = pickle.loads(pickle.dumps(copy.copy(failed)))
    assert other.to_dict() == failed.to_dict()
    with pytest.raises(xframe.UsageError, match="no rows"):
        other.frame()


def test_a_notebook_shows_the_verdict_and_escapes(runs):
    rows = runs.rows(PLAN, 8)
    reference = runs(rows, "reference", metadata={"label": HOSTILE})
    rows[1]["loss"] = 7.0
    html = xframe.compare(reference, runs(rows, "candidate"))._repr_html_()
    assert "FAILED" in html
    assert "First difference: step 1, loss." in html
    assert "<script" not in html
    Outline(html)
