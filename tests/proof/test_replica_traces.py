"""What measures runs of many replicas does so at the smallest size."""

import subprocess
import sys
from pathlib import Path


def test_replica_traces(tmp_path):
    script = str(Path(__file__).with_name("replica_traces.py"))
    command = [
        sys.executable,
        script,
        "3",
        "3000",
        "--rows",
        "2",
        "--dir",
        str(tmp_path),
        "--on-paper",
        "1024",
        "1000000",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [line.strip("|").split("|")[0].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert found[:3] == [
        "files",
        "opening: every file verified from its rows",
        "merging: bounds, unknown values, certificate",
    ]
    assert len(found) == 12
