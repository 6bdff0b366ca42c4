"""Pages of Markdown, whose blocks run in order, those of one page in one folder, and print what stands below them.

    ```console            each line is a command; it ends with 0, or with N behind ``# exit N``
    ```python             goes to one interpreter for the page; ``# name.py`` on its first line makes it a file instead
    ```toml, ```yaml      a file, named on its first line
    ```text               what the block before it printed; of a page's first block, what one of its commands prints
    <!-- given … -->      Python that the next block needs and a reader has
    <!-- figures vary --> all numbers in the next block differ from run to run
    <!-- needs jax -->    the next block is left out where that module is not installed
    <!-- results/… -->    the next block is kept in that file, and is compared with it elsewhere

In a text, ``…`` on a line stands for lines left out, and a line may leave its end out. Fractions, and where the
largest difference is, may differ.
"""

import contextlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from xframe.cli.app import execute

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# These change or make environments: the fresh environment that runs this test came from the same lines.
ENVIRONMENT = ("make ", "source ", "pip install ", "python3 -m venv ", "torch-env/bin/", "tf-env/bin/")
_BLOCK = re.compile(
    r"(?:^<!-- given\n(?P<given>(?:(?!-->).)*)-->\n)?(?P<vary>^<!-- figures vary -->\n)?"
    r"(?:^<!-- needs (?P<needs>\w+) -->\n)?"
    r"(?P<kept>^<!-- results/[\w.]+ -->\n)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)
_KERNEL = """
import contextlib, io, json, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    printed, error = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(json.loads(line), "<page>", "exec"), names)
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps([printed.getvalue(), error]), flush=True)
"""


class Block(NamedTuple):
    """One fenced block of a page."""

    language: str
    text: str
    given: str
    vary: bool = False
    needs: str = ""
    kept: bool = False

    @property
    def file(self):
        """The file that it is, by its first line."""
        match = re.match(r"# ([\w./-]+\.\w+)\n", self.text)
        return match and match[1]


def blocks(page, *languages):
    """The page's blocks, of these languages or all."""
    found = [
        Block(m["language"], m["text"], m["given"] or "", bool(m["vary"]), m["needs"] or "", bool(m["kept"]))
        for m in _BLOCK.finditer(page.read_text())
    ]
    return [block for block in found if not languages or block.language in languages]


class Commands:
    """Runs commands, each once for the same command and files."""

    def __init__(self):
        self.kept = {}

    def run(self, command, folder):
        """Runs it in the folder; its exit code and what it printed."""
        before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        named = tuple((name, text) for name, text in before.items() if name in command or name.endswith(".py"))
        if (command, named) in self.kept:
            done, made = self.kept[command, named]
            for name, text in made.items():
                (folder / name).write_bytes(text)
            return done
        done = self._in_process(command, folder) or self._in_shell(command, folder)
        after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        self.kept[command, named] = done, {name: text for name, text in after.items() if before.get(name) != text}
        return done

    def _in_process(self, command, folder):
        """What needs no shell and imports nothing of the user's is run here: to start xframe takes a second."""
        words = shlex.split(command, comments=True)
        if words[0] != "xframe" or words[1] == "record" or re.search(r"[|<>&;$]|--task \w+:|sweep", command):
            return None
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = execute(words[1:])
        return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())

    def _in_shell(self, command, folder):
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        return subprocess.run(
            command,
            shell=True,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": path},
        )


class Walk:
    """Runs a page's blocks in a folder."""

    def __init__(self, page, folder, commands):
        self.page, self.folder, self.commands = page, folder, commands
        self.kernel = None
        self.printed = None  # by the block before
        self.all_printed = []  # by each command
        shutil.copytree(ROOT / "experiments", folder / "experiments")

    def __call__(self):
        """Runs all that can run here."""
        at_once, first = [], True
        try:
            for block in blocks(self.page):
                if block.kept or (block.needs and importlib.util.find_spec(block.needs) is None):
                    continue
                if block.language == "text" and first:
                    at_once.append(block)
                elif block.language == "text":
                    assert self.printed is not None, f"nothing prints this:\n{block.text}"
                    assert has_printed(self.printed, block), f"not printed:\n{block.text}\nbut:\n{self.printed}"
                else:
                    first = False
                    self.printed = getattr(self, block.language)(block)
        finally:
            if self.kernel is not None:
                self.kernel.communicate()
        for block in at_once:
            assert any(has_printed(printed, block) for printed in self.all_printed), f"not printed:\n{block.text}"

    def console(self, block):
        """The commands, but for those that make environments; None if none ran."""
        printed = []
        for command in block.text.splitlines():
            if command.startswith(ENVIRONMENT):
                continue
            expected = int(match[1]) if (match := re.search(r"# exit (\d+)$", command)) else 0
            done = self.commands.run(command, self.folder)
            assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
            printed.append(done.stdout + done.stderr)
        self.all_printed += printed
        return "\n".join(printed) if printed else None

    def toml(self, block):
        """A file."""
        assert block.file, f"a file without a name:\n{block.text}"
        (self.folder / block.file).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / block.file).write_text(block.text)

    yaml = toml

    def python(self, block):
        """A file, or lines for the page's interpreter."""
        if block.file:
            return self.toml(block)
        if self.kernel is None:
            command = [sys.executable, "-c", _KERNEL]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self.kernel = subprocess.Popen(command, cwd=self.folder, text=True, **pipes)
        for code in filter(None, (block.given, block.text)):
            self.kernel.stdin.write(json.dumps(code) + "\n")
            self.kernel.stdin.flush()
            printed, error = json.loads(self.kernel.stdout.readline())
            assert error is None, f"{code}\n{error}"
        return printed


def has_printed(printed, block):
    """Whether a text is in what was printed: its stretches between ``…`` in order, each without a gap."""
    lines = [words for line in printed.splitlines() if (words := in_words(line, block.vary))]
    at = 0
    for stretch in re.split(r"^…$", block.text, flags=re.MULTILINE):
        wanted = [words for line in stretch.splitlines() if (words := in_words(line, block.vary))]
        starts = range(at, len(lines) - len(wanted) + 1)
        fits = (i for i in starts if all(lines[i + k].startswith(line) for k, line in enumerate(wanted)))
        if (start := next(fits, None)) is None:
            return False
        at = start + len(wanted)
    return True


def in_words(line, vary=False):
    """A line without what differs from machine to machine, and without its columns' widths."""
    line = re.sub(r"max (abs|rel) \S+( @\S+)?", "max #", line)
    line = re.sub(r"\d+\.\d+(e[-+]?\d+)?", "#", line)
    if vary:
        line = re.sub(
            r"unstable|few rounds|\[.*?\]|(?<=-)[0-9a-f]{12}\b", "", line
        )  # of a figure its interval, of a trial its id
        line = re.sub(r"[\d,#]*[\d#]", "#", line)
    return " ".join(line.split())
