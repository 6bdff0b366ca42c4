"""The scripts that measure speed run, at the smallest size."""

import subprocess
import sys
from pathlib import Path


def test_trace_speed(tmp_path):
    command = [
        sys.executable,
        str(Path(__file__).with_name("trace_speed.py")),
        "20000",
        "--only-xframe",
        "--rounds",
        "1",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if ": xframe |" in line]
    assert [row.split(":")[0] for row in rows] == ["| identical", "| last row differs"]
