"""Scripts in PyTorch as tutorials write them, none of which imports xframe, are recorded as they count for themselves.

A recorded run and a bare one end in the same weights, bit by bit, draw the same random numbers and print the same.
"""

import json
import random
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xframe

WRITTEN = Path(__file__).parent / "written"
TORCH = sorted(path.stem for path in WRITTEN.glob("torch_*.py"))
pytestmark = pytest.mark.xdist_group("torch")


def run(name, capsys):
    """What a script leaves, what it prints, and the random numbers that come after it."""
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    left = runpy.run_path(str(WRITTEN / f"{name}.py"), run_name="__main__")
    drawn = [random.random(), np.random.random(), torch.rand(3).tolist()]  # noqa: NPY002
    return left, capsys.readouterr(), drawn, [p.detach().numpy() for p in left["model"].parameters()]


def of_batch(row):
    """The row's sample ids, its size if they are not known."""
    return int(row.batch_size) if row.ids is None else row.ids.tolist()


@pytest.mark.parametrize("name", TORCH)
def test_a_torch_script_is_recorded_as_it_counts(tmp_path, capsys, name):
    left, *bare = run(name, capsys)
    with xframe.watch(tmp_path / "a.trace"):
        left, *watched = run(name, capsys)
    assert watched[:2] == bare[:2]
    assert all(map(np.array_equal, watched[2], bare[2]))
    assert "xframe" not in (WRITTEN / f"{name}.py").read_text()

    trace = xframe.Trace.open(tmp_path / "a.trace")
    rows = trace.frame()
    batches, updates, epochs, losses, rates = zip(*left["steps"], strict=True)
    wanted = [batch if isinstance(batch, int) else [round(150 * value) for value in batch] for batch in batches]
    assert [of_batch(row) for row in rows.itertuples()] == wanted
    assert rows.updates.tolist() == list(updates)
    assert rows.update_attempts.tolist() == left.get("attempts", list(updates))
    assert rows.epoch.fillna(-1).tolist() == [-1 if epoch is None else epoch for epoch in epochs]
    assert rows.lr.tolist() == pytest.approx(rates, rel=1e-12)
    assert rows.training.tolist() == left.get("modes", [1] * len(rows))
    if losses[0] is not None:
        np.testing.assert_allclose(rows.loss, losses, rtol=1e-6)
    if "norms" in left:
        steps, before, after = zip(*left["norms"], strict=True)
        assert rows.index[rows.gradient_norm.notna()].tolist() == list(steps)
        np.testing.assert_allclose(rows.gradient_norm.dropna(), before, rtol=1e-5)
        np.testing.assert_allclose(rows.clipped_norm.dropna(), np.minimum(before, after), rtol=1e-4)
    validations = [(each.after, sizes_of(each), each.loss) for each in trace.validations]
    for (after, sizes, loss), (after_, sizes_, loss_) in zip(validations, left.get("validations", []), strict=True):
        assert (after, sizes, pytest.approx(loss, rel=1e-5)) == (after_, sizes_, loss_)


def sizes_of(validation):
    return [size for size, times in validation.batch_sizes for _ in range(times)]


def test_nothing_is_left_behind(tmp_path):
    import torch

    places = [(torch.Tensor, "__getitem__"), (torch.nn.Module, "__call__"), (torch.autograd, "backward")]
    places += [(torch.autograd, "grad"), (torch.nn.functional, "cross_entropy"), (torch.amp.GradScaler, "step")]
    places += [(torch.optim.lr_scheduler.StepLR, "__init__"), (torch.utils.data.DataLoader, "__iter__")]
    clipping = torch.nn.utils.clip_grad_norm_.__closure__[0]

    def now():
        """What runs under these names: functions that others may have bound by name stay the same objects."""
        found = [getattr(owner, name) for owner, name in places]
        return [getattr(one, "__code__", one) for one in found], clipping.cell_contents

    def fail():
        changed, inner = now()
        assert not any(a is b for a, b in zip(before[0], changed, strict=True))
        assert inner is not before[1]
        raise RuntimeError("of the script")

    before = now()
    with pytest.raises(RuntimeError, match="of the script"), xframe.watch(tmp_path / "a.trace"):
        fail()
    assert now() == before
    assert "interrupted by RuntimeError" in xframe.Trace.open(tmp_path / "a.trace").ending


