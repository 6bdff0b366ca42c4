"""Tables and sentences keep within the screen, whatever they hold, and no word is cut."""

import random

import pytest

from xframe import tables

CHECKS = [
    ["check", "result", "torch", "a_run_with_a_long_name", "largest difference", "rule"],
    ["steps", "PASS", "87", "84", "", "== torch"],
    ["final weights", "FAIL first @28", "", "", "max abs 0.1 @dense_1/kernel", "rtol 0.0001, atol 0.0001"],
]


def words(text):
    return sorted(text.split())


@pytest.mark.parametrize("seed", range(300))
def test_every_table_keeps_within_the_screen_and_loses_no_word(seed):
    rng = random.Random(seed)
    width, columns = rng.choice([40, 60, 80, 120]), rng.randint(1, 9)
    longest = width // 2 - 4

    def cell():
        return " ".join("x" * rng.randint(1, rng.choice([3, 8, longest])) for _ in range(rng.choice([0, 1, 1, 2, 12])))

    rows = [[f"{cell()} r{i}".strip(), *(cell() for _ in range(columns - 1))] for i in range(rng.randint(1, 5))]
    right, indent = rng.sample(range(columns), rng.randint(0, columns)), rng.choice([0, 2])
    lines = tables.plain(rows, right=right, indent=indent, keep=rng.choice([1, 2]), width=width)
    assert max(map(len, lines)) <= width
    assert all(line.startswith(" " * indent) for line in lines if line)
    panels = "\n".join(lines).split("\n\n") if any(row[0] for row in rows) else ["\n".join(lines)]
    shown = [word for panel in panels for word in panel.split()]
    rest = [word for row in rows for cell in row[1:] for word in cell.split()]
    first = [word for row in rows for word in row[0].split()]
    assert sorted(shown) == sorted(rest + first * max(len(panels), 1))


def test_what_fits_stands_in_one_line_a_row():
    assert tables.plain(CHECKS[:2], width=80) == [
        "check  result  torch  a_run_with_a_long_name  largest difference  rule",
        "steps  PASS    87     84                                          == torch",
    ]
    assert tables.plain([], width=80) == []


def test_a_table_folds_its_cells_and_keeps_its_first_columns_whole():
    rows = [[*row[:3], *row[4:]] for row in CHECKS]
    assert tables.plain(rows, keep=2, width=76) == [
        "check          result          torch  largest difference  rule",
        "steps          PASS            87                         == torch",
        "final weights  FAIL first @28         max abs 0.1         rtol 0.0001, atol",
        "                                      @dense_1/kernel     0.0001",
    ]


def test_what_does_not_fit_side_by_side_goes_on_below():
    lines = tables.plain(CHECKS, keep=2, width=70)
    assert lines[:3] == [
        "check          result          torch  a_run_with_a_long_name",
        "steps          PASS            87     84",
        "final weights  FAIL first @28",
    ]
    assert lines[3:] == [
        "",
        "check          largest difference           rule",
        "steps                                       == torch",
        "final weights  max abs 0.1 @dense_1/kernel  rtol 0.0001, atol 0.0001",
    ]


def test_a_word_wider_than_the_screen_breaks_at_its_joints():
    name = "runs/2024-11-21/a-model-with-a-name-that-is-wider-than-the-screen/torch"
    lines = tables.plain([["side", "loss"], [name, "1"]], width=40)
    assert max(map(len, lines)) <= 40
    assert "".join(line.split()[0] for line in lines[1:]) == name
    assert all(line.split()[0][-1] in "/-" for line in lines[1:-1])


@pytest.mark.parametrize("width", [40, 80, 120])
def test_sentences_break_between_words_and_go_on_further_in(width):
    sentence = "  Fix: torch  DataLoader(..., batch_size=64) " + "and so on " * 30
    text = f"short\n\n{sentence.rstrip()}\n    {'word ' * 50}end"
    lines = tables.folded(text, width).split("\n")
    assert max(map(len, lines)) <= width
    assert words("\n".join(lines)) == words(text)
    assert lines[:2] == ["short", ""]
    second = next(i for i, line in enumerate(lines) if line.startswith("  Fix"))
    assert len(lines[second + 1]) - len(lines[second + 1].lstrip()) == 14
    assert lines[-1].startswith(" " * 6)


def test_where_no_screen_is_sentences_are_not_broken(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("os.get_terminal_size", lambda _: (_ for _ in ()).throw(OSError))
    assert tables.screen_width() is None
    assert tables.folded("word " * 100) == "word " * 100
    assert max(map(len, tables.plain([["word " * 40] * 3]))) <= tables.UNKNOWN
    monkeypatch.setenv("COLUMNS", "80")
    assert tables.screen_width() == 80
    monkeypatch.setenv("COLUMNS", "7")
    assert tables.screen_width() == 40
