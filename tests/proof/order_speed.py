"""How fast is xframe's order beside NumPy's permutation and TensorFlow's index_shuffle? One thread, interleaved.

Usage: python tests/proof/order_speed.py [ROUNDS]        (Markdown on stdout; nothing else should run meanwhile)
"""

import os
import statistics
import sys
import time
import tracemalloc

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import tensorflow as tf

from xframe.plan.order import VERSION, Order

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
ASKED = 10**7  # ids in one call
SMALL = 64

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
compiled = tf.function(tf.random.experimental.index_shuffle)


def shuffle_of(function, n, positions):
    where, last = tf.constant(positions), tf.constant(n - 1, tf.int64)
    return lambda k: function(where, tf.constant([k, 1]), last).numpy()


def seconds(call, k):
    began = time.perf_counter()
    call(k)
    return time.perf_counter() - began


def interleaved(calls):
    """Every call's seconds, round by round; the calls take turns, and each round is a pass or seed of its own."""
    for call in calls.values():  # once unmeasured: traced, memory mapped
        call(0)
    taken = {name: [] for name in calls}
    for k in range(1, ROUNDS + 1):
        for name, call in calls.items():
            taken[name].append(seconds(call, k))
    return taken


def ratio(others, own):
    each = [other / one for other, one in zip(others, own)]
    return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


def millions(taken):
    return f"{ASKED / statistics.median(taken) / 1e6:.1f}"


def in_full(n, positions):
    order = Order(n)
    ids = order.ids(0, positions)
    calls = {
        "ids": lambda k: order.ids(k, positions),
        "permutation": lambda k: np.random.default_rng(k).permutation(ASKED),
        "eager": shuffle_of(tf.random.experimental.index_shuffle, n, positions),
        "tf.function": shuffle_of(compiled, n, positions),
        "positions": lambda k: order.positions(k, ids),
    }
    return interleaved(calls)


def few(n):
    positions, order = np.arange(SMALL), Order(n)
    tracemalloc.start()
    order.ids(10**9, positions)  # of a pass with no keys yet
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    calls = {
        "the same pass": lambda _: order.ids(0, positions),
        "a new pass": lambda k: order.ids(k, positions),
        "positions": lambda _: order.positions(0, positions),
        "eager": shuffle_of(tf.random.experimental.index_shuffle, n, positions),
    }
    repeated = {name: lambda k, call=call: [call(k * 1000 + i) for i in range(1000)] for name, call in calls.items()}
    return {name: statistics.median(taken) * 1e6 / 1000 for name, taken in interleaved(repeated).items()}, peak


rng = np.random.default_rng(0)
print(f"`python tests/proof/order_speed.py {ROUNDS}`, one thread; {VERSION}, NumPy {np.__version__}, ", end="")
print(f"TensorFlow {tf.__version__}, Python {sys.version.split()[0]}\n")
print(f"Millions of ids a second, {ASKED:,} in one call; ratios are medians (range) over {ROUNDS} interleaved rounds.")
print(f"NumPy: `Generator.permutation({ASKED:,})` in every row; TensorFlow: the faster of eager and tf.function.\n")
print("| n | positions | `ids` | `positions` | NumPy | index_shuffle | `ids` / NumPy | `ids` / index_shuffle |")
print("| --- | --- | --- | --- | --- | --- | --- | --- |")
for n in (10**7, 10**9, 10**15):
    for name, where in (("first", np.arange(ASKED)), ("random", rng.integers(0, n, ASKED))):
        taken = in_full(n, where)
        tensorflow = min(taken["eager"], taken["tf.function"], key=statistics.median)
        cells = [millions(times) for times in (taken["ids"], taken["positions"], taken["permutation"], tensorflow)]
        cells += [ratio(taken["permutation"], taken["ids"]), ratio(tensorflow, taken["ids"])]
        print(f"| 10^{len(str(n)) - 1} | {name} | {' | '.join(cells)} |", flush=True)
print(f"\nMicroseconds for {SMALL} positions in one call, and the most memory it held (tracemalloc).\n")
print("| n | `ids`, same pass | `ids`, new pass | `positions`, same pass | index_shuffle, eager | peak bytes |")
print("| --- | --- | --- | --- | --- | --- |")
for n in (10**7, 10**9, 10**15):
    taken, peak = few(n)
    print(f"| 10^{len(str(n)) - 1} | {' | '.join(f'{each:.1f}' for each in taken.values())} | {peak:,} |", flush=True)