def test_an_optimizer_that_is_used_again_keeps_nothing(tmp_path):
    import torch

    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for name in ("a", "b"):
        with xframe.watch(tmp_path / f"{name}.trace"):
            for row in torch.rand(4, 3):
                optimizer.zero_grad()
                model(row).sum().backward()
                optimizer.step()
        assert not optimizer._optimizer_step_pre_hooks
        assert not optimizer._optimizer_step_post_hooks
        assert xframe.Trace.open(tmp_path / f"{name}.trace").frame().updates.tolist() == [1, 2, 3, 4]


@pytest.mark.costly
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_step_that_is_compiled_as_a_whole_is_recorded_and_the_recording_is_not_compiled(tmp_path):
    import torch
    from torch._dynamo.utils import counters
    from torch.utils.data import DataLoader, TensorDataset

    def train():
        torch.manual_seed(0)
        torch._dynamo.reset()
        counters.clear()
        data = TensorDataset(torch.rand(96, 6), torch.randint(0, 3, (96,)))
        model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.1), torch.nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)

        @torch.compile(backend="eager")
        def step(inputs, targets):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()

        for inputs, targets in DataLoader(data, batch_size=32):
            step(inputs, targets)
        return [p.tolist() for p in model.parameters()], [
            text for text in counters["graph_break"] if "Tensor.item" in text
        ]

    bare = train()
    with xframe.watch(tmp_path / "a.trace"):
        watched = train()
    assert watched == bare
    assert not watched[1]
    rows = xframe.Trace.open(tmp_path / "a.trace").frame()
    assert [row.tolist() for row in rows.ids] == [list(range(start, start + 32)) for start in (0, 32, 64)]
    assert rows.updates.tolist() == [1, 2, 3]
    assert rows.gradient_norm.notna().all()


