"""Presets without their trainers: arguments, refusals, and what each plan says. tests/trainers runs the trainers."""

import inspect
from itertools import islice, product

import numpy as np
import pytest
from sweeps.simulator import simulate

import xframe
from xframe.plan import presets
from xframe.plan.replicas import share
from xframe.report import reasons, trainers
from xframe.testing import clean

CASE = {"batch_size": 10, "gradient_accumulation_steps": 4, "epochs": 3}
LEAST = {  # the arguments without which a trainer cannot be asked
    "keras": {},
    "keras2": {},
    "lightning": {"batch_size": 10},
    "transformers": {},
    "accelerate": {"batch_size": 10, "num_epochs": 3},
    "ignite": {"batch_size": 10},
    "optax": {"batch_size": 10, "num_epochs": 3},
    "pytorch": {"epochs": 3},
    "tf_distribute": {"batch_size": 10, "epochs": 3},
}


def asked(*question):
    """The plan that is a trainer's answer."""
    return xframe.TrainingPlan.from_mapping(presets.answer(*question))


def like(trainer, num_samples=103, **arguments):
    return xframe.TrainingPlan.like(trainer, num_samples=num_samples, **{**LEAST[trainer], **arguments})


def refused(trainer, num_samples=103, **arguments):
    with pytest.raises(xframe.UsageError) as caught:
        like(trainer, num_samples, **arguments)
    assert caught.value.exit_code == 2
    assert caught.value.expected
    return str(caught.value)


# The case that the trainers are known for


@pytest.mark.parametrize(
    ("trainer", "updates"),
    [
        ("keras", 8),
        ("lightning", 9),
        ("transformers", 9),
        ("accelerate", 9),
        ("ignite", 8),
        ("optax", 8),
        ("pytorch", 6),
    ],
)
def test_three_epochs_of_eleven_steps_in_windows_of_four(trainer, updates):
    counts = asked(trainer, 103, CASE).counts(103)
    assert (counts.num_steps, counts.num_updates, counts.num_epochs) == (33, updates, 3)


@pytest.mark.parametrize("trainer", presets.trainers())
def test_every_preset_names_version_source_and_evidence(trainer):
    preset = presets.preset(trainer)
    text = preset.text
    assert f"*{preset.evidence}* with {preset.trainer}" in text
    assert "Source: " in text
    assert set(LEAST) == set(presets.trainers())
    known = set(inspect.signature(preset.make).parameters)
    assert set(preset.names.values()) | set(preset.drop) <= known
    for arguments in preset.switches.values():
        assert set(arguments) <= known
    assert set(preset.names) | set(preset.missing) == {
        "batch_size",
        "epochs",
        "steps",
        "updates",
        "steps_per_epoch",
        "gradient_accumulation_steps",
        "replicas",
    }


@pytest.mark.parametrize("trainer", presets.trainers())
def test_order_is_the_plans_own(trainer):
    plan = like(trainer, order="shuffle", seed=5, reshuffle=False)
    assert (plan.order, plan.seed, plan.reshuffle) == ("shuffle", 5, False)
    assert like(trainer, order="sequential").order == "sequential"
    assert like(trainer).seed == 0


@pytest.mark.parametrize("trainer", presets.trainers())
def test_numbers_may_be_numpys(trainer):
    name = presets.preset(trainer).names["batch_size"]
    assert like(trainer, np.int64(103), **{name: np.int32(7)}) == like(trainer, 103, **{name: 7})


# What each says in a plan's words


@pytest.mark.parametrize(
    ("trainer", "arguments", "fields"),
    [
        ("keras", {}, {"batch_size": 32, "epochs": 1}),
        ("keras", {"steps_per_epoch": 10}, {"batch_size": 11, "steps_per_epoch": 10, "on_exhaustion": "short_epoch"}),
        (
            "keras",
            {"batch_size": 10, "steps_per_epoch": 4, "steps_per_execution": 3, "gradient_accumulation_steps": 4},
            {"steps_per_epoch": 6, "accumulation_remainder": "carry", "loss_normalization": "window"},
        ),
        ("keras", {"batch_size": 10, "steps_per_execution": 3}, {"steps_per_epoch": None}),
        ("keras", {"batch_size": 10, "data": "dataset", "drop_remainder": True}, {"remainder": "drop"}),
        (
            "keras",
            {"batch_size": 10, "data": "batch-repeat", "steps_per_epoch": 4},
            {"epoch_iterator": "continue", "on_exhaustion": "repeat"},
        ),
        (
            "keras",
            {"batch_size": 10, "data": "repeat-batch", "steps_per_epoch": 4},
            {"remainder": "carry", "on_exhaustion": None},
        ),
        (
            "keras2",
            {"batch_size": 10, "steps_per_epoch": 4, "epochs": 2},
            {"steps": 22, "on_exhaustion": "repeat"},
        ),
        (
            "keras2",
            {"batch_size": 10, "steps_per_epoch": 4, "data": "dataset"},
            {"epoch_iterator": "continue", "on_exhaustion": "stop"},
        ),
        ("keras2", {"batch_size": 10, "steps_per_epoch": 11, "data": "dataset"}, {"epoch_iterator": "restart"}),
        ("lightning", {}, {"epochs": 1000, "updates": None}),
        ("lightning", {"max_steps": 7}, {"epochs": None, "updates": 7}),
        ("lightning", {"max_steps": 7, "max_epochs": 2}, {"epochs": 2, "updates": 7}),
        ("lightning", {"limit_train_batches": 0.29}, {"steps_per_epoch": 3, "on_exhaustion": "short_epoch"}),
        ("lightning", {"limit_train_batches": 1.0}, {"steps_per_epoch": None}),
        ("lightning", {"limit_train_batches": 1}, {"steps_per_epoch": 1}),
        (
            "lightning",
            {"limit_train_batches": 20, "accumulate_grad_batches": 4, "data": "iterable"},
            {"accumulation_remainder": "drop"},
        ),
        ("transformers", {}, {"batch_size": 8, "epochs": 3}),
        ("transformers", {"max_steps": 7, "num_train_epochs": 2}, {"epochs": None, "updates": 7}),
        (
            "transformers",
            {"per_device_train_batch_size": 10, "num_train_epochs": 1.5, "gradient_accumulation_steps": 4},
            {"epochs": None, "updates": 5},
        ),
        (
            "transformers",
            {"num_items_in_batch": True, "gradient_accumulation_steps": 4},
            {"loss_normalization": "samples"},
        ),
        (
            "accelerate",
            {"gradient_accumulation_steps": 4, "steps_per_epoch": 5},
            {"accumulation_boundary": "pass", "epoch_iterator": "restart"},
        ),
        (
            "accelerate",
            {"gradient_accumulation_steps": 4, "sync_with_dataloader": False},
            {"accumulation_remainder": "carry"},
        ),
        ("accelerate", {"num_epochs": None, "max_train_steps": 5}, {"epochs": None, "updates": 5}),
        ("accelerate", {"num_epochs": 2, "max_train_steps": 12}, {"epochs": 2, "updates": 12}),
        ("ignite", {}, {"epochs": 1}),
        ("ignite", {"max_iters": 7}, {"epochs": None, "steps": 7}),
        ("ignite", {"max_epochs": 2, "epoch_length": 4}, {"epoch_iterator": "continue", "on_exhaustion": "repeat"}),
        ("optax", {"every_k_schedule": 4, "use_grad_mean": False}, {"loss_normalization": "sum"}),
        ("pytorch", {"gradient_accumulation_steps": 4, "leftover": "zero"}, {"accumulation_remainder": "drop"}),
        ("pytorch", {"batch_size": 10, "drop_last": True, "max_steps": 7}, {"remainder": "drop", "steps": 7}),
    ],
)
def test_arguments(trainer, arguments, fields):
    plan = like(trainer, **arguments)
    assert {name: getattr(plan, name) for name in fields} == fields


