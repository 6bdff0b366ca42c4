"""Scripts as they are: what each step consumed, by its content, is what the script itself counts."""

import runpy

import numpy as np
import pytest
import torch

import xframe
from xframe.recording.identity import prints

SCRIPT = """
import torch
from torch import nn
torch.manual_seed(0)
x, y = torch.rand(20, 6), torch.randint(0, 3, (20,))
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
taken = []
{definitions}
for start in (0, 8, 16):
    features, targets = x[start : start + 8].clone(), y[start : start + 8].clone()
    optimizer.zero_grad()
    {step}
    optimizer.step()
    taken.append((features.numpy(), targets.numpy()))
"""
INSIDE = """
class Inside(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = model
    def forward(self, inputs, labels=None):
        return nn.functional.cross_entropy(self.inner(inputs), labels)
inside = Inside()
"""
OWN = """
class Loss(nn.Module):
    def forward(self, outputs, target):
        return -(outputs.log_softmax(1) * nn.functional.one_hot(target, 3)).sum(1).mean()
own = Loss()
"""
STEPS = {
    "functional": ("", "nn.functional.cross_entropy(model(features), targets).backward()"),
    "module": ("loss = nn.CrossEntropyLoss()", "loss(model(features), targets).backward()"),
    "by name": ("loss = nn.CrossEntropyLoss()", "loss(target=targets, input=model(features)).backward()"),
    "inside, by name": (INSIDE, "inside(inputs=features, labels=targets).backward()"),
    "inside, by place": (INSIDE, "inside(features, targets).backward()"),
    "own": (OWN, "own(model(features), targets).backward()"),
    "compiled": (
        "fast = torch.compile(model, backend='eager')",
        "nn.CrossEntropyLoss()(fast(features), targets).backward()",
    ),
    "evaluated before": (
        "loss = nn.CrossEntropyLoss()",
        "loss(model(x[:4].clone()), y[:4].clone()); loss(model(features), targets).backward()",
    ),
}


def recorded(tmp_path, script, **options):
    (tmp_path / "script.py").write_text(script)
    with xframe.watch(tmp_path / "a.trace", **options):
        left = runpy.run_path(str(tmp_path / "script.py"))
    return left, xframe.Trace.open(tmp_path / "a.trace")


@pytest.mark.parametrize("way", STEPS)
def test_features_and_targets_of_each_step(tmp_path, way):
    definitions, step = STEPS[way]
    left, trace = recorded(tmp_path, SCRIPT.format(definitions=definitions, step=step))
    for place, name in enumerate(("features", "targets")):
        values, known = trace.between(name, 0, 3)
        assert known is None, name
        expected = np.concatenate([prints(one[place]) for one in left["taken"]])
        assert values.reshape(-1, 3)[:, 0].tolist() == expected[:, 0].tolist(), name
    assert trace.frame().batch_size.tolist() == [8, 8, 4]


def test_what_has_no_prints_is_not_known_and_stops_nothing(tmp_path):
    """Numbers that are not real; targets beside them have theirs."""
    step = "nn.functional.cross_entropy(own(torch.complex(features, features)), targets).backward()"
    own = "class Own(nn.Module):\n    def forward(self, z):\n        return model(z.real)\nown = Own()"
    left, trace = recorded(tmp_path, SCRIPT.format(definitions=own, step=step))
    assert trace.num_rows == 3
    assert "features" not in trace.columns
    values = trace.column("targets").reshape(-1, 3)
    assert values[:, 0].tolist() == np.concatenate([prints(targets)[:, 0] for _, targets in left["taken"]]).tolist()


def test_what_is_not_asked_for_is_not_there(tmp_path):
    script = SCRIPT.format(definitions="", step=STEPS["functional"][1])
    _, trace = recorded(tmp_path, script, identity="index")
    assert not {"features", "targets"} & set(trace.columns)
    assert trace.metadata["identity"] == "index"
    with pytest.raises(xframe.UsageError, match="unknown identity: got 'content'"):
        recorded(tmp_path, script, identity="content")


def test_a_training_with_prints_is_the_training_without(tmp_path):
    definitions, step = STEPS["module"]
    script = SCRIPT.format(definitions=definitions, step=step)
    (tmp_path / "bare.py").write_text(script)
    bare, drawn = runpy.run_path(str(tmp_path / "bare.py")), torch.rand(3)
    left, _ = recorded(tmp_path, script)
    assert torch.equal(torch.rand(3), drawn)
    assert all(map(torch.equal, bare["model"].parameters(), left["model"].parameters()))
