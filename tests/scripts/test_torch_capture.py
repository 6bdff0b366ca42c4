"""Updates of scripts in torch, captured: the run stays as it is, and what is kept is what happened."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from xframe_numpy.optimizers import Optimizer

import xframe
from xframe.trace.captured import captured_of

pytestmark = pytest.mark.xdist_group("torch")
ADAM, SGD = xframe.optimizers.Adam, xframe.optimizers.SGD


@pytest.fixture(autouse=True)
def _nothing_compiled(monkeypatch):
    """Whatever a test before has compiled in this process."""
    import torch._dynamo.utils

    monkeypatch.setattr(torch._dynamo.utils, "counters", {})


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm, self.drop, self.out = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.drop(functional.relu(self.norm(self.fc(x)))))


def network():
    torch.manual_seed(0)
    return Net()


class Script:
    """A loop by hand, in one of several ways."""

    def __init__(self, way="", dtype=torch.float32, optimizer=torch.optim.AdamW, **arguments):
        self.way, self.model = way, network().to(dtype)
        self.x, self.y = torch.rand(48, 6, dtype=dtype), torch.randint(0, 3, (48,))
        self.optimizer = optimizer(self.model.parameters(), **{"lr": 0.01, **arguments})
        self.scaler = torch.amp.GradScaler("cpu", init_scale=512.0, enabled="scaled" in way)
        self.called = torch.compile(self.model, backend="eager") if "compiled" in way else self.model

    def loss(self, step):
        rows = slice(12 * (step % 4), 12 * (step % 4) + 12)
        return functional.cross_entropy(self.called(self.x[rows]), self.y[rows], label_smoothing=0.1)

    def step(self, step):
        self.optimizer.zero_grad()
        for part in range(3 if "window" in self.way else 1):
            loss = self.loss(step + part)
            self.scaler.scale(loss / 3 if "window" in self.way else loss).backward()
        self.scaler.unscale_(self.optimizer)
        if "clipped" in self.way:
            nn.utils.clip_grad_norm_(self.model.parameters(), 0.05)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def by_closure(self, step):
        def closure():
            self.optimizer.zero_grad()
            loss = self.loss(step)
            loss.backward()
            return loss

        self.optimizer.step(closure)

    def train(self, steps=7):
        for step in range(steps):
            (self.by_closure if self.way == "closure" else self.step)(step)

    def bits(self):
        return [one.detach().numpy().tobytes() for one in self.model.state_dict().values()]


def captured(path, train, capture=2, **how):
    with xframe.watch(path, capture=capture, **how):
        train()
    return [one.read() for one in captured_of(xframe.Trace.open(path))]


@pytest.mark.parametrize(
    ("way", "arguments"),
    [
        ("", {}),
        ("closure", {}),
        ("clipped window", {"optimizer": torch.optim.SGD, "momentum": 0.9, "nesterov": True}),
        ("scaled clipped", {}),
        ("scaled", {"fused": True}),
        ("compiled", {}),
    ],
)
def test_the_run_is_the_same_to_the_bit_and_each_update_begins_where_the_one_before_ended(tmp_path, way, arguments):
    bare, script = Script(way, **arguments), Script(way, **arguments)
    torch.manual_seed(1)
    bare.train()
    drawn = torch.rand(3)
    torch.manual_seed(1)
    first, second, later = captured(tmp_path / "a.trace", script.train)
    assert script.bits() == bare.bits()
    assert torch.equal(torch.rand(3), drawn)
    assert [one.facts["update"] for one in (first, second, later)] == [0, 1, 4]
    assert [one.step for one in (first, second, later)] == [0, 1, 4] if "window" not in way else [2, 5, 14]
    assert first.after.differences(second.before) in ([], ["numbers/updates"])
    assert first.after.parameters.keys() == dict(script.model.named_parameters()).keys()
    assert not any(hooked._forward_hooks for hooked in script.model.modules())
    window = 3 if "window" in way else 1
    assert {one.facts["window"] for one in (first, second, later)} == {window}
    assert later.before.buffers["norm.num_batches_tracked"] == 4 * window
    assert later.after.buffers["norm.num_batches_tracked"] == 5 * window


@pytest.mark.parametrize(
    ("rule", "optimizer", "arguments", "slots"),
    [
        (
            ADAM(0.01, epsilon=1e-7, epsilon_on="corrected"),
            torch.optim.Adam,
            {"eps": 1e-7},
            {"exp_avg": "m", "exp_avg_sq": "v"},
        ),
        (SGD(0.01, momentum=0.9), torch.optim.SGD, {"momentum": 0.9}, {"momentum_buffer": "velocity"}),
    ],
)
@pytest.mark.parametrize("way", ["clipped", "closure"])
def test_a_captured_update_is_reproduced_from_its_record(tmp_path, way, rule, optimizer, arguments, slots):
    script = Script(way, torch.float64, optimizer, **arguments)
    records = captured(tmp_path / "a.trace", script.train)
    assert len(records) == 3
    for record in records:
        weights = {name: values.copy() for name, values in record.before.parameters.items()}
        numpy = Optimizer(rule, weights)
        kept = [*next(iter(numpy.slots.values()))]
        for slot, of in zip(kept, slots, strict=True):
            for name, values in record.before.slots.get(of, {}).items():
                numpy.slots[name][slot] = values.copy()
        numpy.updates.applied = int(record.before.numbers["updates"])
        numpy.learning_rate = record.before.numbers["rate"]
        numpy.update(weights, record.stages["clipping"])
        for name, values in record.after.parameters.items():
            assert np.abs(weights[name] - values).max() <= 8 * np.finfo(float).eps * np.abs(values).max()
        assert np.abs(record.before.parameters["out.weight"] - record.after.parameters["out.weight"]).max() > 1e-6
        for slot, of in zip(kept, slots, strict=True):
            for name, values in record.after.slots[of].items():
                np.testing.assert_allclose(numpy.slots[name][slot], values, rtol=1e-12, atol=1e-18)


def test_the_stages_are_those_of_the_step(tmp_path):
    script = Script("clipped", torch.float64)
    first, *_ = captured(tmp_path / "a.trace", script.train)
    again = Script("clipped", torch.float64)
    state = again.model.state_dict()
    for name, values in {**first.before.parameters, **first.before.buffers}.items():
        assert state[name].numpy().tobytes() == values.tobytes()
    batch, forward = first.stages["batch"], first.stages["forward"]
    assert batch["features"].tobytes() == script.x[:12].numpy().tobytes()
    assert batch["targets"].tolist() == script.y[:12].tolist()
    assert batch["ids"].tolist() == list(range(12))
    assert forward["fc/outputs"].tolist() == again.model.fc(script.x[:12]).tolist()
    assert forward["outputs"].tobytes() == forward["out/outputs"].tobytes()
    assert [one["name"] for one in first.facts["layers"]] == ["fc", "norm", "drop", "out"]
    assert first.facts["layers"][1] | {"eps": 1e-5, "momentum": 0.1, "training": True} == first.facts["layers"][1]
    outputs = torch.from_numpy(forward["outputs"]).requires_grad_()
    loss = functional.cross_entropy(outputs, script.y[:12], label_smoothing=0.1)
    assert first.stages["loss"]["loss"] == first.stages["loss"]["terms/0/value"] == loss.item()
    assert first.facts["losses"][0] | {"class": "cross_entropy", "label_smoothing": 0.1} == first.facts["losses"][0]
    slope = first.stages["loss"]["slope"]
    np.testing.assert_array_equal(slope, torch.autograd.grad(loss, outputs)[0].numpy())
    assert [name for name in forward if name.endswith("/inputs")] == ["drop/inputs"]
    assert forward["drop/inputs"].tolist() == np.maximum(forward["norm/outputs"], 0).tolist()
    norms = [
        math.hypot(*(np.linalg.norm(one) for one in first.stages[each].values())) for each in ("gradient", "clipping")
    ]
    assert norms[0] > norms[1] == pytest.approx(0.05, rel=1e-3)
    assert first.facts["clipping"][0] | {"kind": "norm", "limit": 0.05} == first.facts["clipping"][0]
    kinds = {one["name"]: (one["kind"], one["role"]) for one in first.facts["model"]["parameters"]}
    assert kinds["fc.weight"] == ("dense", "kernel")
    assert kinds["norm.running_mean"] == ("batchnorm", "mean")
    assert first.facts["groups"][0]["parameters"] == [name for name, _ in script.model.named_parameters()]
    assert first.facts["optimizer"]["class"] == "AdamW"


def test_gradients_are_divided_by_the_loss_scale(tmp_path):
    plain, scaled, fused = (
        captured(tmp_path / f"{place}.trace", Script(way, **arguments).train)[0]
        for place, (way, arguments) in enumerate([("", {}), ("scaled clipped", {}), ("scaled", {"fused": True})])
    )
    for one in (scaled, fused):
        assert one.facts["loss_scale"] == 512
        for name, values in plain.stages["gradient"].items():
            np.testing.assert_allclose(one.stages["gradient"][name], values, rtol=1e-5, atol=1e-8)
        np.testing.assert_array_equal(one.stages["loss"]["slope"], plain.stages["loss"]["slope"])


@pytest.mark.parametrize("fused", [False, True])
def test_updates_that_are_skipped_are_not_counted(tmp_path, fused):
    script = Script("scaled", fused=fused)
    script.x[12] = math.inf

    found = captured(tmp_path / "a.trace", script.train, 4)
    assert [one.step for one in found] == [0, 2, 3, 4]
    for place, one in enumerate(found):
        assert one.facts["update"] == one.before.numbers["updates"] == place
        assert one.facts["window"] == 1
        assert one.after.differences(one.before)


@pytest.mark.parametrize("by", [4, 3, 2.5])
def test_what_a_script_does_to_gradients_by_itself_is_clipping_unless_it_divides_them_by_a_whole_number(tmp_path, by):
    script = Script()

    def train():
        for step in range(3):
            script.optimizer.zero_grad()
            script.loss(step).backward()
            for parameter in script.model.parameters():
                parameter.grad /= by
            script.optimizer.step()

    for record in captured(tmp_path / "a.trace", train):
        for name, values in record.stages["gradient"].items():
            np.testing.assert_allclose(record.stages["clipping"][name], values / (by if by % 1 else 1), rtol=1e-6)


def test_each_optimizer_has_files_of_its_own_and_its_own_batches(tmp_path):
    torch.manual_seed(0)
    generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
    of = [torch.optim.SGD(one.parameters(), 0.1) for one in (generator, critic)]
    real = torch.rand(5, 4)

    def train():
        for _ in range(2):
            for number, optimizer in ((1, of[1]), (0, of[0])):
                optimizer.zero_grad()
                fake = generator(torch.rand(5, 2))
                loss = critic(fake).mean() if not number else critic(real).mean() - critic(fake.detach()).mean()
                loss.backward()
                optimizer.step()

    with xframe.watch(tmp_path / "a.trace", capture=2):
        train()
    found = {(one.update, one.optimizer): one.read() for one in captured_of(xframe.Trace.open(tmp_path / "a.trace"))}
    assert [*found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    critics, generators = found[1, 0], found[1, 1]
    assert [*critics.before.parameters] == ["bias", "weight"] == [*generators.before.parameters]
    assert critics.before.parameters["weight"].shape == (1, 4)
    assert generators.before.parameters["weight"].shape == (4, 2)
    assert critics.stages["batch"]["features"].tolist() == real.tolist()
    assert generators.stages["batch"]["features"].shape == (5, 2)
    assert generators.stages["batch"]["calls/1/features"].tolist() == generators.stages["forward"]["returned"].tolist()


def test_what_led_to_no_gradient_is_not_of_the_update(tmp_path):
    script = Script()

    def train():
        for step in range(3):
            functional.cross_entropy(script.model(script.x[:7]), script.y[:7])
            script.step(step)

    for record in captured(tmp_path / "a.trace", train):
        assert record.stages["batch"]["features"].shape == (12, 6)
        assert record.facts["calls"] == len(record.facts["losses"]) == 1


def test_a_run_that_is_cut_short_keeps_what_it_had(tmp_path):
    script = Script()

    def fail():
        script.train(2)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), xframe.watch(tmp_path / "a.trace", capture=4):
        fail()
    assert [one.update for one in captured_of(xframe.Trace.open(tmp_path / "a.trace"))] == [0, 1]


NAME = "outputs/window\n\ud800 __metadata__"


class Odd(nn.Module):
    """Returns and takes what nobody expects."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2).bfloat16()
        self.add_module(NAME, nn.Linear(4, 1))
        self.register_buffer("phase", torch.tensor([1 + 2j]))
        self.register_buffer("nothing", torch.empty(0, 3))

    def forward(self, batch, *, flag, deep):
        getattr(self, NAME)(batch["x"])
        return {"a/b": self.fc(batch["x"].bfloat16()), "": flag, 3: (self.fc.weight, None)}


