"""What each remainder policy costs and changes: with a small rest, one of three samples, and one of nearly a batch."""

import numpy as np

from experiments.common.lab import BOTH
from experiments.common.results import EXACT, about, order
from experiments.common.statistics import INTERVAL, half, mean
from experiments.common.tasks import named
from experiments.common.training import Trial

POLICIES = "keep", "drop", "pad", "carry"
SIZES = 64, 478, 480  # 1,437 leaves over 29, 3 and 477
EPOCHS, SAMPLES = 20, 1437
COUNTS = (
    *(
        "batch size",
        "remainder",
        "order",
        "steps",
        "samples seen",
        "dropped",
        "padded",
        "never seen",
        "heaviest sample",
    ),
    "alike",
)
KINDS = {
    **dict.fromkeys(COUNTS, EXACT),
    "loss held out": about(0.01),
    "less keep": about(0.01),
    "frameworks differ by": order(1e-4),
}


def run(lab):
    seeds, sizes = lab.seeds(4), SIZES[1:2] if lab.small else SIZES
    result = lab.result(
        "What does each remainder policy cost, and what does it change?",
        f"""The perceptron on 1,437 digits, {EPOCHS} epochs, SGD with a learning rate of 0.1, in float32, torch:eager
        and tensorflow:block; {len(seeds)} seeds of starting weights and order; {INTERVAL}, both frameworks of a seed
        taken together. A new order in each pass, or the first one kept. *Never seen*: samples of the 1,437 that are in
        no batch. *Heaviest sample*: how many times the weight of one in a full batch the gradient gives to a sample in
        the smallest batch. *Less keep*: the held-out loss less that of the same seed with the rest kept.
        *Frameworks differ by*: the largest difference in held-out loss between them.""",
    )
    grid = [(b, rest, new) for b in sizes for new in (True, False) for rest in POLICIES]
    runs = lab.train(
        Trial(
            {
                "batch_size": size,
                "epochs": EPOCHS,
                "remainder": rest,
                "reshuffle": new,
                "seed": seed,
                "validation_every": EPOCHS,
            },
            named("digits", seed=seed),
            adapter,
            labels={"at": (size, rest, new)},
        )
        for size, rest, new in grid
        for seed in seeds
        for adapter in BOTH
    )
    losses, rows = {}, []
    for size, rest, new in grid:
        ours = [one for one in runs if one["at"] == (size, rest, new)]
        pairs, trace, counts = list(zip(ours[::2], ours[1::2])), ours[0].trace, ours[0].counts
        losses[size, rest, new] = np.array([(a.last.loss + b.last.loss) / 2 for a, b in pairs])
        change = losses[size, rest, new] - losses[size, "keep", new]
        rows.append(
            {
                "batch size": size,
                "remainder": rest,
                "order": "new each pass" if new else "kept",
                "steps": counts.num_steps,
                "samples seen": counts.samples_seen,
                "dropped": counts.samples_dropped,
                "padded": counts.samples_padded,
                "never seen": SAMPLES - len(np.unique(np.concatenate(list(trace.batches())))),
                "heaviest sample": f"{size / trace.column('batch_size').min():.4g}",
                **mean("loss held out", losses[size, rest, new]),
                **(
                    {"less keep": None}
                    if rest == "keep"
                    else {"less keep": float(change.mean()), "less keep ±": half(change)}
                ),
                "frameworks differ by": max(abs(a.last.loss - b.last.loss) for a, b in pairs),
                "alike": all(a.trace.certificate == b.trace.certificate for a, b in pairs),
            }
        )
    result.table("policies", "Each policy", KINDS, rows)
    return result
