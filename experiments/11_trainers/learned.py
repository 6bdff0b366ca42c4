"""What the trainers show."""

from .asking import name_of


def learn(result):
    windows = next(table for table in result.tables if table.title == "Three epochs in windows of 4 steps")
    updates = {name_of(row): row["updates"] for row in windows.rows}
    steps = {row["steps"] for row in windows.rows}
    result.say(
        f"Not what another one does: three epochs in windows of 4 steps are {min(steps)} steps for all of them, and "
        + ", ".join(f"{number} updates for {name}" for name, number in updates.items())
        + ".",
        len(steps) == 1,
        len(set(updates.values())) > 1,
    )
    epochs = next(table for table in result.tables if table.title == "Four epochs of 4 steps")
    did = {name_of(row): row for row in epochs.rows if row["steps"] != "–"}
    result.say(
        "Four epochs of 4 steps, where a pass has 11, are "
        + ", ".join(f"{row['steps']} steps in {row['passes begun']} passes for {name}" for name, row in did.items())
        + ".",
        len({row["steps"] for row in did.values()}) > 1,
    )
    whole = result["trainers"].row(trainer="all")
    result.say(
        f"Of {whole['runs']} runs {whole['differ from the preset']} differ from the preset that xframe has for them. "
        f"In {whole['own counts not observed']} a trainer's own count is not what was observed, in bold in the tables: "
        f"epochs that are no passes, but in {whole['of these, updates']}, over data of unknown length, updates that "
        "were never made.",
        whole["differ from the preset"] == 0,
        whole["of these, updates"] > 0,
    )
    result.say("Not shown: other versions than these, and what callbacks and strategies change.")
