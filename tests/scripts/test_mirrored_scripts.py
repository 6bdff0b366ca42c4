"""Scripts whose replicas are all in one process are not recorded: that is said once, and they train as ever."""

import os
import subprocess
import sys
import textwrap

import pytest
from pages import ROOT

BEGIN = """
    import keras
    import numpy as np
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    keras.utils.set_random_seed(0)
    features, targets = np.arange(200, dtype=np.float32).reshape(40, 5) / 200, np.arange(40) % 3
    strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    with strategy.scope():
        model = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(3)])
        optimizer = keras.optimizers.SGD(0.1)
"""
SCRIPTS = {
    "fit": """
    with strategy.scope():
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(features, targets, batch_size=8, epochs=2, verbose=0)
    """,
    "run": """
    losses = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    data = tf.data.Dataset.from_tensor_slices((features, targets)).batch(8)

    @tf.function
    def step(batch):
        def own(features, targets):
            with tf.GradientTape() as tape:
                each = losses(targets, model(features, training=True))
                loss = tf.nn.compute_average_loss(each, global_batch_size=8)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables))

        strategy.run(own, args=batch)

    for batch in strategy.experimental_distribute_dataset(data):
        step(batch)
    """,
}
END = """
    print("weights", [one.numpy().tobytes().hex() for one in model.trainable_variables])
"""


@pytest.mark.costly
@pytest.mark.sweep(fewest=1)
@pytest.mark.parametrize("kind", SCRIPTS)
def test_it_trains_as_without_xframe_and_why_it_is_not_recorded_is_said_once(tmp_path, kind):
    text = "".join(textwrap.dedent(part) for part in (BEGIN, SCRIPTS[kind], END))
    (tmp_path / "train.py").write_text(text)
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters")])
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}

    def done(*before):
        command = [*before, sys.executable, "train.py"]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    recorded = done(sys.executable, "-m", "xframe", "record", "--out", "a.trace", "--")
    assert recorded.returncode == 4, recorded.stderr
    assert recorded.stdout.startswith("weights ['")
    assert recorded.stdout == done().stdout
    said = " ".join(recorded.stderr.split())
    assert said.count("several replicas in one process cannot be recorded: got 2 replicas of MirroredStrategy") == 1
    assert said.endswith("xframe: no step was recorded: see what is said above")
    assert not (tmp_path / "a.trace").exists()
