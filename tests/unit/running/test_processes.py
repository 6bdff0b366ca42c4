"""The launcher: messages of a child, several at once, and every way in which one can end."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from xframe.errors import UsageError, WorkerError
from xframe.running.messages import Done, Failed, Go, Job, Ready, Recorded, decode, encode
from xframe.running.processes import listen, start, stop

CHILD = """
import ctypes, os, signal, sys, time
from dataclasses import dataclass
from xframe.errors import UsageError
from xframe.running.messages import leave, report

@dataclass(frozen=True)
class Say:
    text: str

def work(parent):
    say = parent.receive(Say)
    while say is not None:
        print("printed", say.text)
        if say.text == "raise":
            raise ValueError("no such\\nluck")
        if say.text == "refuse":
            raise UsageError("a wrong word", got=say.text)
        if say.text == "fill":
            raise OSError(28, "No space left on device", "a.trace")
        if say.text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if say.text == "hang":
            time.sleep(600)
        if say.text == "hang for good":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            ctypes.PyDLL(None).pause()  # in native code, with Python's lock
        if say.text == "close":
            os.closerange(3, 4096)
        if say.text == "again":
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        if say.text == "write":
            os.write(int(sys.argv[2]), b"{}\\n")
        if say.text == "read":
            say = Say(repr(sys.stdin.read()))
        if say.text == "fork":
            os.fork()  # both go on
        if say.text == "leave a daemon" and not os.fork():
            os.setsid()
            if not os.fork():
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
            os._exit(0)
        parent.send(Say(say.text * 2))
        say = parent.receive(Say)

if __name__ == "__main__":
    leave(report(sys.argv[1:], work))
"""


@dataclass(frozen=True)
class Say:
    text: str


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Starts a child with its first word; all are stopped in the end."""
    (tmp_path / "a_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    children = []

    def begin(word, label="child"):
        log = tmp_path / f"{label}.log"
        children.append(start("a_child", Say(word), label=label, log=log, kinds=(Say, Failed)))
        return children[-1]

    yield begin
    stop(children)
    assert all(child.process.poll() is not None for child in children)


@pytest.mark.parametrize(
    "message",
    [Job("numpy", "numpy:eager", None, {"steps": 3}, "ledger", {}, "a.trace"), Ready(["cpu"], {"numpy": "2"}),
     Go("cpu"), Recorded(5, None, 0.5), Done(7, 1.5, None), Failed("a\nb", "missing", "pip install b")],
    ids=lambda message: type(message).__name__,
)  # fmt: skip
def test_a_message_is_one_line(message):
    line = encode(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert decode(line, (Job, Ready, Go, Recorded, Done, Failed)) == message


def test_answers_until_nothing_more_is_said(begin):
    child = begin("ab")
    messages = []
    for _, message in listen([child]):
        messages.append(message)
        if message is not None and len(messages) < 3:
            child.send(message)
        elif message is not None:
            child.inlet.close()
    assert messages == [Say("abab"), Say("abababab"), Say("ab" * 8), None]
    assert child.fate() == "ended with exit code 0"
    assert child.log.read_text() == "printed ab\nprinted abab\nprinted abababab\n"
    assert child.last_words() == ". Its last words: printed abababab"


@pytest.mark.parametrize(
    ("word", "failed", "fate"),
    [("raise", Failed("ValueError: no such\nluck"), "ended with exit code 3"),
     ("refuse", Failed("a wrong word: got 'refuse'", "usage"), "ended with exit code 2"),
     ("fill", Failed("No space left on device: a.trace", "full"), "ended with exit code 3"),
     ("die", None, "was killed by SIGKILL")],
)  # fmt: skip
def test_how_a_child_ends(begin, word, failed, fate):
    child = begin(word)
    messages = [message for _, message in listen([child])]
    assert messages == [*([] if failed is None else [failed]), None]
    assert child.fate() == fate
    assert ("Traceback" in child.log.read_text()) is (failed is not None)


def test_several_are_listened_to_as_they_come(begin):
    children, spoken = [begin("a", "first")], []
    for child, message in listen(children):
        spoken.append((child.label, message))
        if len(children) == 1:
            children.append(begin("b", "second"))
        if message is not None:
            child.inlet.close()
    assert sorted(spoken, key=str) == [
        ("first", None), ("first", Say("aa")), ("second", None), ("second", Say("bb")),
    ]  # fmt: skip


def test_one_that_hangs(begin):
    child = begin("hang")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        list(listen([child], 0.2))
    assert time.monotonic() - began < 30
    assert stop([child]) == [child]
    assert child.fate() == "was killed by SIGTERM"
    assert stop([child]) == []


@pytest.mark.parametrize("word", ["read", "fork", "leave a daemon"])
def test_what_leaves_a_child_well(begin, word):
    """Nothing to read, a copy that goes on, a process that wants to stay: its messages end all the same."""
    child, messages = begin(word), []
    for _, message in listen([child], 30):
        messages.append(message)
        child.inlet.close()
    assert messages == [Say("''" * 2 if word == "read" else word * 2), None]
    assert child.fate() == "ended with exit code 0"
    assert ("a copy of the worker went on" in child.log.read_text()) is (word == "fork")


def test_a_child_that_closes_its_pipes(begin):
    child = begin("close")
    assert [message for _, message in listen([child], 30)] == [None]
    assert child.fate() == "ended with exit code 3"
    assert "the pipes to xframe were closed" in child.last_words()


def test_a_child_that_starts_itself_again(begin):
    child = begin("again")
    assert [message for _, message in listen([child], 30)] == [None]
    assert child.fate() == "ended with exit code 2"
    assert "a worker was started by itself" in child.last_words()


def test_a_child_that_writes_what_is_no_message(begin):
    child = begin("write")
    with pytest.raises(WorkerError, match=r"wrote into xframe's pipe what is no message: got b'{}', expected a task"):
        list(listen([child], 30))


@pytest.mark.parametrize("word", ["hang for good", "stop"])
def test_no_child_outlives_its_parent(tmp_path, begin, word):
    """Hung in native code and deaf, or stopped: it is gone ten seconds after its parent was killed."""
    begin("a")  # writes the module
    starts = f"""
import time
from pathlib import Path
from unit.running.test_processes import Say
from xframe.running.processes import listen, start
child = start("a_child", Say({word!r}), label="x", log=Path({str(tmp_path / "x.log")!r}), kinds=())
print(child.process.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, text=True) as parent:
        guard = int(parent.stdout.readline())
        child = None
        while child is None:
            child = next(iter(Path(f"/proc/{guard}/task/{guard}/children").read_text().split()), None)
        for number in (guard, int(child)):
            if word == "stop":
                os.kill(number, signal.SIGSTOP)
        parent.kill()
    began = time.monotonic()
    while any(Path("/proc", str(number)).exists() for number in (guard, child)):
        assert time.monotonic() < began + 10
        time.sleep(0.05)


def test_what_cannot_be_started(tmp_path):
    with pytest.raises(UsageError, match="cannot start 'x' with that interpreter: got '/no/python'"):
        start("m", Say(""), label="x", log=tmp_path / "x.log", kinds=(), interpreter="/no/python")
    with pytest.raises(UsageError, match=r"cannot write the log: got '.*/none/x\.log'"):
        start("m", Say(""), label="x", log=tmp_path / "none" / "x.log", kinds=())
