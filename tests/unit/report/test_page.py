"""The page says what the other forms say, in the order in which a reader asks; nothing of a trace is markup in it."""

import copy
import pickle
import re

import numpy as np
import pytest
from outlines import Outline

import xframe
from xframe.cli.app import execute
from xframe.report.page.rendering import comparison_page
from xframe.report.pictures import pictures
from xframe.report.series import Envelope, Lines, lines_of
from xframe.report.text import text
from xframe.report.view import View

PLAN = xframe.TrainingPlan(batch_size=3, epochs=2, remainder="keep")
HOSTILE = "<script>alert(1)</script>&\"'\x00\u202e$\\frac{a}{b}$ {{ 7 * 7 }}"


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
    assert not re.findall(r"(?:https?:)?//\w|url\((?!#)|@import|<link|<script|\bsrc=", page)


def test_each_picture_has_its_words_and_its_numbers(failed):
    page = comparison_page(failed)
    drawn = {one.name: one for one in pictures(failed)}
    assert {"losses", "batches", "rates", "times"} <= drawn.keys()
    for one in drawn.values():
        assert f'aria-label="{one.alternative}"' in page
        assert one.sentence in Outline(page).text
        assert len(one.table) > 1
    assert "reference: 2 of 6 batches are smaller than 3, first in step 2." in drawn["batches"].sentence
    assert drawn["losses"].sentence.startswith("The losses are equal to the last digit")
    named = re.findall(r' id="([^"]*)"', page)
    assert len(named) == len(set(named))
    assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page)) <= {(name, "") for name in named} | {
        ("", name) for name in named
    }


def test_a_drawing_has_no_text_of_a_trace(runs):
    rows = runs.rows(PLAN, 8)
    reference = runs(rows, "reference", metadata={"label": "$\\frac{a}$ one"})
    rows[1]["loss"] = 7.0
    for one in pictures(xframe.compare(reference, runs(rows, "candidate"))):
        assert "frac" not in one.svg
        assert "candidate" not in one.svg
        assert not re.search(r"NaN|nan|inf\b", one.svg)


def test_the_tolerance_that_a_picture_names_lets_losses_pass(runs):
    rows = runs.rows(PLAN, 8)
    reference = runs(rows, "reference")
    rows[3]["loss"] += 0.01
    rows[5]["loss"] += 0.123
    candidate = runs(rows, "candidate")
    drawn = {one.name: one for one in pictures(xframe.compare(reference, candidate))}
    said = drawn["differences"].sentence
    assert "candidate: the difference exceeds what is allowed first in step 3; its largest is 0.123" in said
    atol = float(re.search(r"--rtol 0 --atol (\S+) would", said)[1])
    assert xframe.compare(reference, candidate, rtol=0, atol=atol)
    again = {one.name: one for one in pictures(xframe.compare(reference, candidate, rtol=0, atol=atol))}
    assert "stays within what is allowed" in again["differences"].sentence


def test_runs_in_orders_of_their_own_are_not_shown_step_by_step(runs):
    rows = runs.rows(PLAN, 8)
    reference = runs(rows, "reference", num_samples=8)
    for row in rows:
        row.update(ids=(7 - row["ids"]) % 8, loss=row["loss"] + 0.2)
    rows[5]["updates"] = 5
    comparison = xframe.compare(reference, runs(rows, "candidate", num_samples=8), order="coverage")
    page = Outline(comparison_page(comparison))
    assert "an order of its own, so that losses are not compared step by step" in page.text
    assert "differences" not in {one.name for one in pictures(comparison)}
    assert "≠ 5" in page.text
    assert page.text.count("≠") == 2  # which the table's caption explains


def test_runs_of_the_same_batches_are_not_said_to_have_orders_of_their_own(runs):
    rows = runs.rows(PLAN, 8)
    traces = [runs(rows, name, num_samples=8) for name in ("reference", "candidate")]
    page = Outline(comparison_page(xframe.compare(*traces, order="coverage")))
    assert "order of its own" not in page.text
    assert "was not to be compared, so that losses are not compared step by step" in page.text


@pytest.mark.parametrize("value", [1e308, 1e-310, -1e308, float("inf"), float("nan"), 0.0])
def test_any_number_is_drawn_or_left_out(runs, value):
    rows = runs.rows(PLAN, 8)
    reference = runs(rows, "reference")
    rows[3]["loss"] = rows[4]["lr"] = value
    svgs = [one.svg for one in pictures(xframe.compare(reference, runs(rows, "candidate")))]
    assert len(svgs) >= 4
    assert not re.search(r"nan|inf\b", " ".join(svgs))


