"""``xframe record --capture``: what lies beside a trace of a command, however the command ends."""

import xframe
from scripts.toys import TRAIN, said
from xframe.trace.captured import captured_of


def updates(folder, name="a.trace"):
    found = captured_of(xframe.Trace.open(folder / name))
    assert all(one.read().before.parameters["w"][0] == one.update for one in found)
    return [one.update for one in found]


def test_the_first_updates_and_sparse_ones_are_kept_and_said(script, toy):
    done = script("import toyframe; toyframe.train(20)", flags=("--capture", "2"))
    said(done, "20 steps recorded in a.trace, 5 updates captured")
    assert updates(toy) == [0, 1, 4, 8, 16]
    assert not list(toy.glob("**/*.closing"))


def test_what_has_no_room_is_said(script, toy):
    done = script("import toyframe; toyframe.train(100)", flags=("--capture=100", "--capture-mb=1"))
    said(done, "62 updates captured; 38 updates not captured: 0.0 MB, and 0.0 of 1 are left")
    assert updates(toy) == list(range(62))


def test_a_command_that_is_killed_keeps_what_it_had(script, toy):
    script(
        "import os, toyframe, time; toyframe.train(6); time.sleep(1.2); os.kill(os.getpid(), 9)", flags=("--capture=2",)
    )
    assert updates(toy) == [0, 1, 4]


def test_each_process_has_a_folder_of_its_own(script, toy):
    script(
        """
        import os, toyframe
        toyframe.train(2)
        if not os.fork():
            toyframe.train(1, 4)
            os._exit(0)
        os.wait()
        """,
        options=("-Wignore",),
        flags=("--capture=2",),
    )
    assert (updates(toy), updates(toy, "a-2.trace")) == ([0, 1], [4])


def test_a_number_that_is_none_is_refused(script, toy):
    for flags in (("--capture=-1",), ("--capture=x",), ("--capture=2", "--capture-mb=0")):
        done = script(TRAIN, flags=flags)
        assert done.code == 2
        assert "whole number" in done.err
    assert not list(toy.glob("*.trace"))
