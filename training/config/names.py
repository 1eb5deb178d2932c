"""Which `RIGHTMATCH_*` variables exist. A misspelt one would be ignored without a word, and the run would not be the one that was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from pydantic import BaseModel

from training.domain.errors import ConfigError

PREFIX = "RIGHTMATCH_"
OUTSIDE = ("SCHEDULE", "SCHEDULE_FROM", "TARGET", "WAREHOUSE", "CANDIDATE", "MARTS", "FEAST", "RAW", "KEY")
"""Read by DAGs, dbt, Feast and `rightmatch world play` themselves, not by the settings."""
FAMILIES = ("RAW_", "POSTGRES_", "BUILD_")
"""Beginnings of more such names: one for each raw table, what dbt needs to reach Postgres, and what a build of dbt is asked for."""


def refuse_unknown(names: Iterable[str], model: type[BaseModel]) -> None:
    """Raises ConfigError if one of `names` begins like ours but is no field of `model` and nothing that another part reads; lists the nearest."""
    known = {PREFIX + name for name in (*_fields(model), *OUTSIDE)}
    families = tuple(PREFIX + family for family in FAMILIES)
    ours = sorted(n for n in names if n.upper().startswith(PREFIX))
    unknown = [n for n in ours if n.upper() not in known and not n.upper().startswith(families)]
    if unknown:
        raise ConfigError("\n".join(_sentence(name, known) for name in unknown))


def _fields(model: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        full = before + name.upper()
        yield full
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{full}__")


def _sentence(name: str, known: set[str]) -> str:
    near = get_close_matches(name.upper(), sorted(known), n=3) or sorted(known)
    return f"There is no setting {name}, so it would change nothing. Correct it or unset it; near it: {', '.join(near)}."
