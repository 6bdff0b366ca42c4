"""What each trainer really does: all asked the same, recorded, explained, compared with their presets."""

import json

from .asking import ALL, HEAD, TRAINERS, UNSIZED, row, summed


def run(lab):
    result, said = lab.result(), {}
    for trainer in ["pytorch"] if lab.small else TRAINERS:
        done = lab.command("-m", f"{__package__}.asking", trainer, str(lab.folder))
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no word"])[-1]
            result.setting += f" {TRAINERS[trainer]} did not run: {reason}."
        else:
            said[trainer] = json.loads((lab.folder / f"{trainer}.json").read_text())
        lab.say(trainer)
    every = []
    for index, title in enumerate(ALL):
        if not (asked := [name for name in said if name in UNSIZED.get(title, TRAINERS)]):
            continue
        rows = [dict(zip(HEAD, row(name, index, title, lab.folder, said[name]))) for name in asked]
        result.table(f"question_{index + 1:02}", title, rows)
        every += [one for one in rows if one["steps"] != "–"]
    result.table("trainers", "All questions, by trainer", summed(every))
    return result
