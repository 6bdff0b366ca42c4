"""In a terminal: live bars on stderr, colours on stdout, and the same exit codes."""

import os
import pty
import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_real_terminal(tmp_path, columns):
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "30"}
    command = [sys.executable, "-m", "xframe", "verify", "--adapters", "numpy", "--steps", "1300"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, env=environment, close_fds=True
    ) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(master)
    assert process.returncode == 0
    text = shown.decode()
    assert "1300/1300" in text
    assert "trace complete" in text
    assert "\x1b[1;32mPASS" in text
    assert text.rstrip().splitlines()[-1].endswith(" s")
    report = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text[text.index("xframe 0.") :])
    assert max(map(len, report.splitlines())) <= columns
    assert re.search(r"^  steps +PASS +1,300", report, flags=re.MULTILINE)
