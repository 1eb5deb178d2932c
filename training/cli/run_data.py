"""Source data for one run: which world this home holds, and the source that writes it into the inbox as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from training.cli.processes import end, stop_strays
from training.cli.processes import remember as write_down
from training.cli.stopping import undisturbed
from training.config.settings import ROOT, Settings
from training.domain.errors import ConfigError, NotReadyError, StepError


@dataclass(frozen=True)
class World:
    """What a home was first filled with; mixing two would make nonsense of the history. `data` is the imported file, or empty."""

    source: str
    members: int
    days: int
    seed: int
    data: str = ""


def world_of(settings: Settings, data: Path | None) -> World:
    """The world that the settings ask for, checked against the one that this home already holds.

    Raises ConfigError if they differ in source, members, seed or file; `days` is the history of the first run only.
    """
    file = str(_file(data).resolve()) if data else ""
    asked = World(settings.source, settings.members, settings.days, settings.seed, file)
    path = settings.home / "world.json"
    if not path.is_file():
        return asked
    kept = World(**json.loads(path.read_text(encoding="utf-8")))
    same = (kept.source, kept.members, kept.seed, kept.data) == (asked.source, asked.members, asked.seed, asked.data or kept.data)
    if not same:
        raise ConfigError(
            f"{settings.home} holds the world {kept}, but this run asks for {asked}: two worlds in one history cannot be learned from. "
            "Ask for the same one, set RIGHTMATCH_HOME to another folder, or delete this one."
        )
    return kept


def _file(data: Path) -> Path:
    """The file that `data` names, or the only one that its last part matches as a pattern (make passes `*` on unexpanded)."""
    found = [data] if data.is_file() else sorted(data.parent.glob(data.name))
    if len(found) != 1 or not found[0].is_file():
        several = f"{len(found)} files match {data}" if len(found) > 1 else f"There is no file {data}"
        raise ConfigError(f"{several}, so there is nothing to import. Give DATA (or --data) the path of the source's file.")
    return found[0]


def remember(settings: Settings, world: World) -> None:
    """Write the world down once its data is complete."""
    aside = settings.home / "world.json.tmp"
    aside.write_text(json.dumps(vars(world), indent=1) + "\n", encoding="utf-8")
    aside.replace(settings.home / "world.json")


def days_held(settings: Settings, today: date) -> list[date]:
    """Days up to `today` that have files of decisions, landed or waiting, oldest first. A folder whose name is no day is left to landing, which refuses it."""
    found = {_day(folder.name) for root in (settings.inbox, settings.raw) for folder in (root / "decisions").glob("day=*")}
    return sorted(day for day in found if day and day <= today)


def _day(folder: str) -> date | None:
    try:
        return date.fromisoformat(folder.removeprefix("day="))
    except ValueError:
        return None


@contextmanager
def source_data(settings: Settings, world: World, today: date) -> Iterator[Source]:
    """Start writing the source's data; the process is gone when the block ends. `today` is the last day that your own data may have."""
    source = Source(settings, world, today)
    try:
        yield source
    finally:
        source.stop()


class Source:
    """`python -m sources.NAME` at work, so that Airflow can start meanwhile. A name without such a module means data that you put there."""

    def __init__(self, settings: Settings, world: World, today: date) -> None:
        self._settings, self._world, self._today = settings, world, today
        self._log, self._pids = settings.home / "source.log", settings.home / "source.pids.json"
        self._process: subprocess.Popen[str] | None = None
        stop_strays(self._pids)
        if (ROOT / "sources" / world.source / "__main__.py").is_file() or (ROOT / "sources" / f"{world.source}.py").is_file():
            self._process = self._start()

    def last_day(self) -> date:
        """Wait for the data; the newest day in it. Raises StepError with the source's own words, or NotReadyError without any data."""
        if self._process is None:
            return self._own()
        out, _ = self._process.communicate()
        if self._process.returncode != 0:
            words = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise StepError(f"The source {self._world.source} failed, so there is no data to learn from. Its own words:\n" + "\n".join(words[-6:]))
        report = json.loads(out.strip().splitlines()[-1])
        remember(self._settings, self._world)
        return date.fromisoformat(report["last_day"])

    def stop(self) -> None:
        """End the process if it still runs; no signal interrupts it."""
        if self._process is None:
            return
        with undisturbed():
            if self._process.poll() is None:
                end([self._process.pid])
                self._process.wait()
            self._pids.unlink(missing_ok=True)

    def _own(self) -> date:
        from training.adapters.log_export import last_day

        served = last_day(self._settings, self._today)
        days = sorted({*days_held(self._settings, self._today), *([served] if served else [])})
        later = [day for day in days_held(self._settings, date.max) if day > self._today]
        if later:
            print(f"Left for later: {len(later)} day(s) after today, {self._today}, up to {later[-1]}. Correct the names of their folders if they are wrong.")
        if not days:
            raise NotReadyError(
                f"There is no source named {self._world.source!r} and no decisions/day=YYYY-MM-DD up to {self._today} in {self._settings.inbox}: "
                "nothing to learn from. Put your tables there as docs/your-data.md says, or use SOURCE=simulated."
            )
        return days[-1]

    def _start(self) -> subprocess.Popen[str]:
        world, settings = self._world, self._settings
        held = len(days_held(settings, date.max))  # a world has its own calendar
        days = max(world.days, held + 1) if (settings.home / "world.json").is_file() else world.days
        arguments = ["--out", settings.inbox, "--truth", settings.home / "truth", "--catalog", settings.catalog]
        arguments += ["--members", world.members, "--days", days, "--seed", world.seed, *(["--data", world.data] if world.data else [])]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        settings.home.mkdir(parents=True, exist_ok=True)
        with self._log.open("w", encoding="utf-8") as errors:
            command = [sys.executable, "-m", f"sources.{world.source}", *map(str, arguments)]
            process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
        write_down(self._pids, [process.pid])
        return process