def test_values_that_nobody_expects_do_not_stop_the_script_or_the_capture(tmp_path):
    torch.manual_seed(0)
    model = Odd()
    optimizer = torch.optim.Adam(model.parameters(), eps=math.inf, lr=torch.tensor(0.5))
    optimizer.param_groups[0]["mine"] = [object(), math.nan, "\ud800"]
    x = torch.rand(3, 4)
    x[0] = math.nan

    def train():
        for _ in range(2):
            loss = model({"x": x, "s": "text"}, flag=object(), deep=[[[x.to_sparse()]]])["a/b"].float().sum()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), math.inf)
            optimizer.step()
            optimizer.state[model.fc.weight]["odd"] = {"a": 1}
            optimizer.state[model.fc.weight]["a/b"] = 2

    first, second = captured(tmp_path / "a.trace", train)
    assert second.precision == "bfloat16"
    assert np.isnan(second.stages["batch"]["features/0/x"]).any()
    assert first.stages["forward"][f"{NAME}/outputs"].shape == (3, 1)
    assert f"{NAME}.weight" in second.before.parameters
    assert second.before.buffers["phase"].tolist() == [[1, 2]]
    assert second.facts["left_out"] == ["slot odd", "slot a/b"]
    assert second.facts["groups"][0]["mine"] == ["object", "nan", "\ud800"]


