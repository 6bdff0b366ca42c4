"""The customary jax loop around ``optax.MultiSteps``, seen from inside its training step. The task: see keras_fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from observed import Observed


def run_optax(
    num_samples: int,
    *,
    batch_size: int,
    epochs: int,
    every_k: int = 1,
    use_grad_mean: bool = True,
    drop_last: bool = False,
) -> Observed:
    seen = Observed()
    width = -(-num_samples // 64) * 64  # some weights too many, so that a compiled step serves many sizes
    x = np.eye(num_samples, width, dtype=np.float32)
    optimizer, train_step = _trainer(every_k, use_grad_mean)
    weights = jnp.zeros(width)
    state = optimizer.init(weights)
    updates = 0
    spelled = np.zeros(num_samples)

    for _ in range(epochs):
        end = num_samples - num_samples % batch_size if drop_last else num_samples
        for start in range(0, end, batch_size):
            weights, state, ids = train_step(weights, state, x[start : min(start + batch_size, end)])
            seen.ids.append(ids.tolist())
            if state.gradient_step > updates:
                applied = state.inner_opt_state[0]
                seen.gradients.append(-np.asarray(applied, dtype=np.float64)[:num_samples])
                spelled += seen.gradients[-1]
            updates = int(state.gradient_step)
            seen.updates.append(updates)
            np.testing.assert_allclose(weights[:num_samples], spelled, atol=1e-4)
    return seen


def _remember_gradient() -> optax.GradientTransformation:
    """Its state is the last gradient. MultiSteps asks at every step, and keeps the state only of real updates."""
    return optax.GradientTransformation(init=optax.tree.zeros_like, update=lambda updates, _, __=None: (updates,) * 2)


@cache
def _trainer(every_k: int, use_grad_mean: bool) -> tuple[optax.MultiSteps, Callable[..., Any]]:
    inner = optax.chain(_remember_gradient(), optax.sgd(1.0))
    optimizer = optax.MultiSteps(inner, every_k_schedule=every_k, use_grad_mean=use_grad_mean)

    @jax.jit
    def train_step(weights: jax.Array, state: optax.MultiStepsState, x: jax.Array) -> tuple[Any, ...]:
        gradient = jax.grad(lambda weights: -(x @ weights).mean())(weights)
        updates, state = optimizer.update(gradient, state, weights)
        return optax.apply_updates(weights, updates), state, x.argmax(axis=1)

    return optimizer, train_step
