"""The world goes on with a decision service in charge: members ask it over HTTP, it hears what they do, in the order of the world's own time.

A day is played hour by hour: first the service is told what happens in that hour as far as it follows from earlier decisions, then the members of the
hour ask. What follows from an hour's decisions is known before the next one, since the world's draws depend on the seed and the day alone: the day is
drawn again with the answers so far. A day that was cut off is played again from its beginning with the same request ids, which gives the same day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa

from sources.simulated.day import HOUR_US, simulate_day
from sources.simulated.members import DAY_US, draw_members
from sources.simulated.play_client import Answer, Service
from sources.simulated.play_kept import keep, resume, served_ids
from sources.simulated.play_report import Day, summary
from sources.simulated.play_stage import Stage, Today
from sources.simulated.policy import SURFACES, Asked, Chosen, Menus, build_menus
from sources.simulated.rows import decision_ids
from sources.simulated.state import State
from sources.simulated.world import load_world
from sources.write import conform, write_day, write_part
from training.domain.errors import DataError

HOURS = 24
GROUP = "service"


def play(truth: Path, inbox: Path, days: int, service: Service, before: Callable[[Any], None]) -> Iterator[Day]:
    """Play `days` days after the last one, yielding what each came to; `before` is called with the date of each, once the service is known to answer.

    Raises ConfigError where there is no world to go on with, NotReadyError and StepError as `Service`.
    """
    world = load_world(truth)
    kept, state = resume(world, truth)
    stage = Stage(world, draw_members(world), build_menus(world), kept, inbox, truth)
    with asyncio.Runner() as runner:
        runner.run(service.__aenter__())
        try:
            runner.run(service.knock())
            for _ in range(days):
                before(world.day(state.day + 1))
                state, day = runner.run(_day(stage, state, service))
                yield day
        finally:
            runner.run(service.__aexit__(None, None, None))


async def _day(stage: Stage, before: State, service: Service) -> tuple[State, Day]:
    begin, day = perf_counter(), before.day + 1
    today = _questions(stage, before)
    served = served_ids(stage.world, stage.kept, day)
    for hour in range(HOURS + 1):
        after, tables, context = _drawn(stage, before, today)
        served |= {today.ids[row]: answer.decision_id for row, answer in today.answers.items()}
        await service.tell(_news(tables["outcomes"], served, today.told, _midnight(stage, day) + (hour + 1) * HOUR_US))
        if hour < HOURS:
            await _ask(stage, today, hour, service)
    _write(stage, day, tables, context, served)
    keep(stage.world, stage.kept, today.ids, [today.answers[row] for row in range(len(today.ids))], after)
    return after, summary(stage, before, today, tables["outcomes"], perf_counter() - begin)


def _questions(stage: Stage, before: State) -> Today:
    """The day's questions: they follow from the state before it, whatever is answered."""
    seen: list[Asked] = []

    def nobody(menus: Menus, asked: Asked) -> Chosen:
        seen.append(asked)
        return _chosen(stage, menus, asked, {})

    simulate_day(stage.world, stage.members, stage.menus, before, nobody)
    (asked,) = seen
    return Today(asked, decision_ids(stage.world, np.full(len(asked.at), asked.day), asked.member).to_pylist())


def _drawn(stage: Stage, before: State, today: Today) -> tuple[State, dict[str, pa.Table], pa.Table]:
    """The day with the answers so far; whoever has not asked yet is shown nothing."""
    return simulate_day(stage.world, stage.members, stage.menus, before, lambda menus, asked: _chosen(stage, menus, asked, today.answers))


def _chosen(stage: Stage, menus: Menus, asked: Asked, answers: dict[int, Answer]) -> Chosen:
    """The answers as a policy's. The service says the probability of the chosen arm alone: the others are NaN here, and in its own log."""
    rows = np.array(sorted(answers), dtype=np.int64)
    arm = np.full(len(asked.at), stage.world.none)
    propensity = np.ones(len(asked.at))
    if len(rows):
        index = {name: k for k, name in enumerate(stage.world.arm_ids)}
        unknown = {a.arm for a in answers.values()} - set(index)
        if unknown:
            raise DataError(f"The service showed {min(unknown)!r}, an arm that this world does not have. Let both read one catalog.")
        arm[rows] = [index[answers[row].arm] for row in rows.tolist()]
        propensity[rows] = [answers[row].propensity for row in rows.tolist()]
    return Chosen(arm, np.full((len(arm), menus.arms.shape[1]), np.nan), propensity, GROUP)


async def _ask(stage: Stage, today: Today, hour: int, service: Service) -> None:
    """Members of this hour ask, in the order of their instants."""
    asked = today.asked
    rows = np.flatnonzero((asked.at - _midnight(stage, asked.day)) // HOUR_US == hour)
    rows = rows[np.argsort(asked.at[rows], kind="stable")]
    questions = [
        {
            "member_id": f"m{asked.member[row]:07d}",
            "surface": SURFACES[asked.surface[row]].value,
            "request_id": f"world{stage.world.seed}-{today.ids[row]}",
            "at": _iso(int(asked.at[row])),
        }
        for row in rows.tolist()
    ]
    today.answers.update(zip(rows.tolist(), await service.decide(questions), strict=True))


def _news(outcomes: pa.Table, served: dict[str, str], told: set[str], until: int) -> list[dict[str, Any]]:
    """Outcomes of the service's own decisions before `until` (us since 1970) that it has not heard of, oldest first; they count as told from here on."""
    rows = [
        row
        for row in outcomes.set_column(outcomes.column_names.index("occurred_at"), "occurred_at", outcomes["occurred_at"].cast(pa.int64())).to_pylist()
        if row["occurred_at"] < until and row["decision_id"] in served and row["outcome_id"] not in told
    ]
    told.update(row["outcome_id"] for row in rows)
    rows.sort(key=lambda row: row["occurred_at"])
    return [
        {"outcome_id": r["outcome_id"], "decision_id": served[r["decision_id"]], "kind": r["kind"], "occurred_at": _iso(r["occurred_at"])}
        | ({} if r["value"] is None else {"value": r["value"]})
        for r in rows
    ]


def _write(stage: Stage, day: int, tables: dict[str, pa.Table], context: pa.Table, served: dict[str, str]) -> None:
    """The day's rows. Decisions and what follows from them come from the service's log; late outcomes of the history before it are only known here."""
    date, outcomes = stage.world.day(day), tables["outcomes"]
    old = [i for i, decision in enumerate(outcomes["decision_id"].to_pylist()) if decision not in served]
    if old:
        write_part(stage.inbox, "outcomes", date, "world", conform("outcomes", outcomes.take(old)))
    write_day(stage.truth, date, {"situations": context})
    write_day(stage.inbox, date, {name: tables[name] for name in ("members", "activity", "subscriptions")})


def _midnight(stage: Stage, day: int) -> int:
    return int(np.datetime64(stage.world.day(day), "us").astype(np.int64))


def _iso(us: int) -> str:
    """An instant as RFC 3339 writes it."""
    return f"{np.datetime64(us, 'us')}Z"


assert HOURS * HOUR_US == DAY_US  # noqa: S101 - hours fill the day
