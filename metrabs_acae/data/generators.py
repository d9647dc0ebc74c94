"""Random generators of single examples, a pure function of a few integers and cheap to make."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.random.bit_generator import ISeedSequence

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


def generator(*parts: int) -> np.random.Generator:
    """A generator whose stream each of the integers, and their order, decides.

    NumPy's own way from integers to a generator takes as long as all random draws of an example together.
    """
    key = key_of(*parts)
    other = _hash(key)
    words = np.array((key, other, other, key), np.uint64)  # state, then increment: distinct for distinct keys
    return np.random.Generator(np.random.PCG64(_Words(words)))


def key_of(*parts: int) -> int:
    """64 bits that each of the integers, and their order, decides."""
    key = 0
    for part in parts:
        key = _hash(key ^ part & _MASK)
    return key


def key_of_text(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


class _Words(ISeedSequence):
    """Hands 256 bits to the generator as they are."""

    def __init__(self, words: np.ndarray):
        self._words = words

    def generate_state(self, n_words, dtype=np.uint32):
        return self._words.view(dtype)[:n_words]


def _hash(x: int) -> int:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014), after its increment."""
    x = (x + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
