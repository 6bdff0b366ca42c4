"""What the trainers show."""

import re


def learn(result):
    rows = [row for table in result.tables for row in table.rows]
    ran = [row for row in rows if row["steps"] != "–"]
    windows = next(table for table in result.tables if table.title == "Three epochs in windows of 4 steps")
    updates = {name_of(row): row["updates"] for row in windows.rows}
    steps = {row["steps"] for row in windows.rows}
    result.say(
        f"Not what another one does: three epochs in windows of 4 steps are {one(steps)} steps for all of them, and "
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
    differing = [row for row in ran if row["its preset"].startswith("**")]
    boasting = [row for row in ran if "**" in row["says of itself"]]
    result.say(
        f"Of {len(ran)} runs {len(differing)} differ from the preset that xframe has for them. In {len(boasting)} a "
        "trainer's own count is not what was observed, in bold in the tables: mostly epochs that are no passes, and "
        "once, over data of unknown length, updates that were never made."
    )
    result.say("Not shown: other versions than these, and what callbacks and strategies change.")


def name_of(row):
    """The trainer, without its arguments."""
    return re.sub(r" \(.*", "", row["trainer"])


def one(values):
    (value,) = values
    return value
