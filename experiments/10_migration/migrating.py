"""The scripts of every stage, each recorded as it is; and what a comparison of two says of a mistake."""

import json
import sys


def written(mistakes, edit, keras, port):
    """All scripts by name: Keras' before and after its edit, the port at each stage, and with each mistake alone."""
    scripts = {"keras_0": keras, "keras_1": keras.replace(*edit), "torch_last": port}
    earlier = port
    for stage, mistake in reversed([*enumerate(mistakes)]):
        assert mistake["right"] in earlier, mistake["what"]
        scripts[f"torch_{stage}"] = earlier = earlier.replace(mistake["right"], mistake["wrong"])
        right, wrong = mistake.get("alone") or (mistake["right"], mistake["wrong"])
        assert right in port, mistake["what"]
        scripts[f"alone_{stage}"] = port.replace(right, wrong)
    return scripts


def record(lab, name, script):
    (lab.folder / f"{name}.py").write_text(script)
    words = ("record", "--out", f"{name}.trace", "--", sys.executable, f"{name}.py")
    done = lab.command("-m", "xframe", *words, cwd=lab.folder)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-3000:]}")
    lab.say(f"recorded {name}")


def judged(lab, mistake, left, right):
    """Cells: the verdict of two scripts' comparison, and where it names the mistake."""
    done = lab.command("-m", "xframe", "compare", "--json", f"{left}.trace", f"{right}.trace", cwd=lab.folder)
    report = json.loads(done.stdout)
    first, causes = report["first_difference"], [cause["sentence"] for cause in report["causes"]]
    details = [*causes, *report["explanation"], *(check["detail"] for check in report["checks"] if check["detail"])]
    row = {"exit": done.returncode, "verdict": report["verdict"], "identical steps": first["step"] if first else 87}
    row |= {"first difference": first["check"] if first else "none", "causes": len(causes), "place": None}
    row["what is said of it"] = "nothing more"
    if mistake:
        place = next((i for i, text in enumerate(details) if mistake["says"] in text), None)
        row["place"] = place + 1 if place is not None and place < len(causes) else None
        said = "not named" if place is None else details[place].replace(left, "keras").replace(right, "torch")
        row["what is said of it"] = next((part for part in said.split("; ") if mistake["says"] in part), said)
    return row
