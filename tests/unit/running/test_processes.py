"""The launcher: messages of a child, several at once, and every way in which one can end."""

import os
import sys
import time
from dataclasses import dataclass

import pytest

from xframe.errors import UsageError
from xframe.running.messages import Done, Failed, Go, Job, Ready, Recorded, decode, encode
from xframe.running.processes import listen, start, stop

CHILD = """
import os, signal, sys, time
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
        if say.text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if say.text == "hang":
            time.sleep(600)
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
            child.hang_up()
    assert messages == [Say("abab"), Say("abababab"), Say("ab" * 8), None]
    assert child.fate() == "ended with exit code 0"
    assert child.log.read_text() == "printed ab\nprinted abab\nprinted abababab\n"
    assert child.last_words() == ". Its last words: printed abababab"


@pytest.mark.parametrize(
    ("word", "failed", "fate"),
    [("raise", Failed("ValueError: no such\nluck"), "ended with exit code 3"),
     ("refuse", Failed("a wrong word: got 'refuse'", "usage"), "ended with exit code 2"),
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
            child.hang_up()
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


def test_what_cannot_be_started(tmp_path):
    with pytest.raises(UsageError, match="cannot start 'x' with that interpreter: got '/no/python'"):
        start("m", Say(""), label="x", log=tmp_path / "x.log", kinds=(), interpreter="/no/python")
    with pytest.raises(UsageError, match=r"cannot write the log: got '.*/none/x\.log'"):
        start("m", Say(""), label="x", log=tmp_path / "none" / "x.log", kinds=())
