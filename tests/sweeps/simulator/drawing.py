"""Random plans, drawn so that edges are frequent."""

import random
from typing import Any

from sweeps.simulator.walk import DEFAULTS, REPLICA_VALUES, VALUES, resolve


def random_plan(rng: random.Random) -> dict:
    """Fields of a valid plan; it may still not fit a data set. Over up to 300 samples its runs are short."""
    return _fields(rng, rng.randint(60, 300))


def random_case(rng: random.Random) -> tuple[dict, int]:
    """Fields and a number of samples, chosen together so that edges are frequent; a few are refused."""
    low, high = rng.choices([(1, 1), (2, 12), (13, 60), (61, 300)], [6, 42, 30, 22])[0]
    num_samples = rng.randint(low, high)
    return _fields(rng, num_samples), num_samples


def replicated_case(rng: random.Random) -> tuple[dict, int]:
    """The same with several replicas; now and then there are more of them than samples, or than rows in a batch."""
    fields, num_samples = random_case(rng)
    size = fields["batch_size"]
    drawn = {name: rng.choice(values) for name, values in REPLICA_VALUES.items()}
    number = rng.choice([2, 2, 2, 3, 4, 4, 5, 8, size, size + 1, num_samples, num_samples + 1, rng.randint(2, 20)])
    if drawn["replica_remainder"] != "uneven":
        divisors = [each for each in range(2, size + 1) if size % each == 0]
        if fields.get("remainder") == "carry" or not divisors:
            drawn["replica_remainder"] = "uneven"
        elif rng.random() < 0.3 and "error" not in fields.values():
            fields["batch_size"] = max(2, number) * rng.randint(1, max(1, size // max(2, number)))
        else:
            number = rng.choice(divisors)
    drawn = {name: word for name, word in drawn.items() if word != DEFAULTS[name] or rng.random() < 0.4}
    return fields | {"replicas": max(2, number)} | drawn, num_samples


def _fields(rng: random.Random, num_samples: int) -> dict:
    plan: dict[str, Any] = {name: rng.choice(values) for name, values in VALUES.items()}
    plan["batch_size"] = batch_size = _batch_size(rng, num_samples, plan["remainder"])
    pass_steps = max(1, num_samples // batch_size if plan["remainder"] == "drop" else -(-num_samples // batch_size))

    epoch_steps = pass_steps
    if rng.random() < 0.65:
        sizes = [1, 2, pass_steps - 1, pass_steps, pass_steps + 1, 2 * pass_steps, rng.randint(1, 2 * pass_steps + 2)]
        plan["steps_per_epoch"] = epoch_steps = max(1, rng.choice(sizes))
    else:
        del plan["epoch_iterator"], plan["on_exhaustion"]
    if plan["remainder"] == "carry":
        plan.pop("on_exhaustion", None)

    k = 1
    if rng.random() < 0.8:
        sizes = [2, 3, 4, pass_steps - 1, pass_steps, pass_steps + 1, epoch_steps - 1, epoch_steps, epoch_steps + 1]
        k = max(1, rng.choice([*sizes, 2 * epoch_steps, rng.randint(2, pass_steps + epoch_steps + 2)]))
    plan["gradient_accumulation_steps"] = k
    if k == 1:
        for name in ("accumulation_boundary", "accumulation_remainder", "accumulation_at_end", "loss_normalization"):
            del plan[name]

    if plan["order"] == "shuffle":
        plan["seed"] = rng.choice([0, 0, 1, 7, rng.randint(2, 2**31 - 1)])
        plan["reshuffle"] = rng.random() < 0.7

    plan |= _limits(rng, pass_steps, epoch_steps, k)

    names = list(plan)
    rng.shuffle(names)
    # Some defaults depend on the remainder and on steps_per_epoch, which have their own.
    defaults = resolve({name: plan[name] for name in ("remainder", "steps_per_epoch") if name in plan})
    defaults |= {name: DEFAULTS[name] for name in ("remainder", "steps_per_epoch")}
    return {name: plan[name] for name in names if plan[name] != defaults.get(name) or rng.random() < 0.4}


def _batch_size(rng: random.Random, num_samples: int, remainder: str) -> int:
    smallest = -(-num_samples // 50)
    divisors = [size for size in range(smallest, num_samples + 1) if num_samples % size == 0]
    fits = remainder in ("drop", "error") and rng.random() < 0.95
    if remainder == "error" and fits:
        return rng.choice(divisors)
    kinds = ["divisor", "divisor", "all", "all but one", "any", "any", "half", *["small"] * 7]
    kind = rng.choice(kinds if fits else [*kinds, "above", "above", "far above"])
    size = {
        "divisor": rng.choice(divisors),
        "all": num_samples,
        "all but one": num_samples - 1,
        "any": rng.randint(smallest, num_samples),
        "small": rng.randint(smallest, max(smallest, num_samples // 3)),
        "half": num_samples // 2 + 1,
        "above": rng.randint(num_samples + 1, 2 * num_samples),
        "far above": rng.randint(2 * num_samples, 4 * num_samples + 3),
    }[kind]
    return max(1, size)


def _limits(rng: random.Random, pass_steps: int, epoch_steps: int, k: int) -> dict:
    epochs = min(rng.choice([1, 2, 3, 3, 4, 5, 6]), max(1, 250 // epoch_steps))
    ends = [epochs * epoch_steps, epochs * pass_steps, epochs * k, pass_steps + epoch_steps]
    steps = rng.choice(
        [*ends, rng.choice(ends) - 1, rng.choice(ends) + 1, rng.randint(1, 3 * (pass_steps + epoch_steps))]
    )
    flushed = -(-epoch_steps // k)
    updates = rng.choice(
        [1, flushed, rng.randint(2, 20), epochs * flushed, epochs * epoch_steps // k, rng.randint(1, 12)]
    )
    limits = {"epochs": epochs, "steps": max(1, steps), "updates": max(1, min(updates, 200 // k))}
    chosen = rng.choices(
        [
            ("epochs",),
            ("steps",),
            ("updates",),
            ("epochs", "steps"),
            ("epochs", "updates"),
            ("steps", "updates"),
            (*limits,),
        ],
        [6, 4, 4, 2, 2, 1, 1],
    )[0]
    return {name: limits[name] for name in chosen}


def everyday_case(rng: random.Random) -> tuple[dict, int]:
    """Fields and a number of samples such as people train with, though small; a few are refused."""
    num_samples = rng.randint(16, 240)
    batch_size = rng.choice([1, 2, 3, 4, 5, 7, 8, 10, 12, 16, 16, 20, 24, 32, 32])
    plan: dict[str, Any] = {"batch_size": max(batch_size, -(-num_samples // 24)), "epochs": rng.randint(1, 5)}
    plan["remainder"] = rng.choices(("keep", "drop", "pad", "carry"), [5, 4, 2, 1])[0]
    pass_steps = max(1, num_samples // plan["batch_size"])
    if rng.random() < 0.25:
        plan["steps_per_epoch"] = rng.choice([max(1, pass_steps // 2), pass_steps, pass_steps + 1, rng.randint(2, 12)])
        plan["epoch_iterator"] = rng.choice(VALUES["epoch_iterator"])
        if plan["remainder"] != "carry":
            plan["on_exhaustion"] = rng.choices(VALUES["on_exhaustion"], [6, 2, 1])[0]
    if rng.random() < 0.4:
        plan["gradient_accumulation_steps"] = rng.choice([2, 2, 3, 4, 4, 8])
        for name in ("accumulation_boundary", "accumulation_remainder", "accumulation_at_end", "loss_normalization"):
            plan[name] = rng.choice(VALUES[name])
    if rng.random() < 0.2:
        del plan["epochs"]
        plan[rng.choice(["steps", "updates"])] = rng.randint(3, 60)
    if rng.random() < 0.25:
        plan["order"] = "sequential"
    else:
        plan |= {"seed": rng.choice([0, 0, 1, 7, rng.randint(2, 1000)]), "reshuffle": rng.random() < 0.8}
    return plan, num_samples
