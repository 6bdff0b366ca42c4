"""What the migration shows."""


def learn(result):
    stages, alone = result["stages"], result["alone"]
    last = stages.rows[-1]
    result.say(
        f"Each is caught: all {len(alone.rows)} mistakes fail the comparison, in the first port with all of them at "
        "once and each alone in a port otherwise right, and the port without them passes over "
        f"{last['identical steps']} steps, numbers and validations included.",
        all(row["verdict"] == "failed" for row in (*alone.rows, *stages.rows[:-1])),
        last["verdict"] == "passed",
    )
    named = [row for row in alone.rows if row["place"] == 1]
    others = [row for row in alone.rows if row["place"] != 1]
    result.say(
        f"Alone, {len(named)} of {len(alone.rows)} are named first among the causes. Not so: "
        + "; ".join(f"*{row['mistake']}*, {named_as(row)}" for row in others)
        + "."
        if others
        else f"Alone, each of the {len(alone.rows)} is named first among the causes.",
    )
    early = [row for row in stages.rows[:-1] if row["first difference"] in ("lr", "loss")]
    result.say(
        f"With many at once the first difference is not always that of the mistake at hand: {len(early)} of the "
        f"{len(stages.rows) - 1} stages fail at the learning rate or the loss of the first two steps. The settings "
        "that differ are listed from the beginning, whatever failed first, so what looks like many rounds can be one.",
        all(row["identical steps"] <= 1 for row in early),
    )
    late = [row for row in alone.rows if row["first difference"] == "validation"]
    result.say(
        f"The losses of training show nothing of {len(late)} of them: "
        + " and ".join(f"*{row['mistake']}*" for row in late)
        + f" leave {late[0]['identical steps']} steps identical, and show at the first validation.",
        len(late) > 0,
        len({row["identical steps"] for row in late}) == 1,
    )
    result.say("Not shown: mistakes that nobody put in. The list is what people reported, not what can go wrong.")


def named_as(row):
    if row["place"]:
        return f"which is the cause in place {row['place']}"
    return "of which the report speaks elsewhere" if row["what is said of it"] != "not named" else "which is not named"
