"""Workers that share a training under TF_CONFIG are one run, with the losses of one process."""

import os
import subprocess
import sys

import numpy as np
import pytest
from pages import ROOT

import xframe

GLOBAL, EPOCHS, RATE = 8, 2, 0.05
LAUNCH = """
import json, os, socket, subprocess, sys
sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
workers = [f"localhost:{one.getsockname()[1]}" for one in sockets]
for one in sockets:
    one.close()
running = []
for index in range(2):
    config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
    running.append(subprocess.Popen([sys.executable, "worker.py"], env=environment))
sys.exit(max(abs(one.wait()) for one in running))
"""
WORKER = """
import keras, numpy as np, tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
x, y = np.load("x.npy"), np.load("y.npy")
data = tf.data.Dataset.from_tensor_slices((x, y)).batch(GLOBAL)
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
with strategy.scope():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    optimizer = keras.optimizers.SGD(RATE)
    optimizer.build(model.trainable_variables)

@tf.function
def step(xs, ys):
    def one(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((model(x, training=True)[:, 0] - y) ** 2) / GLOBAL
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss
    return strategy.reduce("SUM", strategy.run(one, args=(xs, ys)), axis=None)

for epoch in range(EPOCHS):
    for xs, ys in strategy.experimental_distribute_dataset(data.with_options(options)):
        step(xs, ys)
"""


@pytest.fixture
def rows(tmp_path):
    """What the workers train on."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(24, 3)).astype("f4"), draw.normal(size=24).astype("f4")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    return x, y


def in_one_process(x, y):
    """The loss of each step."""
    weights = np.zeros(3)
    for _ in range(EPOCHS):
        for start in range(0, len(x), GLOBAL):
            own, due = x[start : start + GLOBAL], y[start : start + GLOBAL]
            wrong = own @ weights - due
            yield np.mean(wrong**2)
            weights -= RATE * 2 * own.T @ wrong / GLOBAL


@pytest.mark.costly
@pytest.mark.thorough
def test_workers_whose_gradients_are_summed_have_the_losses_of_one_process(tmp_path, rows):
    names = {"GLOBAL": GLOBAL, "EPOCHS": EPOCHS, "RATE": RATE}
    (tmp_path / "worker.py").write_text("".join(f"{name} = {value}\n" for name, value in names.items()) + WORKER)
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters")])
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-m", "xframe", "record", "--out", "run.trace", "--", sys.executable, "-c", LAUNCH]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "6 steps recorded in run.trace, by 2 replicas" in done.stderr
    run = xframe.Trace.open(tmp_path / "run.trace")
    np.testing.assert_allclose(run.column("loss"), list(in_one_process(*rows)), rtol=1e-5)
    assert run.metadata["replica"] == {"of": 2, "split": "slices", "gradients": None, "losses": "sum"}
    assert run.column("batch_size").tolist() == [GLOBAL] * 6
    assert run.column("updates").tolist() == [1, 2, 3, 4, 5, 6]
