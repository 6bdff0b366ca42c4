"""What README and docs/ state of the repository holds: links, make's targets, exit codes, loops, the self-test."""

import json
import re
import subprocess
import tomllib

import pytest
from pages import PAGES, ROOT, blocks

from xframe import errors
from xframe.running import registry

README, DOCS = ROOT / "README.md", ROOT / "docs"
LINKED = [*PAGES, *(ROOT / f"{name}.md" for name in ("FORMAT", "SECURITY", "CHANGELOG"))]


def anchors(page):
    """The anchors of a page's headings, as GitHub and the site have them."""
    page = ROOT / match[1] if (match := re.match(r"<!-- all of (\S+) -->", page.read_text())) else page
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target
    for name in re.findall(r"`((?:experiments|tests|results|adapters|xframe)/[\w/.]*)`", page.read_text()):
        assert (ROOT / name).exists(), name


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 150


def test_the_self_proof_is_the_one_in_the_results():
    """The table is the command's output at full size, as make proof keeps it."""
    (pasted,) = blocks(DOCS / "explanation" / "proof.md", "text")
    text = json.loads((ROOT / "results" / "proof.json").read_text())["self-proof"]["text"]
    assert text.startswith(pasted.text.rstrip())


def test_the_make_targets_exist():
    lines = [line for block in blocks(README, "console") for line in block.text.splitlines()]
    targets = [line.removeprefix("make ") for line in lines if line.startswith("make ")]
    assert targets == ["verify", "test"]
    named = re.findall(
        r"^\| `(?:XFRAME_SAMPLE=1 )?make (\w+)`", (DOCS / "howto" / "develop.md").read_text(), re.MULTILINE
    )
    assert {"check", "docs", "quick", "trainers", "proof"} <= set(named)
    for target in {*targets, *named}:
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_extras_are_all_listed():
    table = re.findall(r"^\| (`.*`) \|", (DOCS / "howto" / "install.md").read_text(), flags=re.MULTILINE)
    named = {name for row in table for name in re.findall(r"`(\w+)`", row)}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert named == set(extras) - {"dev", "proof", "test"}


def test_exit_codes_are_those_of_the_command():
    table = re.findall(r"^\| (\d+) \| (.*) \|$", (DOCS / "explanation" / "verdict.md").read_text(), re.MULTILINE)
    assert [code for code, _ in table] == ["0", "1", "2", "3", "4", "130"]
    tree = (errors.UsageError, errors.XframeError, errors.TraceError)
    assert [kind.exit_code for kind in tree] == [2, 3, 4]


def test_the_loops_are_the_adapters():
    every, replicated = (
        re.findall(r"^\| `(\w+):(\w+)` \|", part, flags=re.MULTILINE)
        for part in (DOCS / "reference" / "loops.md").read_text().split("## Replicas")
    )
    adapters = dict.fromkeys(adapter for adapter, _ in every)
    assert set(adapters) == {"numpy", "torch", "tensorflow"}
    for adapter in adapters:
        assert tuple(loop for one, loop in every if one == adapter) == registry.load(adapter).loops
        assert [loop for one, loop in replicated if one == adapter] == [
            *getattr(registry.load(adapter), "replicated", ())
        ]
