"""Runs a script of TensorFlow and its slips as a user starts them, TensorFlow being imported once for all of them.

xframe record --out FOLDER/none.trace -- python -m scripts.replicas.forking FOLDER SCRIPT ROW ...

Each row has processes of its own, forked from this one, which TensorFlow computes nothing in: two workers, or one
process for a script without a strategy.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import keras  # noqa: F401
import sklearn.datasets  # noqa: F401

from scripts.replicas.table import SLIPS, applied
from xframe.recording.attach.here import Here

HERE = Path(__file__).parent
LONGEST = 120  # seconds of a row


def main(folder: Path, script: str, rows: list[str]) -> int:
    for row in rows:
        text = (HERE / f"{script}.py").read_text()
        place = folder / f"{script}-{row}.py"  # whose lines AutoGraph reads
        place.write_text(applied(text, () if row == "right" else SLIPS[script][row]))
        environments = _workers(2) if "MultiWorker" in text else [{}]
        started = [_started(place, environment) for environment in environments]
        ends = [os.waitpid(one, 0)[1] for one in started]
        if any(ends):
            print(f"{script} {row}: ended with {ends}", file=sys.stderr)
            return 1
    return 0


def _started(place: Path, environment: dict[str, str]) -> int:
    """A process that runs the script."""
    if number := os.fork():
        return number
    signal.alarm(LONGEST)
    os.environ.update(environment)
    if Here.current is not None:
        Here.current.out = place.with_suffix(".trace")
    code = 1
    try:
        exec(compile(place.read_text(), place, "exec"), {"__name__": "__main__"})
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)


def _workers(many: int) -> list[dict[str, str]]:
    """TF_CONFIG of each, with free ports of this machine."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(many)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    tasks = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(many)]
    return [{"TF_CONFIG": json.dumps(one)} for one in tasks]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
