"""`python -m sources.simulated`: write a simulated world into an inbox. A longer `--days` extends the same world."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa

from sources.arguments import parser
from sources.simulated.day import simulate_day
from sources.simulated.members import Members, draw_members, truth_table
from sources.simulated.play_kept import played_from
from sources.simulated.policy import build_menus
from sources.simulated.state import State, first_state, load_state, save_state
from sources.simulated.world import World, build_world, save_world
from sources.write import day_file, report, write_day, write_file
from training.domain.catalog import load_catalog
from training.domain.errors import ConfigError, RightmatchError
from training.domain.schema import RAW

KEEP_EVERY = 7
"""Days between two saved states; a run that was cut off repeats at most this many."""


def generate(world: World, days: int, out: Path, truth: Path) -> Iterator[tuple[int, dict[str, int]]]:
    """Write each day that is missing, yielding (day index, rows written per table). Memory holds one day and one row of state a member."""
    members = draw_members(world)
    if not (truth / "members.parquet").is_file():
        _write_members(world, members, truth)
    menus = build_menus(world)
    state = _resume(world, members, out, truth)
    while state.day + 1 < days:
        state, tables, context = simulate_day(world, members, menus, state)
        day = world.day(state.day)
        write_day(truth, day, {"situations": context})
        yield state.day, write_day(out, day, tables)
        if state.day + 1 == days or state.day % KEEP_EVERY == KEEP_EVERY - 1:
            save_state(state, truth)


def _resume(world: World, members: Members, out: Path, truth: Path) -> State:
    """The kept state, if nothing that it stands for was removed; else the beginning, from which the same days come again."""
    state = load_state(truth)
    whole = state is not None and all(day_file(out, t, world.day(d)).is_file() for d in range(state.day + 1) for t in RAW)
    return state if state is not None and whole else first_state(world, members)


def _write_members(world: World, members: Members, truth: Path) -> None:
    table: pa.Table = truth_table(world, members)
    write_file(truth / "latents" / "part.parquet", table)
    (truth / "latents" / "part.parquet").replace(truth / "members.parquet")
    (truth / "latents").rmdir()


def main() -> int:
    """Run; progress on standard error, one JSON object as the last line on standard output. 1 on unusable arguments."""
    a = parser("simulated", __doc__ or "").parse_args()
    try:
        _require_some(a.members, a.days)
        world = build_world(a.seed, a.members, a.start, load_catalog(a.catalog), a.shift_day)
        save_world(world, a.truth, a.catalog)
        total: Counter[str] = Counter()
        days = min(a.days, played_from(a.truth) or a.days)  # from there on the world is `rightmatch world play`'s
        for _, rows in _shown(generate(world, days, a.out, a.truth), days):
            total.update(rows)
    except RightmatchError as error:
        print(error, file=sys.stderr)
        return 1
    last = max(date.fromisoformat(p.name.removeprefix("day=")) for p in (a.out / "decisions").glob("day=*"))
    print(report(world.start, last, {name: total[name] for name in RAW}))
    return 0


def _require_some(members: int, days: int) -> None:
    if members < 1 or days < 1:
        raise ConfigError(f"A world of {members} members and {days} days is empty, so nothing was written. Give --members and --days of at least 1.")


def _shown(days: Iterator[tuple[int, dict[str, int]]], total: int) -> Iterator[tuple[int, dict[str, int]]]:
    """The same items, with a progress bar on a terminal and a line a week elsewhere."""
    if not sys.stderr.isatty():
        for day, rows in days:
            if (day + 1) % 7 == 0 or day + 1 == total:
                print(f"simulated day {day + 1} of {total}", file=sys.stderr, flush=True)
            yield day, rows
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("Simulating days", total=total)
        for day, rows in days:
            bar.update(task, completed=day + 1)
            yield day, rows


if __name__ == "__main__":
    raise SystemExit(main())