def test_what_is_too_large_is_left_out_and_said(tmp_path):
    model = nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    torch.manual_seed(0)

    def train():
        for rows in (2, 1000):
            optimizer.zero_grad()
            model(torch.rand(rows, 300)).mean().backward()
            optimizer.step()

    assert captured(tmp_path / "a.trace", train, capture_mb=1) == []
    assert (
        "are left" in xframe.Trace.open(tmp_path / "a.trace").end["captured"]["left_out"]["update-000000.safetensors"]
    )
    first, second = captured(tmp_path / "b.trace", train, capture_mb=5)
    assert first.facts["left_out"] == []
    assert "what models took" in second.facts["left_out"] or "layers" in str(second.facts["left_out"])


def test_without_an_optimizer_capturing_ends_and_says_so(tmp_path):
    weights = torch.zeros(4, requires_grad=True)

    def train():
        for _ in range(300):
            functional.mse_loss(weights, torch.rand(4)).backward()

    with xframe.watch(tmp_path / "a.trace", capture=1) as recorder:
        train()
    assert "no optimizer steps" in str(recorder.end_facts["captured"])


def test_nothing_is_looked_at_unless_it_was_asked_for(tmp_path, monkeypatch):
    from xframe_torch.instruments import copies

    read = []
    array = copies.array
    monkeypatch.setattr(copies, "array", lambda tensor: (read.append(1), array(tensor))[1])
    script = Script()
    with xframe.watch(tmp_path / "a.trace"):
        script.train()
    assert not read
    with xframe.watch(tmp_path / "b.trace", capture=1):
        script.train(3)
        seen = len(read)
        for step in range(3, 8):  # of which 4 is due
            script.step(step)
            if step == 4:
                seen, kept = len(read), seen
                assert seen > kept
        assert len(read) == seen