def test_one_step_in_a_million_stays_in_sight():
    values = np.zeros(1_000_000)
    values[654_321] = 5.0
    one = Envelope(len(values), 400)
    for start in range(0, len(values), 70_000):
        one.feed(start, values[start : start + 70_000])
    assert (one.highest, one.highest_at, len(one.low)) == (5.0, 654_321, 400)
    assert one.high.max() == 5.0
    assert one.edges[one.high.argmax()] <= 654_321 < one.edges[one.high.argmax() + 1]
    whole = Envelope(len(values), 400)
    whole.feed(0, values)
    assert np.array_equal(one.high, whole.high)
    assert np.array_equal(one.low, whole.low)


def test_one_run_has_pictures_with_words_of_its_own(runs):
    comparison = xframe.compare(runs(runs.rows(PLAN, 8), "alone", plan=PLAN, num_samples=8))
    drawn = pictures(comparison)
    assert drawn[0].sentence == "alone: between 0.0100075 and 2, the highest in step 0."
    assert all(one.sentence for one in drawn)


def test_of_very_many_runs_those_that_failed_are_drawn(runs):
    rows = runs.rows(PLAN, 8)
    traces = [runs(rows, f"run{i}") for i in range(24)]
    rows[4]["loss"] += 1
    losses = pictures(xframe.compare(*traces, runs(rows, "last")))[0]
    assert losses.legend == [("a", "run0"), ("b", "19 others")]
    assert losses.table[0][-1] == "last"
    assert len(losses.table[0]) == 21


def test_rows_are_read_in_blocks(failed, monkeypatch):
    whole, sizes = lines_of(failed.sides, failed.tolerance), []
    feed = Lines.feed
    monkeypatch.setattr(Lines, "feed", lambda self, block: sizes.append(len(block)) or feed(self, block))
    monkeypatch.setattr("xframe.report.series.BLOCK_ROWS", 2)
    for one, other in zip(lines_of(failed.sides, failed.tolerance), whole, strict=True):
        assert (one.short, one.first_short, one.largest) == (other.short, other.first_short, other.largest)
        for name, column in one.columns.items():
            assert np.array_equal(column.high, other.columns[name].high, equal_nan=True)
    assert sizes == [2] * 6


def test_a_page_of_many_steps_is_small(tmp_path):
    steps = np.arange(100_000)
    noise = np.random.default_rng(0)
    traces = []
    for name in ("a", "b"):
        with xframe.record(tmp_path / f"{name}.trace", ids=False) as rec:
            rec.block(
                ids=steps % 7,
                batch_sizes=np.ones(len(steps), np.int64),
                updates=steps + 1,
                lr=noise.random(len(steps)),
                loss=noise.random(len(steps)),
                time_ns=np.cumsum(noise.integers(1, 10**6, len(steps))),
                also={"gradient_norm": noise.random(len(steps))},
            )
        traces.append(tmp_path / f"{name}.trace")
    assert len(comparison_page(xframe.compare(*traces)).encode()) < 500_000


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


class TestCommands:
    """``xframe report`` and ``compare --html``: the same page, never over what exists."""

    @pytest.fixture
    def files(self, runs):
        rows = runs.rows(PLAN, 8)
        paths = [str(runs(rows, "reference").path)]
        rows[2]["ids"] = rows[2]["ids"][:1]
        return [*paths, str(runs(rows, "candidate").path)]

    def test_both_write_the_same_page(self, files, tmp_path, capsys):
        pages = [tmp_path / "a.html", tmp_path / "b.html"]
        assert execute(["report", *files, "--out", str(pages[0])]) == 0
        assert "a.html: failed, reference vs candidate" in capsys.readouterr().out
        assert execute(["compare", *files, "--html", str(pages[1])]) == 1
        assert "FAILED" in capsys.readouterr().out
        assert pages[0].read_bytes() == pages[1].read_bytes()
        assert f"xframe compare {files[0]} {files[1]}" in Outline(pages[0].read_text()).text

    @pytest.mark.parametrize("words", [("report", "--out"), ("compare", "--html")])
    def test_what_exists_stays(self, files, tmp_path, capsys, words):
        page = tmp_path / "mine.html"
        page.write_text("mine")
        assert execute([words[0], *files, words[1], str(page)]) == 2
        assert "exists already" in capsys.readouterr().err
        assert page.read_text() == "mine"

    def test_a_run_folder(self, tmp_path, capsys):
        folder, page = tmp_path / "out", tmp_path / "a.html"
        comparison = xframe.verify(xframe.TrainingPlan(batch_size=64, epochs=1), adapters="numpy", out=folder)
        shown = Outline((folder / "report.html").read_text()).text
        assert f"xframe verify {folder}/plan.toml --task digits-mlp --adapters numpy xframe compare {folder}" in shown
        assert execute(["report", str(folder), "--out", str(page), "--json"]) == 0
        assert '"verdict": "passed"' in capsys.readouterr().out
        assert View.of(comparison).headline in shown
        assert "numpy did what the plan says: 29 steps, with its samples and updates in each." in shown
