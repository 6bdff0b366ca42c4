"""The outcome of a resume in words."""

from pathlib import Path

from xframe.resuming.proof import Item, Proof
from xframe.resuming.wording import markdown, text

REPEATED, FIX = "epoch-repeated-after-resuming", {"torch": "skip what the epoch has had"}


def proof(*items):
    steps = {"whole": 30, "cut": 15, "resumed": 20, "joined": 35}
    return Proof(
        items=items,
        after=15,
        by="term",
        step=15,
        join="weights",
        steps=steps,
        updates=steps,
        repeats={"structure": True, "numbers": True},
        certificates={"whole": "a", "joined": "b"},
        structure="different",
        numbers="different",
        folder=Path("run"),
        command="python train.py",
        resume="--resume",
    )


def test_a_cause_that_several_things_show_is_said_once_with_all_of_them():
    found = proof(
        Item("samples", "lost", "begins the epoch again", REPEATED, FIX),
        Item("optimizer", "lost", "begins without m", "optimizer-state-lost-after-resuming", {"any": "save it"}),
        Item("length", "lost", "ends after 35 steps", REPEATED, FIX),
        Item("losses", "lost", "differ from step 15 on"),
    )
    both = "the resumed run begins the epoch again; the resumed run ends after 35 steps"
    lines = text(found).splitlines()
    assert [line for line in lines if line.startswith("Lost:")] == [
        f"Lost: {both}. [{REPEATED}]",
        "Lost: the resumed run begins without m. [optimizer-state-lost-after-resuming]",
    ]
    assert [line.split()[2] for line in lines if "Keep it:" in line] == ["torch", "any"]
    page = markdown(found)
    assert page.count(f"**`{REPEATED}`**: {both}.") == page.count(FIX["torch"]) == 1
