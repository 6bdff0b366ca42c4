"""A process that runs a script and its slips, each recorded: ``python -m ... FOLDER SCRIPT ROW ...``.

As a rank of several it is one of those that a launcher started.
"""

import os
import sys
import threading
import time
from pathlib import Path

import xframe
from scripts.replicas.table import SLIPS, applied
from xframe.recording.replicas import which

HERE = Path(__file__).parent
LONGEST = 240  # seconds, after which a rank that waits for another one gives up


def main(folder: Path, script: str, rows: list[str]) -> None:
    threading.Thread(target=lambda: (time.sleep(LONGEST), os._exit(3)), daemon=True).start()
    metadata = {} if which()[1] == 1 else {"replica_split": "interleaved"}
    for row in rows:
        text = (HERE / f"{script}.py").read_text()
        text = applied(text, SLIPS[script][row]) if row != "right" else text
        with xframe.watch(folder / f"{script}-{row}.trace", metadata=metadata):
            exec(compile(text, f"{script}-{row}", "exec"), {"__name__": "__main__"})
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
    os._exit(0)  # a process group that another rank has left may abort in its own end
