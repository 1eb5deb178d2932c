"""What the warehouse was built from, so that a build knows which of its days the landed files have changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from training.adapters.landing_files import Raw
from training.config.settings import ROOT, Settings
from training.domain.errors import NotReadyError

PROJECT = ROOT / "dbt"


@dataclass(frozen=True)
class Plan:
    """Build as of the end of `until`: features of `since` and later (None: of every day), and with `rejudge` the labels of every decision.

    `partitions` and `recipe` are what it is built from: the mark of each landed `TABLE/day=DAY` up to `until`, and that of the SQL.
    """

    until: date
    since: date | None
    rejudge: bool
    partitions: Mapping[str, str]
    recipe: str


class BuildState:
    """`built.json` tells of the last build that succeeded, `unfinished.json` is there while one runs and after it failed."""

    def __init__(self, settings: Settings) -> None:
        self._raw = Raw(settings.raw)
        self._built = settings.home / "dbt" / "built.json"
        self._unfinished = settings.home / "dbt" / "unfinished.json"

    def plan(self, day: date) -> Plan:
        """What to build so that the warehouse holds `day` and every later day that it held, and equals a first build of the same files.

        A row in a partition of day P is known from P on, so that features of days before P cannot change with it; a decision of any age can.
        Raises NotReadyError where nothing of `day` or later has landed.
        """
        landed = self._landed(day)
        built, unfinished = _read(self._built), _read(self._unfinished)
        recipe = _recipe()
        last = date.fromisoformat(built["until"]) if built else day
        until = max(day, last)
        partitions = {f"{table}/day={when.isoformat()}": mark for (table, when), mark in landed.items() if when <= until}
        if not built or built["recipe"] != recipe or (unfinished and not unfinished["since"]):
            return Plan(until, None, rejudge=True, partitions=partitions, recipe=recipe)
        changed = [when for when in _changed(built["partitions"], partitions) if when <= last]
        failed = [date.fromisoformat(unfinished["since"])] if unfinished else []
        since = min(day, last + timedelta(days=1), *changed, *failed)
        return Plan(until, since, rejudge=bool(changed or failed), partitions=partitions, recipe=recipe)

    def begin(self, plan: Plan) -> None:
        """Remember from which day on the warehouse is in doubt until `finish`, whatever ends the build."""
        _write(self._unfinished, {"since": plan.since.isoformat() if plan.since else ""})

    def finish(self, plan: Plan) -> None:
        """The build succeeded: the next one starts from it."""
        _write(self._built, {"until": plan.until.isoformat(), "recipe": plan.recipe, "partitions": plan.partitions})
        self._unfinished.unlink()

    def _landed(self, day: date) -> dict[tuple[str, date], str]:
        landed = self._raw.contents()
        newest = max((when for _, when in landed), default=None)
        if newest is None or newest < day:
            reach = f"the newest landed day is {newest.isoformat()}" if newest else "nothing has landed at all"
            raise NotReadyError(
                f"No file of {day.isoformat()} or later has landed ({reach}), so its features would claim a day without any event. "
                "Put its files into the inbox and run `land`, or ask for a day that has landed."
            )
        return landed


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> Iterable[date]:
    """Days of partitions that are new, gone or not what they were."""
    return (date.fromisoformat(name.partition("/day=")[2]) for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _recipe() -> str:
    """One mark for all SQL: days that another version of it built cannot stand beside new ones."""
    files = sorted(p for folder in ("models", "macros") for p in (PROJECT / folder).rglob("*.sql"))
    content = b"".join(p.read_bytes() for p in (*files, PROJECT / "dbt_project.yml"))
    return hashlib.sha256(content).hexdigest()


def _read(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _write(file: Path, content: Mapping[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.aside")
    aside.write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")
    aside.replace(file)