@pytest.mark.parametrize("trainer", presets.trainers())
def test_a_plans_name_for_the_same_thing_will_do(trainer):
    own = {presets.preset(trainer).names[name]: value for name, value in (("batch_size", 10), ("epochs", 3))}
    plan = xframe.TrainingPlan.like(trainer, num_samples=103, **own)
    assert xframe.TrainingPlan.like(trainer, num_samples=103, batch_size=10, epochs=3) == plan
    assert plan.counts(103).num_steps == 33


# Refusals


@pytest.mark.parametrize(
    ("trainer", "arguments", "parts"),
    [
        ("keras", {"max_steps": 5}, ("keras has no argument 'max_steps'", "got 5", "steps_per_epoch")),
        ("keras", {"updates": 5}, ("no argument 'updates'", "Keras fit has no limit of updates")),
        ("keras", {"batch_sise": 5}, ("Did you mean 'batch_size'?",)),
        ("keras", {"data": "unknown"}, ("unknown cardinality", "no plan expresses", "assert_cardinality")),
        ("keras", {"data": "repeat"}, ("repeated a finite number of times", "no plan expresses")),
        ("keras", {"data": "generator"}, ("replay", "no plan expresses")),
        ("keras", {"data": "array"}, ("unknown data", "Did you mean 'arrays'?")),
        ("keras", {"data": "batch-repeat"}, ("without end", "steps_per_epoch")),
        ("keras", {"drop_remainder": True}, ("drop_remainder on arrays", "data='dataset'")),
        ("keras", {"batch_size": 200, "data": "dataset", "drop_remainder": True}, ("empty", "got 103", "at least 200")),
        ("keras2", {"gradient_accumulation_steps": 4}, ("no argument", "accumulates no gradients")),
        (
            "keras2",
            {"batch_size": 60, "steps_per_epoch": 4, "steps_per_execution": 3, "data": "dataset"},
            ("ends inside the first execution", "got 2 batches"),
        ),
        ("lightning", {"epochs": 3, "max_epochs": 3}, ("both epochs and max_epochs", "max_epochs alone")),
        ("lightning", {"steps": 3}, ("no argument 'steps'", "max_steps counts updates")),
        ("lightning", {"max_epochs": -1}, ("without end", "a limit")),
        ("lightning", {"max_steps": 0}, ("max_steps", "got 0", "-1 stands for no limit")),
        ("lightning", {"max_epochs": 1.5}, ("max_epochs", "got 1.5")),
        ("lightning", {"limit_train_batches": 0}, ("limit_train_batches", "got 0")),
        ("lightning", {"limit_train_batches": 0.01}, ("leaves no batch", "got 0.01", "11 batches")),
        ("lightning", {"limit_train_batches": 2.5}, ("limit_train_batches", "got 2.5")),
        ("lightning", {"limit_train_batches": 0.5, "data": "iterable"}, ("share of an iterable", "a count")),
        ("lightning", {"limit_train_batches": True}, ("limit_train_batches", "got True")),
        ("lightning", {"accumulate_grad_batches": 0}, ("accumulate_grad_batches", "got 0")),
        ("lightning", {"drop_last": 1}, ("drop_last", "got 1", "True or False")),
        ("transformers", {"num_train_epochs": 0}, ("num_train_epochs", "got 0", "above 0")),
        ("transformers", {"num_train_epochs": float("nan")}, ("num_train_epochs", "got nan")),
        ("transformers", {"num_train_epochs": float("inf")}, ("num_train_epochs", "got inf")),
        ("transformers", {"max_steps": 0}, ("max_steps", "got 0", "num_train_epochs")),
        ("transformers", {"data": "iterable"}, ("without max_steps", "max_steps > 0")),
        (
            "transformers",
            {"data": "iterable", "max_steps": 9, "gradient_accumulation_steps": 4},
            ("leak", "no plan expresses", "13 batches", "divides 13"),
        ),
        ("accelerate", {"num_epochs": None}, ("num_epochs or max_train_steps",)),
        ("accelerate", {"steps_per_epoch": 4, "max_train_steps": 4}, ("both steps_per_epoch and max_train_steps",)),
        ("accelerate", {"max_train_steps": 5}, ("no plan expresses", "still makes a step", "22 updates")),
        ("ignite", {"max_epochs": 1, "max_iters": 4}, ("both max_epochs and max_iters", "Engine.run")),
        ("ignite", {"updates": 4}, ("no argument", "max_iters counts steps")),
        ("optax", {"use_grad_mean": "yes"}, ("use_grad_mean", "True or False")),
        ("pytorch", {"leftover": "flsh"}, ("unknown leftover", "Did you mean 'flush'?")),
        ("pytorch", {"epochs": None}, ("pytorch needs epochs or max_steps",)),
    ],
)
def test_what_no_plan_says_is_refused_by_name(trainer, arguments, parts):
    text = refused(trainer, **arguments)
    for part in parts:
        assert part in text


