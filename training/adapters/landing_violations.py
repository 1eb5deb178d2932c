"""What landing refuses, and how it says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.domain.errors import LandingError

SAMPLES = 5
_FILES = 3


@dataclass(frozen=True)
class Violation:
    """One rule that one file breaks: in `count` rows (0 where the file as a whole is meant), with a few of their ids."""

    table: str
    rule: str
    file: str
    count: int = 0
    samples: tuple[str, ...] = ()


def explain(violations: Sequence[Violation], inbox: Path) -> LandingError:
    """The error that names every broken rule once, with its table, files, rows and up to five ids."""
    groups: dict[tuple[str, str], list[Violation]] = {}
    for violation in violations:
        groups.setdefault((violation.table, violation.rule), []).append(violation)
    lines = "\n".join(f"- {table}: {rule} ({_evidence(group)})" for (table, rule), group in groups.items())
    return LandingError(
        f"{len(groups)} rule(s) of the data contract are broken by files in {inbox}, so nothing of this batch was landed: "
        f"a model would learn from wrong rows without anybody noticing.\n{lines}\n"
        "Correct these files and run `land` again; a rerun without new files fails again. docs/your-data.md explains each rule."
    )


def _evidence(group: Sequence[Violation]) -> str:
    rows = sum(v.count for v in group)
    samples = list(dict.fromkeys(s for v in group for s in v.samples))[:SAMPLES]
    parts = [_listed([v.file for v in group])]
    if rows:
        parts.append(f"{rows:,} row(s)")
    if samples:
        parts.append(f"such as {', '.join(samples)}")
    return "; ".join(parts)


def _listed(files: Iterable[str]) -> str:
    names = list(dict.fromkeys(files))
    more = f" and {len(names) - _FILES:,} more file(s)" if len(names) > _FILES else ""
    return ", ".join(names[:_FILES]) + more
