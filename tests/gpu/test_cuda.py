"""On a GPU: every task through torch's loops, TensorFlow beside it where its CUDA libraries are, and no waiting."""

import json
import os
import subprocess
import sys

import pytest

from xframe.tasks.lookup import BUILT_IN

pytestmark = pytest.mark.cuda
DEVICES = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"


def verify(folder, *tokens):
    command = [sys.executable, "-m", "xframe", "verify", "--device", "cuda", "--json", *tokens]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("loops", ["torch:eager,torch:graph", "torch:eager,torch:compile"])
@pytest.mark.parametrize("task", BUILT_IN)
def test_torch_on_a_gpu(tmp_path, task, loops):
    assert verify(tmp_path, "--task", task, "--adapters", loops)["verdict"] == "passed"


@pytest.mark.parametrize("task", BUILT_IN)
def test_torch_and_tensorflow_on_a_gpu(tmp_path, task):
    found = subprocess.run([sys.executable, "-c", DEVICES], capture_output=True, text=True, check=False)
    if found.stdout.strip() in ("", "0"):
        pytest.skip("TensorFlow's CUDA libraries are not here")
    assert verify(tmp_path, "--task", task)["verdict"] == "passed"


@pytest.mark.parametrize("loop", ["torch:eager", "torch:graph"])
def test_mixed_float16_on_a_gpu(tmp_path, loop):
    result = verify(tmp_path, "--adapters", loop, "--precision", "mixed_float16")
    assert (result["verdict"], result["structure"]) == ("passed", "identical")


PROFILED = """
import sys, tempfile, pathlib, torch
from torch.profiler import ProfilerActivity, profile
import xframe
from xframe.running import registry
from xframe.running.runtime import Runtime
from xframe.tasks.lookup import find_task

adapter, task = registry.load("torch"), find_task("digits-mlp")
runtime = Runtime(device="cuda", precision=sys.argv[1], loop="eager")
plan = xframe.TrainingPlan(batch_size=16, steps=400)
with xframe.record(pathlib.Path(tempfile.mkdtemp()) / "a.trace") as recorder:
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        adapter.run(plan, task, runtime, recorder)
waits = {e.key: e.count for e in seen.key_averages() if "Synchronize" in e.key or e.key == "aten::item"}
print(sum(waits.values()), waits)
"""


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_no_step_waits_for_the_device(tmp_path, precision):
    """Of 400 steps, only the start, the flushes and the end wait."""
    command = [sys.executable, "-c", PROFILED, precision]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env={**os.environ})
    assert int(done.stdout.split()[0]) < 100, done.stdout


@pytest.mark.parametrize("scaled", [False, True])
def test_a_script_is_captured_on_a_gpu_and_stays_the_same_to_the_bit(tmp_path, scaled):
    import torch

    import xframe
    from xframe.trace.captured import captured_of

    def trained():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3)).cuda()
        optimizer = torch.optim.AdamW(model.parameters(), fused=scaled)
        scaler = torch.amp.GradScaler("cuda", init_scale=512.0, enabled=scaled)
        x, y = torch.rand(16, 6, device="cuda"), torch.randint(0, 3, (16,), device="cuda")
        for _ in range(5):
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.float16, enabled=scaled):
                loss = torch.nn.functional.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return [values.cpu().numpy().tobytes() for values in model.state_dict().values()]

    bare = trained()
    with xframe.watch(tmp_path / "a.trace", capture=2):
        assert trained() == bare
    records = [one.read() for one in captured_of(xframe.Trace.open(tmp_path / "a.trace"))]
    assert [one.facts["update"] for one in records] == [0, 1, 4]
    assert records[0].stages["forward"]["0/outputs"].shape == (16, 8)
    assert all(one.after.differences(one.before) and not one.facts["left_out"] for one in records)