# Calls as they stand: tests/trainers compares the arguments with the installed trainers


def callback(name, package="keras.src.callbacks", **attributes):
    """One of a trainer's own package, or of a script."""
    return type(name, (), {"__module__": package, **attributes})()


DEALS = callback("DistributedSampler", "torch", num_replicas=2, drop_last=True, shuffle=False)
MIRRORED = callback("MirroredStrategy", "tensorflow", num_replicas_in_sync=2)
POLICY = type("AutoShardPolicy", (), {"name": "DATA"})()
STOPS = {
    "keras": {
        "callbacks": [
            callback("ModelCheckpoint"),
            callback(
                "EarlyStopping",
                monitor="val_accuracy",
                mode="auto",
                patience=0,
                min_delta=-0.5,
                baseline=0.25,
                restore_best_weights=True,
                start_from_epoch=0,
            ),
        ],
        "validation_data": object(),
        "validation_freq": 2,
        "validation_batch_size": 7,
        "epochs": 4,
    },
}


@pytest.mark.parametrize(
    ("trainer", "arguments"),
    [
        ("keras", {"x": np.ones(3), "verbose": 0, "class_weight": {0: 1}, "jit_compile": True, "loss": "mse"}),
        ("keras2", {"workers": 4, "use_multiprocessing": True, "optimizer": "sgd"}),
        ("lightning", {"precision": "16-mixed", "logger": False, "devices": 1, "num_nodes": 1, "strategy": "ddp"}),
        ("lightning", {"devices": [3], "strategy": "deepspeed", "use_distributed_sampler": False}),
        ("lightning", {"devices": "1", "gradient_clip_val": 1.0, "num_workers": 8, "pin_memory": True}),
        ("transformers", {"learning_rate": 1e-3, "bf16": True, "local_rank": -1, "fsdp": "", "report_to": []}),
        ("accelerate", {"mixed_precision": "bf16", "log_with": "tensorboard", "num_workers": 2}),
        ("ignite", {"device": "cuda:0", "amp_mode": "amp", "deterministic": True}),
        ("optax", {"opt": object(), "accumulator_dtype": "float32", "should_skip_update_fn": None}),
        ("pytorch", {"num_workers": 4, "pin_memory": True, "sampler": None, "generator": object()}),
        ("pytorch", {"world_size": 1, "num_replicas": 1, "rank": 0, "sampler_drop_last": True, "join": None}),
        ("keras", {"strategy": "OneDeviceStrategy"}),
        ("keras", {"strategy": "MirroredStrategy", "num_replicas_in_sync": 1}),
        ("keras", {"strategy": callback("Mine", "script", num_replicas_in_sync=1)}),
        ("accelerate", {"num_processes": 1, "dispatch_batches": True, "even_batches": False, "split_batches": True}),
        ("transformers", {"world_size": 1, "local_rank": 0, "average_tokens_across_devices": False}),
        ("keras", {"num_replicas_in_sync": 1, "strategy": None, "auto_shard_policy": "OFF"}),
    ],
)
def test_arguments_that_change_no_counting_are_taken_as_they_stand(trainer, arguments):
    assert like(trainer, **arguments) == like(trainer)


@pytest.mark.parametrize("trainer", presets.trainers())
def test_any_value_of_an_argument_without_effect_is_taken(trainer):
    free = [name for name, only in presets.preset(trainer).accepts.items() if only is None]
    assert free
    assert like(trainer, **{name: object() for name in free}) == like(trainer)


