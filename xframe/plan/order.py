"""The sample order: a stateless permutation, the same in every framework, version and machine.

Any position of any pass can be asked for by itself: no state, no array of the data set's size, no
random generator whose stream a library may change. It is an alternating Feistel network on a mixed
radix, with cycle walking (Black & Rogaway, "Ciphers with arbitrary finite domains", 2002).

The algorithm, named ``xframe-order-1``. All arithmetic is on unsigned 64-bit integers, modulo 2**64.

    input    n samples, 1 <= n <= 2**63, seed, pass p, position x in [0, n)
    shape    bits = bit length of (n - 1);  m = max(bits // 2, bits - 28)
             a is the least even number with a * 2**m >= n
             x is split into l = x >> m, in [0, a), and r = x & (2**m - 1)
    rounds   R = max(8, 2 * ceil(40 / max(bits, 1)))
    keys     SHAKE-256 of the ASCII text "xframe-order-1 n=<n> seed=<seed> pass=<p>" (decimal), 16 R
             bytes, read as little-endian 64-bit words  A0 B0 A1 B1 ...
    hash_i   h(v) = v * (B_i | 1) + A_i;   h ^= h >> 32;   h *= 0x9E3779B97F4A7C15
    round i  i even:  l = (l + ((h_i(r) >> 32) * a >> 32)) mod a
             i odd:   r = r xor (h_i(l) >> (64 - m))              (nothing if m = 0)
    output   y = l << m | r.  If y >= n, y goes through all R rounds again, until y < n.
    inverse  the rounds from the last to the first, on y: i even subtracts mod a what was added, i odd
             is its own inverse.  If x >= n, again all R rounds, until x < n.

a * 2**m exceeds n by less than 2**(m + 1), so walking is rare. Small n has more rounds because the
statistical distance to a random permutation falls by about the smaller half's size per two rounds. With
an even a, odd shifts are odd permutations, so that both parities occur; with an a of 28 bits at most, the
rounding of (..) * a >> 32 cannot be seen in what can be counted.
``tests/sweeps/order.py`` compares orders with chance. For n = 3, 4 and 5, all permutations were equally
frequent over 60,000 seeds; for every n up to 50, so were the positions of single ids and of pairs over
20,000 seeds, also those of an order relative to the next pass's and to the next seed's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import index
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

VERSION = "xframe-order-1"
_BLOCK = 1 << 14  # numbers worked on at once: four arrays of them, 512 KiB, stay in a core's cache
_SMALL = 1 << 8  # numbers of a permutation that takes a few kilobytes: a thousand of those are kept
_FEW = 1 << 11  # numbers that are permuted all together nearly as fast as one of them


@dataclass(frozen=True, slots=True)
class Order:
    """The order of every pass over ``num_samples`` samples."""

    num_samples: int  # size of the data set, 1 to 2**63
    kind: Literal["sequential", "shuffle"] = "shuffle"  # sequential leaves the samples as they are
    seed: int = 0  # names the family of permutations
    reshuffle: bool = True  # a new permutation for each pass, or the first pass's for all

    def ids(self, pass_index: int, positions: ArrayLike | None = None) -> NDArray[np.int64]:
        """Sample ids at ``positions`` (default: all) of the given pass, as int64 of the same shape.

        Raises:
            IndexError: a position outside [0, num_samples).
        """
        if positions is None:
            return self._mapped(np.arange(self.num_samples, dtype=np.uint64), pass_index, backwards=False)
        return self._mapped(_copy(positions, self.num_samples, "positions"), pass_index, backwards=False)

    def positions(self, pass_index: int, ids: ArrayLike) -> NDArray[np.int64]:
        """The positions at which ``ids`` stand in the given pass, as int64 of the same shape: the inverse of ``ids``.

        Raises:
            IndexError: an id outside [0, num_samples).
        """
        return self._mapped(_copy(ids, self.num_samples, "ids"), pass_index, backwards=True)

    def _mapped(self, x: NDArray[np.uint64], pass_index: int, *, backwards: bool) -> NDArray[np.int64]:
        if self.kind == "shuffle" and self.num_samples > 1:
            p = index(pass_index) if self.reshuffle else 0
            kept = _small_permutation if self.num_samples <= _SMALL else _permutation
            permutation = kept(index(self.num_samples), index(self.seed), p)
            if not backwards and self.num_samples <= min(_BLOCK, max(_FEW, 8 * x.size)):
                return permutation.images[x]
            permutation.apply(x.reshape(-1), backwards)
        return x.view(np.int64)


def _copy(values: ArrayLike, n: int, name: str) -> NDArray[np.uint64]:
    """A contiguous copy of ``values``, all in [0, n)."""
    expected = f"{name} must lie in [0, {n})"
    try:
        given = np.asarray(values, dtype=np.int64)
    except OverflowError as error:
        raise IndexError(f"{expected}, got an integer that int64 cannot hold") from error
    out = given.astype(np.uint64, order="C")  # what is negative becomes 2**63 or more, and n is at most 2**63
    if out.size and out.max() >= n:
        raise IndexError(f"{expected}, got {given.min()} to {given.max()}")
    return out


class _Permutation:
    """The permutation of one pass. Its numbers are arrays without axes, which NumPy's functions take up fastest."""

    def __init__(self, n: int, keys: NDArray[np.uint64]) -> None:
        """Args:
        n: the numbers permuted, at least 2.
        keys: of one seed; or of many, one column each, for as many permutations of one number each.
        """
        bits = (n - 1).bit_length()
        m = max(bits // 2, bits - 28)
        rounds = len(keys) // 2
        self.n = n
        self.rounds = [(i % 2 == 0, keys[2 * i, ...], keys[2 * i + 1, ...]) for i in range(rounds) if m or i % 2 == 0]
        constants = (m, (1 << m) - 1, -(-n >> (m + 1)) * 2, 32, 64 - m, 0x9E3779B97F4A7C15)
        self.constants = [np.array(constant, dtype=np.uint64) for constant in constants]

    @cached_property
    def images(self) -> NDArray[np.int64]:
        """The images of all numbers. Kept where these are few: who looks at a pass once looks at it again."""
        x = np.arange(self.n, dtype=np.uint64)
        self.apply(x, backwards=False)
        return x.view(np.int64)

    def apply(self, x: NDArray[np.uint64], backwards: bool) -> None:
        """Replaces every number in ``x``, which has one axis, by its image or, backwards, by its preimage."""
        outside = self._once(x, backwards)
        while outside.size:
            walking = x[outside]
            still = self._once(walking, backwards)
            x[outside] = walking
            outside = outside[still]

    def _once(self, x: NDArray[np.uint64], backwards: bool) -> NDArray[np.intp]:
        """All rounds on ``x``, in place; returns where its numbers are n or more now."""
        low, mask, a, half, high, multiplier = self.constants
        rounds = self.rounds[::-1] if backwards else self.rounds
        shift, wrap = (np.subtract, np.add) if backwards else (np.add, np.subtract)
        memory = np.empty((3, min(x.size, _BLOCK)), dtype=np.uint64)
        outside = []
        for start in range(0, x.size, _BLOCK):
            right = x[start : start + _BLOCK]
            left, h, t = memory[:, : right.size]
            np.right_shift(right, low, left)
            np.bitwise_and(right, mask, right)
            for even, add, multiply in rounds:
                np.multiply(right if even else left, multiply, h)
                np.add(h, add, h)
                np.right_shift(h, half, t)
                np.bitwise_xor(h, t, h)
                np.multiply(h, multiplier, h)
                if even:
                    np.right_shift(h, half, h)
                    np.multiply(h, a, h)
                    np.right_shift(h, half, h)
                    shift(left, h, left)
                    wrap(left, a, h)  # of left and left - a (backwards, left + a) the one in [0, a) is the smaller,
                    np.minimum(left, h, out=left)  # since below zero is a huge number
                else:
                    np.right_shift(h, high, h)
                    np.bitwise_xor(right, h, right)
            np.left_shift(left, low, left)
            np.bitwise_or(left, right, right)
            beyond = np.flatnonzero(right >= self.n)
            if beyond.size:
                outside.append(beyond + start)
        return np.concatenate(outside) if outside else np.empty(0, dtype=np.intp)


def _keys(n: int, seeds: Sequence[int], pass_index: int) -> NDArray[np.uint64]:
    """The keys of all rounds, one column a seed."""
    rounds = max(8, 2 * -(-40 // (n - 1).bit_length()))
    texts = (f"{VERSION} n={n} seed={seed} pass={pass_index}".encode("ascii") for seed in seeds)
    digests = b"".join(hashlib.shake_256(text).digest(16 * rounds) for text in texts)
    keys = np.frombuffer(digests, dtype="<u8").reshape(len(seeds), 2 * rounds).T.astype(np.uint64, order="C")
    keys[1::2] |= np.uint64(1)
    return keys


@lru_cache(maxsize=32)
def _permutation(n: int, seed: int, pass_index: int) -> _Permutation:
    return _Permutation(n, _keys(n, (seed,), pass_index)[:, 0])


_small_permutation = lru_cache(maxsize=1024)(_permutation.__wrapped__)


@lru_cache(maxsize=8)
def first_samples(num_samples: int, seeds: tuple[int, ...]) -> NDArray[np.int64]:
    """The first sample of the first shuffled pass over at least 2 samples, for each of up to 16,384 seeds."""
    keys = _keys(num_samples, seeds, 0)
    samples = np.zeros(len(seeds), dtype=np.uint64)
    outside = np.arange(len(seeds))
    while outside.size:
        walking = samples[outside]
        still = _Permutation(num_samples, keys[:, outside])._once(walking, backwards=False)
        samples[outside] = walking
        outside = outside[still]
    return samples.view(np.int64)
