"""Creative texts as vectors, so that a creative that was never shown can be scored.

Signed feature hashing (Weinberger et al. 2009, "Feature hashing for large scale multitask learning") of words and character
trigrams: deterministic, needs no vocabulary, no download and no training.
"""

from __future__ import annotations

import re
from zlib import crc32

import numpy as np
import numpy.typing as npt

SIZE = 64
NAME = f"hashed-words-trigrams-{SIZE}"
"""Saved in the manifest: vectors of another encoder would be meaningless to the trained layers."""


def encode_text(text: str) -> npt.NDArray[np.float32]:
    """Unit vector [SIZE] of `text`; the zero vector where it has no letter or digit."""
    vector = np.zeros(SIZE, dtype=np.float32)
    for token in _tokens(text):
        code = crc32(token.encode())
        vector[code % SIZE] += 1.0 if code & 0x8000_0000 else -1.0
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector


def _tokens(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    padded = [f"^{word}$" for word in words]
    return [*words, *(p[i : i + 3] for p in padded for i in range(len(p) - 2))]