def test_an_optimizer_that_steps_within_the_backward_pass_has_its_batch(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    every = {p: torch.optim.SGD([p], 0.1) for p in model.parameters()}

    def step(parameter):
        every[parameter].step()
        every[parameter].zero_grad()

    for parameter in every:
        parameter.register_post_accumulate_grad_hook(step)
    x = torch.rand(6, 2, 3)

    def train():
        for rows in x:
            functional.mse_loss(model(rows), torch.ones(2, 1)).backward()

    found = [one for one in captured(tmp_path / "a.trace", train) if one.facts["update"] == 4]
    assert len(found) == len(every)
    for one in found:
        assert one.stages["batch"]["features"].tolist() == x[4].tolist()
        assert len(one.stages["gradient"]) == 1


@pytest.mark.filterwarnings("ignore:.torch.jit.:DeprecationWarning")
def test_a_model_that_is_a_script_of_torch_s_is_recorded_and_captured(tmp_path):
    model = torch.jit.trace(nn.Linear(3, 1), torch.rand(1, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def train():
        for _ in range(2):
            optimizer.zero_grad()
            functional.mse_loss(model(torch.rand(4, 3)), torch.rand(4, 1)).backward()
            optimizer.step()

    assert [one.stages["forward"]["outputs"].shape for one in captured(tmp_path / "a.trace", train)] == [(4, 1)] * 2
    assert xframe.Trace.open(tmp_path / "a.trace").num_rows == 2


def test_names_stay_where_one_optimizer_has_two_models(tmp_path):
    first, second = nn.Linear(4, 3), nn.Embedding(5, 3, sparse=True)
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], 0.1)

    def train():
        for step in range(3):
            optimizer.zero_grad()
            order = (0, 1) if step % 2 else (1, 0)
            made = {which: (first(torch.rand(2, 4)), second(torch.tensor([1, 3])))[which] for which in order}
            if step % 2:
                made[0] = first(torch.rand(2, 4))
            functional.mse_loss(made[0], made[1]).backward()
            optimizer.step()

    for record in captured(tmp_path / "a.trace", train):
        assert {name: one.shape for name, one in record.before.parameters.items()} == {
            "0.weight": (3, 4),
            "0.bias": (3,),
            "1.weight": (5, 3),
        }
        assert record.stages["gradient"]["1.weight"].shape == (5, 3)
        assert record.facts["model"]["class"] == ["Linear", "Embedding"]
