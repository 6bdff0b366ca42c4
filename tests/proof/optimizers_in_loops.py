"""Every optimizer by name in every loop: each name is verified once, in all loops beside each other.

``python tests/proof/optimizers_in_loops.py 32`` takes so many names, from the first. A list at the end has what neither
passed nor was refused by name.
"""

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from xframe.optimizers import names

LOOPS = ("torch", "torch:compile", "torch:loader", "tensorflow", "tensorflow:function", "tensorflow:xla")
LOOPS += ("tensorflow:fit",)
TRAINERS = {"torch:lightning": "lightning", "torch:transformers": "transformers"}
TRAINERS |= {"torch:accelerate": "accelerate", "torch:ignite": "ignite"}
IN_TRAINERS = ("adamw", "keras.rmsprop")


def verified(name: str, loops: tuple[str, ...]) -> tuple[str, str]:
    """The word for how it went in these loops, and the largest distance of weights, or why."""
    options = ["--optimizer", name, "--adapters", ",".join(loops), "--epochs", "1", "--precision", "float64", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "xframe", "verify", "--task", "digits-mlp", *options]
        done = subprocess.run(
            [*command, "--out", str(Path(folder) / "runs")], capture_output=True, text=True, check=False
        )
    if done.returncode in (0, 1):
        result = json.loads(done.stdout)
        worst = {check["name"]: check["worst"] for check in result["checks"]}
        return result["verdict"], f"{worst['weights']:.1e}"
    why = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode == 2 and len(loops) > 1:  # which of them it was
        each = {loop: verified(name, (loop,)) for loop in loops}
        left = tuple(loop for loop in loops if each[loop][0] == "passed")
        refused = "; ".join(f"{loop}: {each[loop][1]}" for loop in loops if loop not in left)
        if not left:
            return "refused", refused
        word, worst = verified(name, left) if refused else ("refused together", "")
        return ("passed but refused" if word == "passed" else word), f"{worst}; {refused}"
    return ("refused" if done.returncode == 2 else f"exit {done.returncode}"), why[-1] if why else "no word"


def main(size: int) -> None:
    """Prints the table and the list of what is wrong."""
    wrong = []
    trainers = tuple(loop for loop, package in TRAINERS.items() if find_spec(package))
    print(f"| optimizer | {', '.join(LOOPS)} | largest distance of weights, or why |\n| --- | --- | --- |")
    for name in names()[:size]:
        for loops in [LOOPS] + [("torch", *trainers)] * bool(trainers and name in IN_TRAINERS):
            word, text = verified(name, loops)
            beside = f" ({', '.join(loops)})" * (loops != LOOPS)
            print(f"| {name}{beside} | {word} | {text} |", flush=True)
            if word not in ("passed", "passed but refused", "refused"):
                wrong.append(f"{name}{beside}: {word}: {text}")
    print("\n" + "\n".join(f"- {one}" for one in wrong))


if __name__ == "__main__":
    main(int(sys.argv[1]))
