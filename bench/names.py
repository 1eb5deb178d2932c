"""Names separated by commas, as options of benchmarks take them."""

from __future__ import annotations

from collections.abc import Sequence

from training.domain.errors import ConfigError


def chosen(words: str, known: Sequence[str], what: str) -> tuple[str, ...]:
    """Those that `words` name, in that order. Raises ConfigError for one that is not `known`, or is empty; `what` says what they are."""
    names = tuple(word.strip() for word in words.split(","))
    for place, name in enumerate(names, 1):
        if not name:
            raise ConfigError(
                f"The {what} {words!r} have no name in place {place}, so nothing was measured. Use some of {', '.join(known)}, a comma between two."
            )
        if name not in known:
            raise ConfigError(f"There is no {what.removesuffix('s')} {name!r}, so nothing was measured. Use some of {', '.join(known)}.")
    return names
