"""What the migration shows."""


def learn(result):
    stages, alone = result["stages"], result["alone"]
    last, wrong = stages.rows[-1], stages.rows[:-1]
    failed = sum(row["verdict"] == "failed" for row in alone.rows)
    open_ = [row for row in alone.rows if row["verdict"] == "inconclusive"]
    result.say(
        f"No mistake passes. All {len(wrong)} stages with one left fail, and the port without any passes, over "
        f"{last['identical steps']} steps, numbers and validations included. Made alone, {failed} of the "
        f"{len(alone.rows)} fail; *{open_[0]['mistake']}* is inconclusive (exit {open_[0]['exit']}), since only what "
        "no order changes can be judged there, and the report asks whether that is meant.",
        all(row["verdict"] == "failed" for row in wrong),
        last["verdict"] == "passed",
        len(open_) == 1,
        failed == len(alone.rows) - 1,
    )
    named = [row for row in alone.rows if row["place"] == 1]
    (other,) = (row for row in alone.rows if row["place"] != 1 and row not in open_)
    result.say(
        f"Alone, {len(named)} of {len(alone.rows)} are the first cause named. In place {other['place']} comes "
        f"*{other['mistake']}*: it is only placed, in the model or the loss, not recognised.",
        other["place"] == 2,
        all(row["what is said of it"] != "not named" for row in (*alone.rows, *wrong)),
    )
    early = [row for row in wrong if row["identical steps"] <= 1]
    result.say(
        f"With many at once the first difference is seldom that of the mistake at hand: {len(early)} of the "
        f"{len(wrong)} stages fail within the first two steps, by a rate or a loss that several mistakes share. But "
        "what differs in the settings is listed from the first stage on, so many rounds can be one.",
    )
    late = [row for row in alone.rows if row["first difference"] == "validation" and row["place"]]
    result.say(
        f"The losses of training do not show all of it: {len(late)} mistakes, "
        + ", ".join(f"*{row['mistake']}*" for row in late)
        + f", leave at least {min(row['identical steps'] for row in late)} steps identical and show at the first "
        "validation.",
        len(late) > 1,
    )
    result.say("Not shown: mistakes that nobody put in. The list is what people reported, not what can go wrong.")
