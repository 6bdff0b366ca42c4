"""Files forged, with their digests made right again: every command on one ends as commands end, whatever it says.

Of honest traces and logs every field of heads, indices and end records, columns, and the bytes that Arrow keeps them
in are replaced; others are bombs, small files that ask for much. Each is given to a command or a call in Python, which
must end in exit code 0, 1, 2 or 4 within 500 MB and 30 seconds, print nothing but printable text, valid JSON under
--json, and no markup of the file's in Markdown; nothing else than xframe's own errors is raised.
"""

import contextlib
import faulthandler
import io
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xframe
from sweeps import Result
from sweeps.forgeries.bombs import BOMBS
from sweeps.forgeries.files import FORGERIES, honest_files
from sweeps.forgeries.pieces import Honest
from xframe.cli.app import execute
from xframe.trace.schema import CERTIFIED, COLUMNS

MOST_BYTES, MOST_SECONDS = 500 << 20, 30
MOST_ADDRESSES = 2 << 30  # of a process: a command on a small file takes 1.4 GB of them
BOMB = 0.04  # of the cases
PROCESS = 0.01


@dataclass
class Forged(Result):
    """``outcomes``: how often files of a kind ended how; ``most``: bytes beyond the start, and with which kind."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    most: tuple[int, str] = (0, "")

    @property
    def text(self) -> str:
        kinds = sorted({kind for kind, _ in self.outcomes})
        counts = sorted(self.outcomes.items())
        ends = {kind: ", ".join(f"{end} {n:,}" for (of, end), n in counts if of == kind) for kind in kinds}
        title = f"{self.cases:,} commands and calls on forged files, at most {self.most[0] >> 20} MB beyond the start"
        return "\n".join([f"{title} ({self.most[1]})", *(f"{kind}: {ends[kind]}" for kind in kinds)])


def run(size: int, seed: int) -> Forged:
    """That many commands and calls, each on a file of its own."""
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, on numbers that no honest file has
        folder, result, rng = Path(name), Forged(), random.Random(seed)
        honest = honest_files(folder)
        while result.cases < size:
            _case(folder, honest, random.Random(rng.random()), result)
    return result


def _case(folder: Path, honest: Honest, rng: random.Random, result: Forged) -> None:
    place = folder / "forged"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    name = rng.choice(["forged", "forged", "forged", "\x1b[31m<script>", "a\nPASSED", "![x](y)", "x" * 200])
    path = place / f"{name}.trace"
    bomb = rng.random() < BOMB
    kind, make = rng.choice([*BOMBS.items()] if bomb else [*FORGERIES.items()])
    try:
        made = make(path, honest, rng)
    except Exception:
        return  # what was put in place of something cannot be written
    is_log = made.suffix != ".trace"
    act, told = _command(made, honest, rng, is_log=is_log) if is_log or rng.random() < 0.8 else _call(made, honest, rng)
    _restart_peak()
    before = _held("VmRSS")
    end, mistake = _watched(act)
    beyond = _held("VmHWM") - before
    result.cases += 1
    result.most = max(result.most, (beyond, kind))
    result.outcomes[kind, end] += 1
    if beyond > MOST_BYTES:
        mistake = mistake or f"{beyond >> 20} MB beyond the start"
    if mistake is not None:
        kept = Path(tempfile.gettempdir()) / f"xframe-forged-{result.cases}"
        with contextlib.suppress(OSError):
            shutil.copytree(place, kept, dirs_exist_ok=True, symlinks=True)
        result.mismatches.append(f"case {result.cases}, {kind}, {told!r}: {mistake} [{kept}]")


# What is run on a file


Outcome = tuple[str, str | None]  # how it ended, and what is wrong with that


def _command(path: Path, honest: Honest, rng: random.Random, *, is_log: bool) -> tuple[Callable[[], Outcome], str]:
    one, other = str(path), str(honest.folder / "honest.trace")
    form = rng.choice([[], ["--json"], ["--json"]])
    if is_log:
        words = ["import", one, "--out", str(path.with_suffix(".out")), *form]
        words += rng.choice([[], ["--column", "loss=x"], ["--samples", "11"]])
    else:
        samples = rng.choice([[], [], ["--samples", rng.choice(["1", "11", "1000000000", "1000000000000"])]])
        words = rng.choice(
            [
                *(["compare", other, one, *rng.choice([form, ["--md"]])], ["compare", one, other, *form]),
                *(
                    ["compare", one, *rng.choice([form, ["--md"]])],
                    ["compare", other, one, "--order", "coverage", *form],
                ),
                *(["explain", one, *form, *samples], ["explain", other, one, *form, *samples]),
                ["certificate", one, *form],
            ]
        )
    if "explain" in words and rng.random() < 0.3:
        words[1], words[2:2] = one, []

    if rng.random() < PROCESS:
        return lambda: _as_a_process(words), " ".join(["a process of", words[0]])

    def act() -> Outcome:
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = execute(words)
        return str(code), _wrong(words, code, out.getvalue(), errors.getvalue())

    return act, " ".join(words[:1] + [word for word in words if word.startswith("--")])


def _as_a_process(words: list[str]) -> Outcome:
    """The outcome of the command by itself, with little memory."""
    command = [sys.executable, "-m", "xframe", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * MOST_SECONDS, preexec_fn=_limited)
    return str(done.returncode), _wrong(words, done.returncode, done.stdout, done.stderr)


def _limited() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))


def _wrong(words: list[str], code: int, out: str, errors: str) -> str | None:
    """What is wrong with how a command ended."""
    if code not in (0, 1, 2, 4) or "Traceback" in errors:
        return f"exit code {code}: {errors[-400:]}"
    for text in (out, errors):
        if odd := [c for c in text if not (c.isprintable() or c == "\n")]:
            return f"it printed {odd[:5]!r}"
    if code in (2, 4) and not out and errors.count("\n") > 1:
        return f"an error of several lines: {errors[:300]!r}"
    if "--json" in words and out:
        try:
            json.loads(out, parse_constant=_refuse)
        except ValueError as error:
            return f"no JSON: {error}: {out[:300]}"
    if "--md" in words and (found := re.search(r"(?<!\\)([<\[&]|://)", re.sub(r"(?ms)^(`{3,}).*?^\1$", "", out))):
        return f"markup: {out[max(found.start() - 40, 0) : found.start() + 40]!r}"
    if words[0] == "compare" and code == 0 and len([w for w in words[1:] if w.endswith(".trace")]) == 2:
        one, two = (xframe.Trace.open(word).frame() for word in words[1:] if word.endswith(".trace"))
        if "coverage" not in words and not one[list(CERTIFIED)].equals(two[list(CERTIFIED)]):
            return "it passed with other rows"
    return None


def _refuse(text: str) -> None:
    raise ValueError(f"a bare {text}")


def _call(path: Path, honest: Honest, rng: random.Random) -> tuple[Callable[[], Outcome], str]:
    name = rng.choice([*CALLS])

    def act() -> Outcome:
        try:
            CALLS[name](path, honest)
        except xframe.XframeError as error:
            text = str(error)
            odd = not all(c.isprintable() or c == "\n" for c in text) or error.exit_code not in (2, 4)
            return type(error).__name__, f"exit code {error.exit_code}, {text[:300]!r}" if odd else None
        return "no error", None

    return act, name


def _of_trace(read: Callable[[xframe.Trace], Any]) -> Callable[[Path, Honest], Any]:
    return lambda path, honest: read(xframe.Trace.open(path))


CALLS: dict[str, Callable[[Path, Honest], Any]] = {
    "frame": _of_trace(lambda trace: trace.frame()),
    "counts": _of_trace(lambda trace: (trace.counts(), repr(trace), trace.name, trace.ending, trace.certificate)),
    "validations": _of_trace(lambda trace: (trace.validations, trace.facts)),
    "weights": _of_trace(lambda trace: (trace.weights(), trace.weight_types())),
    "epochs": _of_trace(lambda trace: trace.epochs()),
    "plan": _of_trace(lambda trace: trace.plan),
    "columns": _of_trace(lambda trace: [trace.column(name) for name in COLUMNS]),
    "batches": _of_trace(lambda trace: list(trace.batches())),
    "compare": lambda path, honest: str(xframe.compare(honest.folder / "honest.trace", path)),
    "compare alone": lambda path, honest: str(xframe.compare(path)),
}


def _watched(act: Callable[[], Outcome]) -> Outcome:
    """The outcome; what is raised, or takes too long, is wrong."""
    timed = hasattr(signal, "setitimer")
    before = signal.signal(signal.SIGALRM, _too_long) if timed else None
    if timed:
        signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        return act()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "raised", f"{type(error).__name__}: {str(error)[:300]}"
    finally:
        if timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class TooLong(BaseException):
    """Not one of those that xframe turns into an exit code."""


def _too_long(*_: Any) -> None:
    raise TooLong(f"{MOST_SECONDS} s")


def _restart_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _held(what: str) -> int:
    """Bytes of memory by the kernel's name; 0 where it does not say."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(text.split(f"{what}:")[1].split()[0]) << 10
