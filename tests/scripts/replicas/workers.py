"""Starts two TensorFlow workers of a script on free ports of this machine: ``python workers.py SCRIPT.py``."""

import json
import os
import socket
import subprocess
import sys

held = [socket.socket() for _ in range(2)]
for one in held:
    one.bind(("127.0.0.1", 0))
addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
for one in held:
    one.close()
workers = []
for index in range(2):
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    environment = {
        **os.environ,
        "TF_CONFIG": json.dumps(config),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    workers.append(subprocess.Popen([sys.executable, *sys.argv[1:]], env=environment))
sys.exit(max(abs(worker.wait()) for worker in workers))
