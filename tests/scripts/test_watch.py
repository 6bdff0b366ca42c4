"""``xframe.watch`` in scripts, threads, generators and the cells of a notebook."""

import os
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import xframe
from scripts.toys import steps


def test_a_watch_in_a_watch_is_refused_and_the_outer_goes_on(frame):
    with xframe.watch("a.trace"):
        frame.train(2)
        with pytest.raises(xframe.UsageError, match=r"b.trace, while a.trace is recorded"), xframe.watch("b.trace"):
            pass
        frame.train(1, 2)
    assert steps("a.trace") == [0, 1, 2]
    assert not Path("b.trace").exists()


def test_a_watch_left_by_an_exception_can_be_followed_by_another(frame):
    def fail():
        with xframe.watch("a.trace"):
            frame.train(2)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    with xframe.watch("b.trace"):
        frame.train(3)
    frame.train(1)
    assert (steps("a.trace"), steps("b.trace"), frame.hooks) == ([0, 1], [0, 1, 2], [])
    assert xframe.Trace.open("a.trace").ending == "interrupted by ValueError"


def test_a_watch_in_an_abandoned_generator_ends_with_it(frame):
    def trained():
        with xframe.watch("a.trace"):
            while True:
                frame.train(1)
                yield

    generator = trained()
    next(generator)
    del generator
    assert (steps("a.trace"), frame.hooks) == ([0], [])
    assert xframe.Trace.open("a.trace").ending == "interrupted by GeneratorExit"


def test_a_watch_in_a_thread_records_what_that_thread_trains(frame):
    def work():
        with xframe.watch("a.trace"):
            frame.train(4)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert steps("a.trace") == list(range(4))


def test_a_fault_in_a_watch_is_printed_at_once_and_raised_at_the_end(frame, capfd):
    def train_twice_at_once():
        threads = [threading.Thread(target=frame.train, args=(20, 0, 0.005)) for _ in range(2)]
        with xframe.watch("a.trace"):
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            assert "nothing more is recorded" in capfd.readouterr().err

    with pytest.raises(xframe.UsageError, match="two threads train at once"):
        train_twice_at_once()
    assert "interrupted by UsageError" in xframe.Trace.open("a.trace").ending


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_forked_inside_a_watch_is_not_of_it(frame, capfd):
    with xframe.watch("a.trace"):
        frame.train(2)
        child = os.fork()
        if not child:
            frame.train(3)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert steps("a.trace") == [0, 1]
    assert "the recorder belongs to the process that made it" in capfd.readouterr().err


def test_a_second_run_of_a_cell_replaces_its_trace_if_it_says_so(frame):
    for run in range(3):
        with xframe.watch("a.trace", replace=True):
            frame.train(run + 1)
    assert steps("a.trace") == [0, 1, 2]
    with pytest.raises(xframe.UsageError, match=r"replace=True"), xframe.watch("a.trace"):
        pass
    Path("notes.txt").write_text("mine")
    with pytest.raises(xframe.XframeError, match="not a trace"), xframe.watch("notes.txt", replace=True):
        pass
    assert Path("notes.txt").read_text() == "mine"


def test_a_watch_says_what_it_recorded_as_record_does(frame, capfd):
    with xframe.watch("a.trace"):
        frame.train(14)
    assert capfd.readouterr().err == "xframe: 14 steps recorded in a.trace\n"

    def fail(trained):
        with xframe.watch(f"{trained}.trace"):
            frame.train(trained)
            raise ValueError("mine")

    for trained, words in (
        (2, "2 steps recorded in 2.trace, interrupted by ValueError"),
        (0, "nothing was recorded: ValueError ended the block before its first update"),
    ):
        with pytest.raises(ValueError, match="mine"):
            fail(trained)
        assert capfd.readouterr().err == f"xframe: {words}\n"
    with xframe.watch("none.trace"):
        pass
    assert "nothing was recorded: " in (said := capfd.readouterr().err)
    assert "toyframe was imported, and nothing was trained with it" in said or "toyframe and" in said


def test_a_watch_that_is_never_entered_warns(frame):
    with pytest.warns(UserWarning, match=r"never entered.*with xframe.watch\(\"a.trace\"\)"):
        xframe.watch("a.trace")
    assert not Path("a.trace").exists()


def test_a_trace_is_replaced_only_by_one_with_steps(frame, capfd):
    with xframe.watch("a.trace"):
        frame.train(3)
    before = Path("a.trace").read_bytes()
    with pytest.raises(KeyboardInterrupt), xframe.watch("a.trace", replace=True):
        raise KeyboardInterrupt
    assert Path("a.trace").read_bytes() == before
    assert "a.trace is the earlier trace, as it was" in capfd.readouterr().err
    with xframe.watch("a.trace", replace=True):
        frame.train(1)
        assert Path("a-before.trace").read_bytes() == before  # until the new one is closed
    assert (steps("a.trace"), [*Path().glob("*.trace")]) == ([0], [Path("a.trace")])


def test_cells_of_a_notebook(toy, monkeypatch):
    """Cells run one after the other in one process, whatever happens in them, as in a notebook's kernel."""
    from code import InteractiveConsole

    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)  # torch.distributed puts its own there
    console = InteractiveConsole()
    shown = []
    console.write = shown.append

    def cell(text):
        shown.clear()
        console.runsource(textwrap.dedent(text), symbol="exec")
        return "".join(shown)

    assert cell("import toyframe, xframe") == ""
    watched = "with xframe.watch('a.trace'):\n    toyframe.train(3)\n"
    assert cell(watched) == ""
    assert "Remove it, choose another name" in cell(watched)
    assert "replace=True" in shown[-1]
    again = watched.replace("'a.trace'", "'a.trace', replace=True")
    assert "ValueError: in the cell" in cell(again + "    raise ValueError('in the cell')")
    assert xframe.Trace.open("a.trace").ending == "interrupted by ValueError"
    assert cell(again) == ""
    assert (steps("a.trace"), xframe.Trace.open("a.trace").ending) == ([0, 1, 2], "complete")