SETTINGS = {
    "loader": {
        "optimizer.class": "AdamW",
        "optimizer.learning_rate": 0.01,
        "optimizer.beta_2": 0.999,
        "optimizer.epsilon": 1e-8,
        "optimizer.weight_decay": 0.01,
        "optimizer.decay": "decoupled",
        "optimizer.clip_global_norm": 1.0,
        "optimizer.clip_norm": None,
        "optimizer.parameters": 83,
        "schedule.class": "StepLR",
        "schedule.step_size": 1,
        "schedule.gamma": 0.5,
        "loss.class": "cross_entropy",
        "loss.reduction": "mean",
        "loss.from_logits": True,
        "loss.label_smoothing": 0.0,
        "loss.weights": None,
        "loss.input_shape": [3],
        "loss.target_shape": [],
        "loader.batch_size": 32,
        "loader.shuffle": True,
        "loader.drop_last": False,
        "loader.workers": 0,
        "loader.num_samples": 150,
        "model.class": "Sequential",
        "model.parameters": 83,
        "layer.1.class": "Linear",
        "weights.0.shape": [8, 6],
        "precision.policy": "float32",
        "precision.autocast": None,
        "backend": "torch",
        "seed.torch": 0,
    },
    "accumulation": {
        "optimizer.groups": 2,
        "optimizer.weight_decay": 0.1,
        "optimizer.group1.weight_decay": 0.01,
        "optimizer.clip_global_norm": 0.1,
        "schedule.class": "OneCycleLR",
        "schedule.total_steps": 8,
        "schedule.max_lr": 0.05,
        "loader.sampler": "WeightedRandomSampler",
        "loader.shuffle": None,
    },
    "autocast": {
        "optimizer.clip_value": 0.02,
        "optimizer.clip_global_norm": None,
        "optimizer.foreach": True,
        "precision.autocast": "bfloat16",
        "schedule.class": "ReduceLROnPlateau",
        "schedule.patience": 0,
    },
    "evaluation_mode": {
        "optimizer.nesterov": True,
        "optimizer.momentum": 0.9,
        "optimizer.decay": None,
        "loss.label_smoothing": 0.1,
        "loader.sampler": "Growing",
        "loader.batch_size": None,
        "dropout.0.rate": 0.2,
        "normalisation.0.momentum": 0.9,
        "normalisation.0.epsilon": 1e-5,
    },
    "gan": {"optimizer.learning_rate": 0.002, "optimizer.1.learning_rate": 0.001, "loss.class": "binary_cross_entropy"},
    "scaler": {"optimizer.loss_scale": 1024.0, "optimizer.clip_value": None},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_set_is_read_from_the_live_objects(tmp_path, capsys, name):
    with xframe.watch(tmp_path / "a.trace"):
        run(f"torch_{name}", capsys)
    found = xframe.Trace.open(tmp_path / "a.trace").settings
    wanted = SETTINGS[name]
    assert {each: found.get(each, "absent") for each in wanted} == wanted


IN_KERAS = """
import json, runpy, sys
import numpy as np
import xframe
script, folder = sys.argv[1:]
bare = runpy.run_path(script)
drawn = np.random.random()
with xframe.watch(folder + "/a.trace"):
    left = runpy.run_path(script)
weights = zip(bare["model"].get_weights(), left["model"].get_weights(), strict=True)
assert all(np.array_equal(a, b) for a, b in weights), "other weights"
assert np.random.random() == drawn, "other random numbers"
assert bare["history"].history == left["history"].history, "another history"
with open(folder + "/left.json", "w") as file:
    json.dump({"updates": left["updates"], **left["history"].history}, file)
"""


@pytest.mark.costly
def test_keras_on_torch_is_recorded_as_it_counts(tmp_path):
    command = [sys.executable, "-c", IN_KERAS, str(WRITTEN / "on_torch_keras.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = json.loads((tmp_path / "left.json").read_text())
    trace = xframe.Trace.open(tmp_path / "a.trace")
    rows = trace.frame()
    assert rows.batch_size.tolist() == [32, 32, 26] * 2
    assert sorted(np.concatenate(rows.ids[:3].tolist()).tolist()) == list(range(90))
    assert rows.updates.tolist() == rows.update_attempts.tolist() == left["updates"] == [0, 1, 1, 2, 2, 3]
    assert rows.loss_rows.tolist() == rows.batch_size.tolist()
    assert rows.training.tolist() == [1] * 6
    assert rows.gradient_norm.notna().tolist() == [False, True] * 3
    assert (rows.clipped_norm.dropna() <= np.minimum(rows.gradient_norm.dropna(), 0.5) * 1.0001).all()
    means = [np.average(rows.loss[rows.epoch == e], weights=rows.batch_size[rows.epoch == e]) for e in (0, 1)]
    np.testing.assert_allclose(means, left["loss"], rtol=1e-5)
    assert [each.after for each in trace.validations] == [3, 6]
    np.testing.assert_allclose([each.loss for each in trace.validations], left["val_loss"], rtol=1e-5)
    wanted = {
        "model.class": "Sequential",
        "dropout.0.rate": 0.2,
        "optimizer.class": "Adam",
        "optimizer.learning_rate": 0.01,
        "optimizer.clip_global_norm": 0.5,
        "optimizer.accumulation_steps": 2,
        "optimizer.epsilon": 1e-7,
        "loss.reduction": "mean",
    }
    assert {name: trace.settings.get(name, "absent") for name in wanted} == wanted