@pytest.mark.parametrize(
    ("trainer", "arguments", "fields"),
    [
        ("keras", {"epochs": 5, "initial_epoch": 2}, {"epochs": 3}),
        ("keras", {"shuffle": False}, {"order": "sequential"}),
        ("keras", {"optimizer": callback("SGD", gradient_accumulation_steps=4)}, {"gradient_accumulation_steps": 4}),
        (
            "keras",
            STOPS["keras"],
            {
                "validation_every": 2,
                "validation_batch_size": 7,
                "early_stopping_patience": 1,
                "early_stopping_monitor": "accuracy",
                "early_stopping_mode": "max",
                "early_stopping_min_delta": 0.5,
                "early_stopping_baseline": 0.25,
                "restore_best": True,
            },
        ),
        ("lightning", {"overfit_batches": 2}, {"steps_per_epoch": 2, "order": "sequential"}),
        ("lightning", {"fast_dev_run": True}, {"epochs": 1, "updates": 1, "steps_per_epoch": 1}),
        ("transformers", {"train_sampling_strategy": "sequential"}, {"order": "sequential"}),
        ("pytorch", {"shuffle": True}, {"order": "shuffle"}),
        ("pytorch", {"validation_every": 2, "early_stopping_patience": 3}, {"early_stopping_patience": 3}),
    ],
)
def test_what_a_plan_can_express_it_does(trainer, arguments, fields):
    plan = like(trainer, **arguments)
    assert {name: getattr(plan, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("trainer", "arguments", "parts"),
    [
        ("lightning", {"devices": -1}, ("devices", "got -1", "the number of devices that it stands for")),
        ("lightning", {"devices": "auto"}, ("devices", "got 'auto'", "Give the number of devices that it stands for")),
        ("lightning", {"num_nodes": 2}, ("devices", "got 'auto'", "that it stands for")),
        ("lightning", {"devices": "auto", "num_nodes": 2}, ("devices", "got 'auto'", "that it stands for")),
        ("lightning", {"devices": 2, "strategy": "deepspeed"}, ("2 processes", "deepspeed", "is not known")),
        ("lightning", {"devices": 2, "use_distributed_sampler": False}, ("2 processes", "trains on all samples")),
        ("lightning", {"devices": 2, "data": "iterable"}, ("an iterable", "trains on all samples")),
        ("lightning", {"devices": 2, "sampler": callback("Mine", "script")}, ("sampler Mine", "not known")),
        ("lightning", {"devices": 3, "sampler": DEALS}, ("disagree", "world_size 3, the sampler's num_replicas 2")),
        (
            "lightning",
            {"devices": 2, "callbacks": callback("EarlyStopping", "lightning")},
            ("validate on a share each", "no plan expresses", "got 2"),
        ),
        ("pytorch", {"world_size": 2, "num_replicas": 4}, ("disagree", "world_size 2, num_replicas 4", "one number")),
        ("pytorch", {"world_size": 2, "sampler": callback("RandomSampler", "torch")}, ("trains on all samples",)),
        (
            "pytorch",
            {"world_size": 2, "sampler": None},
            ("2 processes and no sampler", "all samples", "Leave sampler out"),
        ),
        ("pytorch", {"devices": 2}, ("no argument 'devices'", "pytorch calls it world_size.")),
        ("keras", {"world_size": 2}, ("no argument 'world_size'", "keras calls it num_replicas_in_sync.")),
        ("transformers", {"num_replicas": 2}, ("no argument 'num_replicas'", "transformers calls it world_size.")),
        ("pytorch", {"world_size": 200, "sampler_drop_last": True}, ("no sample", "got 103", "at least 200")),
        ("pytorch", {"world_size": 2, "batch_size": 60, "drop_last": True}, ("empty", "at least 120")),
        ("pytorch", {"world_size": 2, "join": True}, ("join", "make no step, which no plan expresses")),
        ("accelerate", {"num_processes": 4, "split_batches": True}, ("split_batches", "got 10", "a multiple of 4")),
        (
            "accelerate",
            {"num_processes": 2, "even_batches": False},
            ("a step less than the others", "3 samples left for 2 processes, 10 each", "none left, or more than 10"),
        ),
        ("accelerate", {"num_processes": 300, "dispatch_batches": True}, ("given no sample", "at least 150")),
        (
            "transformers",
            {"world_size": 2, "accelerator_config": {"even_batches": False}},
            ("transformers with even_batches=False", "7 samples left"),
        ),
        ("transformers", {"world_size": 2, "data": "iterable", "max_steps": 5}, ("iterable in several processes",)),
        (
            "transformers",
            {"world_size": 2, "num_items_in_batch": True, "average_tokens_across_devices": False},
            ("divides by its own number of items", "no plan expresses"),
        ),
        ("transformers", {"local_rank": 3}, ("local_rank and no world_size", "the number of processes")),
        ("keras", {"strategy": "MultiWorkerMirroredStrategy", "num_replicas_in_sync": 2}, ("fails before", "loop")),
        ("keras", {"strategy": "TPUStrategy", "num_replicas_in_sync": 8}, ("under TPUStrategy", "is not known")),
        ("keras", {"strategy": "mirrored"}, ("under mirrored", "is not known", "expected MirroredStrategy")),
        ("keras", {"strategy": "mirrored", "num_replicas_in_sync": 1}, ("under mirrored", "is not known")),
        ("keras", {"strategy": "MirroredStrategy"}, ("how many replicas is not said", "expected num_replicas_in_sync")),
        ("keras", {"strategy": object()}, ("under object", "is not known")),
        ("keras2", {"strategy": "MultiWorkerMirroredStrategy"}, ("is not said", "expected num_replicas_in_sync")),
        ("tf_distribute", {"strategy": "Mirrored"}, ("under Mirrored", "is not known")),
        ("keras", {"strategy": MIRRORED, "num_replicas_in_sync": 3}, ("other replicas", "got 3", "expected 2")),
        ("keras", {"num_replicas_in_sync": 3}, ("first batch", "got 32 rows for 3 replicas", "a multiple of 3")),
        (
            "keras",
            {"num_replicas_in_sync": 2, "gradient_accumulation_steps": 4},
            ("gradient_accumulation_steps under a strategy", "fail", "got 4", "a loop of your own"),
        ),
        ("keras", {"num_replicas_in_sync": 2, "auto_shard_policy": "FILE"}, ("policy FILE", "files of its own")),
        ("keras", {"num_replicas_in_sync": 3, "auto_shard_policy": "OFF"}, ("policy OFF", "different sizes")),
        ("tf_distribute", {"loss": "global_batch_size"}, ("no plan expresses", "got 3 rows in a batch of 10")),
        ("tf_distribute", {"updates": 4}, ("no argument", "an update a step")),
        (
            "keras2",
            {"strategy": "MultiWorkerMirroredStrategy", "num_replicas_in_sync": 2, "auto_shard_policy": "OFF"},
            ("policy OFF", "walk all samples"),
        ),
        ("transformers", {"deepspeed": "ds.json"}, ("one process on one device",)),
        ("accelerate", {"fsdp_plugin": object()}, ("one process on one device",)),
        ("lightning", {"max_time": "00:01:00"}, ("stops by time",)),
        ("lightning", {"ckpt_path": "last"}, ("what is left of one", "as it was begun")),
        ("transformers", {"auto_find_batch_size": True}, ("by trial",)),
        ("keras", {"callbacks": [callback("Mine", "script")]}, ("callback Mine", "is not known", "Leave it out")),
        ("keras", {"callbacks": callback("LambdaCallback")}, ("callback LambdaCallback", "is not known")),
        ("keras", {"callbacks": STOPS["keras"]["callbacks"]}, ("nothing to validate on", "validation_data")),
        ("keras", {"shuffle": "batch"}, ("shuffle", "sample by sample", "got 'batch'")),
        ("keras", {"initial_epoch": 3, "epochs": 3}, ("trains no epoch",)),
        ("keras", {"validation_split": 1.0}, ("validation_split", "got 1.0")),
        ("keras", {"validation_split": 0.5, "data": "dataset"}, ("validation_split on dataset",)),
        ("optax", {"every_k_schedule": len}, ("a function", "one length")),
        ("pytorch", {"sampler": callback("WeightedRandomSampler", "torch")}, ("WeightedRandomSampler", "not known")),
        ("pytorch", {"batch_sampler": [[1, 2]]}, ("batch_sampler", "batch_size and drop_last")),
        ("lightning", {"presision": 32}, ("no argument 'presision'", "Did you mean 'precision'?")),
        ("transformers", {"learning_rat": 32}, ("no argument 'learning_rat'", "Did you mean 'learning_rate'?")),
    ],
)
def test_what_changes_counting_otherwise_is_refused(trainer, arguments, parts):
    text = refused(trainer, **arguments)
    for part in parts:
        assert part in text


INTERLEAVED = {"replica_split": "interleaved", "replica_remainder": "pad", "replica_gradients": "replicas"}
SLICES = {"replica_split": "slices", "replica_remainder": "uneven", "replica_gradients": "replicas"}


@pytest.mark.parametrize(
    ("trainer", "arguments", "fields", "counts"),
    [
        # over 103 samples: what is dealt, and steps, padding rows, samples dropped of one pass
        ("pytorch", {"world_size": 2}, {"batch_size": 20, "replicas": 2, **INTERLEAVED}, (6, 1, 0)),
        ("pytorch", {"num_replicas": 4}, {"batch_size": 40, "replicas": 4, **INTERLEAVED}, (3, 1, 0)),
        (
            "pytorch",
            {"world_size": 2, "sampler_drop_last": True},
            {"replica_remainder": "drop", "remainder": "keep"},
            (6, 0, 1),
        ),
        ("pytorch", {"sampler": DEALS}, {"replica_remainder": "drop", "order": "sequential"}, (6, 0, 1)),
        ("pytorch", {"world_size": 2, "drop_last": True}, {"remainder": "drop", **INTERLEAVED}, (5, 0, 3)),
        ("lightning", {"devices": 2}, {"batch_size": 20, "replicas": 2, "order": "shuffle", **INTERLEAVED}, (6, 1, 0)),
        ("lightning", {"devices": "0,1", "shuffle": False}, {"replicas": 2, "order": "shuffle"}, (6, 1, 0)),
        ("lightning", {"devices": "2", "num_nodes": 2, "strategy": "ddp"}, {"replicas": 4, **INTERLEAVED}, (3, 1, 0)),
        (
            "lightning",
            {"devices": 2, "sampler": DEALS},
            {"replica_remainder": "drop", "order": "sequential"},
            (6, 0, 1),
        ),
        ("lightning", {"devices": 2, "limit_train_batches": 0.5}, {"steps_per_epoch": 3}, (3, 0, 0)),
        ("accelerate", {"num_processes": 2}, {"batch_size": 20, "remainder": "pad", **SLICES}, (6, 17, 0)),
        ("accelerate", {"num_processes": 2, "drop_last": True}, {"remainder": "drop", **SLICES}, (5, 0, 3)),
        (
            "accelerate",
            {"num_processes": 2, "split_batches": True},
            {"batch_size": 10, "remainder": "pad", **SLICES},
            (11, 7, 0),
        ),
        (
            "accelerate",
            {"num_processes": 4, "dispatch_batches": True},
            {"remainder": "keep", **SLICES, "replica_remainder": "pad"},
            (3, 1, 0),
        ),
        (
            "accelerate",
            {"num_processes": 2, "even_batches": False, "batch_size": 14},
            {"remainder": "keep", **SLICES, "replica_split": "dealt"},
            (4, 0, 0),
        ),
        ("transformers", {"world_size": 2}, {"batch_size": 16, "remainder": "pad", **SLICES}, (7, 9, 0)),
        (
            "transformers",
            {"world_size": 2, "num_items_in_batch": True},
            {**SLICES, "replica_gradients": "rows"},
            (7, 9, 0),
        ),
        (
            "transformers",
            {"world_size": 2, "local_rank": 1, "accelerator_config": {"split_batches": True}},
            {"batch_size": 8, "replicas": 2},
            (13, 1, 0),
        ),
        ("keras", {"strategy": MIRRORED}, {"batch_size": 32, "replicas": 2, **SLICES}, (4, 0, 0)),
        (
            "keras",
            {"num_replicas_in_sync": 5, "batch_size": 10, "auto_shard_policy": POLICY},
            {"replicas": 5, **SLICES},
            (11, 0, 0),
        ),
        (
            "keras",
            {"num_replicas_in_sync": 2, "auto_shard_policy": "OFF"},
            {**SLICES, "replica_split": "dealt"},
            (4, 0, 0),
        ),
        (
            "tf_distribute",
            {"num_replicas_in_sync": 4, "strategy": "MultiWorkerMirroredStrategy"},
            {"batch_size": 10, "replicas": 4, **SLICES, "replica_gradients": "rows"},
            (11, 0, 0),
        ),
        ("tf_distribute", {"strategy": MIRRORED, "loss": "replicas"}, {"replicas": 2, **SLICES}, (11, 0, 0)),
        (
            "tf_distribute",
            {"strategy": MIRRORED, "loss": "global_batch_size", "drop_remainder": True},
            {"replica_gradients": "rows", "remainder": "drop"},
            (10, 0, 3),
        ),
        (
            "keras2",
            {"num_replicas_in_sync": 3, "strategy": "MultiWorkerMirroredStrategy"},
            {"replicas": 3, **SLICES},
            (4, 0, 0),
        ),
    ],
)
def test_replicas(trainer, arguments, fields, counts):
    plan = like(trainer, **{**arguments, **ONE.get(trainer, {})})
    assert {name: getattr(plan, name) for name in fields} == fields
    of_a_pass = plan.counts(103)
    assert (of_a_pass.num_steps, of_a_pass.samples_padded, of_a_pass.samples_dropped) == counts


ONE = {
    "pytorch": {"epochs": 1, "batch_size": 10},
    "transformers": {"num_train_epochs": 1},
    "accelerate": {"num_epochs": 1},
    "lightning": {"max_epochs": 1},
    "tf_distribute": {"epochs": 1},
}


def test_a_part_of_the_samples_is_said():
    with pytest.warns(UserWarning, match="keras trains on 800 of the 1,000 samples"):
        plan = like("keras", 1000, validation_split=0.2, epochs=2)
    assert plan.counts(800).num_steps == 50
    assert presets.like("keras", num_samples=1000, validation_split=0.2)["num_samples"] == 800


def test_no_such_trainer():
    with pytest.raises(
        xframe.UsageError, match=r"unknown trainer: got 'kears'.*Did you mean 'keras'.*one of accelerate"
    ):
        xframe.TrainingPlan.like("kears", num_samples=10)


def test_what_a_trainer_needs():
    with pytest.raises(xframe.UsageError, match="lightning needs batch_size"):
        xframe.TrainingPlan.like("lightning", num_samples=10)
    with pytest.raises(xframe.PlanError, match="the number of samples: got 0"):
        xframe.TrainingPlan.like("keras", num_samples=0)


@pytest.mark.parametrize("trainer", presets.trainers())
def test_what_it_cannot_be_asked(trainer):
    for name, why in presets.preset(trainer).missing.items():
        with pytest.raises(xframe.UsageError) as caught:
            asked(trainer, 103, {"batch_size": 10, name: 4})
        assert f"{trainer} has no {name}" in str(caught.value)
        assert why in str(caught.value)
    for remainder in ("pad", "carry", "error"):
        with pytest.raises(xframe.UsageError, match="keep or drop"):
            asked(trainer, 103, {"batch_size": 10, "remainder": remainder})
    question = {"batch_size": 10, "epochs": 3, "remainder": "drop"}
    assert asked(trainer, 103, question).counts(103).num_steps == 30


# Side by side


def side_by_side(plans, num_samples, fields):
    return trainers.side_by_side(plans, trainers.compared(plans, num_samples, fields))


def answered(names, num_samples, fields):
    return trainers.answers(names, num_samples, fields)


def test_settings_that_make_them_agree_do():
    names = ["keras", "lightning", "transformers", "accelerate", "ignite", "pytorch"]
    found = trainers.settings(answered(names, 103, CASE), 103, CASE)
    assert found == [
        "accelerate counts as keras, ignite with GradientAccumulationPlugin(sync_with_dataloader=False)",
        "pytorch counts as lightning, transformers, accelerate with a last update at the end of each epoch",
        "pytorch counts as keras, ignite with a step counter that goes on over epochs",
        "all agree with 11 accumulation steps, which divide the 11 of an epoch: 3 updates",
        "all agree with no accumulation: 33 updates",
        "all agree with batches of 9, of which a pass has 12: 9 updates",
    ]
    for change, updates in (({"gradient_accumulation_steps": 11}, 3), ({"batch_size": 9}, 9)):
        counts = {plan.counts(103) for plan in answered(names, 103, {**CASE, **change}).values()}
        assert len(counts) == 1
        assert counts.pop().num_updates == updates


@pytest.mark.parametrize(
    ("names", "fields", "setting"),
    [
        (["keras", "keras2", "ignite"], {"steps_per_epoch": 7}, "epochs that are passes, without steps_per_epoch"),
        (["keras", "keras2", "ignite"], {"steps_per_epoch": 15}, "steps_per_epoch 11, which is a pass"),
        (["keras"], {**CASE, "accumulation_remainder": "flush"}, "11 accumulation steps"),
    ],
)
def test_settings_are_looked_for_beside_a_plan_and_in_epochs(names, fields, setting):
    fields = {"batch_size": 10, "epochs": 3, **fields}
    found = trainers.settings(answered(names, 103, fields), 103, fields)
    assert any(setting in text for text in found), found


def test_steps_that_part_late_are_told_apart():
    fields = {"batch_size": 1, "epochs": 3, "steps_per_epoch": 5000}
    lines = side_by_side(answered(["keras", "lightning"], 100_000, fields), 100_000, fields)
    assert any("they differ from step 5,000" in line for line in lines)
    fields = {"batch_size": 1, "epochs": 2, "gradient_accumulation_steps": 5}
    lines = side_by_side(answered(["keras", "pytorch"], 5001, fields), 5001, fields)
    assert any("they differ from step 5,004" in line for line in lines)
    plans = answered(["keras", "pytorch"], 5001, fields).values()
    assert [plan.step(5004, 5001).update for plan in plans] == [1001, 1000]


@pytest.mark.parametrize(
    ("name", "policies", "num_samples", "told"),
    [
        ("keras", {"accumulation_remainder": "carry", "loss_normalization": "sum"}, 103, "by nothing in plan; by 4 in"),
        ("lightning", {"loss_normalization": "sum"}, 80, "by nothing in plan; by 4 in lightning"),
        (
            "keras",
            {"accumulation_remainder": "carry", "loss_normalization": "samples"},
            103,
            "by the rows in it in plan",
        ),
        ("pytorch", {"accumulation_remainder": "drop", "loss_normalization": "window"}, 103, "leaked, in pytorch"),
        ("pytorch", {"accumulation_remainder": "leak"}, 103, "by the steps in it, with what the window before leaked"),
        ("lightning", {"loss_normalization": "actual"}, 80, None),
    ],
)
def test_gradients_that_differ_under_equal_counts(name, policies, num_samples, told):
    fields = {**CASE, **policies}
    text = "\n".join(side_by_side(answered([name], num_samples, fields), num_samples, fields))
    assert "all of them make the same steps, and their updates after the same steps" in text
    assert (told in text) if told else ("gradients" not in text)


def test_nothing_is_trained():
    fields = {**CASE, "batch_size": 200}
    lines = side_by_side(answered(["keras", "ignite"], 103, fields), 103, fields)
    assert any(line.split() == ["updates", "0", "0"] for line in lines)
    assert any("no update is ever applied" in line for line in lines)


def test_all_that_cannot_be_asked_are_named():
    with pytest.raises(xframe.UsageError) as caught:
        answered(["keras", "keras2", "transformers"], 103, {**CASE, "steps_per_epoch": 4})
    assert "keras2 has no gradient_accumulation_steps" in str(caught.value)
    assert "transformers has no steps_per_epoch" in str(caught.value)


def test_a_plan_that_no_trainer_has_stands_beside_them():
    found = answered(["keras"], 103, {"batch_size": 10, "epochs": 3, "remainder": "carry"})
    assert {name: plan.remainder for name, plan in found.items()} == {"plan": "carry", "keras": "keep"}
    assert list(trainers.answers(["keras"], 103, CASE, beside=True)) == ["plan", "keras"]


@pytest.mark.parametrize("remainder", ["pad", "carry"])
@pytest.mark.parametrize("trainer", presets.trainers())
def test_any_trainer_can_stand_beside_any_remainder(trainer, remainder):
    fields = {"batch_size": 10, "epochs": 3, "remainder": remainder}
    lines = side_by_side(answered([trainer], 103, fields), 103, fields)
    assert any("what is left of a pass" in line for line in lines)


def test_reasons_name_what_makes_the_difference():
    plans = {name: asked(name, 103, CASE) for name in ("keras", "lightning", "transformers", "accelerate")}
    assert reasons.reasons(plans, 103) == [
        "keras: carries an unfinished window over epochs: 33 steps / 4 = 8 updates, and the last step is never applied",
        "lightning, transformers: updates with what is left at the end of each epoch: 11 steps = 2 x 4 + 3, "
        "3 updates each",
        "accelerate: updates with what is left at the end of each pass: 11 steps = 2 x 4 + 3, 3 updates each",
    ]
    plans = {
        name: asked(name, 100, {"batch_size": 10, "epochs": 5, "steps_per_epoch": 4})
        for name in ("keras2", "ignite", "lightning")
    }
    text = "\n".join(reasons.reasons(plans, 100))
    assert "keras2: each epoch of at most 4 steps goes on where the last one ended" in text


def test_of_one_plan_with_policies_and_a_trainer():
    fields = {**CASE, "accumulation_remainder": "drop"}
    found = answered(["lightning"], 103, fields)
    assert list(found) == ["plan", "lightning"]
    assert [plan.counts(103).num_updates for plan in found.values()] == [6, 9]
    lines = side_by_side(found, 103, fields)
    assert any(line.split() == ["updates", "6", "9", "!"] for line in lines)


# Read backwards: from a plan to the trainer's arguments


def steps_of(plan, num_samples):
    steps = list(plan.each_step(num_samples))
    return [(step.epoch, step.step_in_epoch, step.sample_ids.tolist(), step.padding, step.update) for step in steps]


@pytest.mark.parametrize("trainer", presets.trainers())
def test_arguments_for_a_plan_make_that_plan(trainer):
    """Of random plans those that the trainer can follow: the same steps, updates and divisors of gradients."""
    fitting, refused = 0, 0
    for drawn in islice(clean.draws(5), 250):
        plan, num_samples = drawn
        arguments, reasons = presets.settings(trainer, plan, num_samples)
        assert bool(arguments) != bool(reasons)
        refused += bool(reasons)
        if reasons:
            continue
        fitting += 1
        order = {name: getattr(plan, name) for name in ("order", "seed", "reshuffle")}
        made = xframe.TrainingPlan.like(trainer, num_samples=num_samples, **arguments, **order)
        assert steps_of(made, num_samples) == steps_of(plan, num_samples), (plan, num_samples, arguments)
        if plan.gradient_accumulation_steps > 1:
            assert weighted(made, num_samples) == weighted(plan, num_samples), (plan, num_samples, arguments)
    assert fitting > 5
    assert refused > 100


def shares_of(plan, num_samples):
    """Each step's samples, by replica."""
    steps = list(plan.each_step(num_samples))
    return [
        [step.sample_ids[share(plan, len(step.sample_ids), replica)].tolist() for replica in range(plan.replicas)]
        for step in steps
    ]


REPLICATED = {  # arguments besides the number of replicas
    "pytorch": [{}, {"sampler_drop_last": True}, {"drop_last": True}, {"gradient_accumulation_steps": 2}],
    "lightning": [{}, {"drop_last": True}, {"limit_train_batches": 2}, {"accumulate_grad_batches": 3}],
    "accelerate": [{}, {"drop_last": True}, {"dispatch_batches": True}, {"even_batches": False}],
    "transformers": [{}, {"dataloader_drop_last": True}, {"num_items_in_batch": True}],
    "keras": [{}, {"steps_per_epoch": 2}, {"data": "dataset", "drop_remainder": True}],
    "keras2": [{}, {"data": "dataset", "drop_remainder": True}],
    "tf_distribute": [{}, {"drop_remainder": True}, {"loss": "replicas"}],
}


@pytest.mark.parametrize("trainer", REPLICATED)
def test_arguments_for_a_plan_of_replicas_make_that_plan(trainer):
    known, asked_for = presets.preset(trainer), 0
    for number, size, n, more in product((2, 3), (1, 4, 6), (19, 23, 24, 36), REPLICATED[trainer]):
        own = {known.names["replicas"]: number, known.names["batch_size"]: size, known.names["epochs"]: 2, **more}
        try:
            plan = like(trainer, n, **own)
        except xframe.UsageError:
            assert more == {"even_batches": False} or (trainer == "keras" and min(size, n) % number)
            continue
        arguments, reasons = presets.settings(trainer, plan, n)
        assert reasons == []
        made = like(trainer, n, **{**dict.fromkeys(LEAST[trainer]), **arguments})
        assert shares_of(made, n) == shares_of(plan, n), (plan, n, arguments)
        assert made.replica_gradients == plan.replica_gradients
        asked_for += 1
    assert asked_for >= 16


def test_a_plan_of_replicas_that_a_trainer_cannot_follow():
    plan = xframe.TrainingPlan(batch_size=20, epochs=2, replicas=2, replica_gradients="replicas")
    assert presets.settings("keras", plan, 103)[0]["num_replicas_in_sync"] == 2
    for trainer, reason in (
        ("pytorch", "has replica_split 'interleaved', and the plan 'slices'"),
        ("accelerate", "has remainder 'pad', and the plan 'keep'"),
        ("ignite", "ignite has no replicas"),
    ):
        arguments, reasons = presets.settings(trainer, plan, 103)
        assert arguments == {}
        assert any(reason in text for text in reasons), reasons
    odd = xframe.TrainingPlan(batch_size=21, epochs=2, replicas=2)
    assert "with batches that 2 replicas do not divide: got 21" in presets.settings("lightning", odd, 103)[1][0]


def test_trainers_side_by_side_share_differently():
    fields = {"batch_size": 20, "epochs": 2, "replicas": 2}
    lines = side_by_side(answered(["pytorch", "accelerate", "keras"], 103, fields), 103, fields)
    text = "\n".join(lines)
    assert "pytorch: fills passes up for 2 replicas, to a multiple of 2" in text
    assert "a step's rows are dealt row by row in turn in pytorch; in slices in accelerate, keras" in text
    assert "a step's gradient" not in text
    assert any(line.split() == ["padding", "rows", "2", "34", "!", "0", "!"] for line in lines)


def weighted(plan, num_samples):
    """Each update's steps, with the weights that these have in it."""
    order = plan.sample_order(num_samples)
    return [update.weights for update in simulate(plan.to_dict(), num_samples, lambda p: order.ids(p).tolist()).updates]


@pytest.mark.parametrize(
    ("trainer", "fields", "reason"),
    [
        ("lightning", {"remainder": "carry"}, "lightning with remainder 'carry': got 'carry', expected keep or drop"),
        ("ignite", {"gradient_accumulation_steps": 3}, "has accumulation_remainder 'carry', and the plan 'flush'"),
        ("transformers", {"steps_per_epoch": 3}, "An epoch of the Trainer is a whole pass."),
        ("lightning", {"gradient_accumulation_steps": 3}, "has loss_normalization 'window', and the plan 'actual'"),
        ("lightning", {"batch_size": 104, "remainder": "drop"}, "the data loader is empty"),
        ("accelerate", {"steps": 4, "gradient_accumulation_steps": 3}, "accelerate has no steps"),
    ],
)
def test_what_a_trainer_has_no_setting_for_is_named(trainer, fields, reason):
    plan = xframe.TrainingPlan.from_mapping({"batch_size": 10, "epochs": 2, **fields})
    arguments, reasons = presets.settings(trainer, plan, 103)
    assert arguments == {}
    assert reason in "; ".join(reasons)


def test_what_makes_no_difference_here_is_no_reason_to_refuse():
    """Over 100 samples nothing is left over, and ten batches are two windows of five."""
    plan = xframe.TrainingPlan(batch_size=10, epochs=2, remainder="pad", gradient_accumulation_steps=5)
    assert presets.settings("ignite", plan, 100)[1] == []
    assert presets.settings("ignite", plan, 101)[1] != []
