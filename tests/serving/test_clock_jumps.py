"""The clock of a running service is set back and forth by up to an hour and a half while callers ask, report and repeat."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from tests.serving import jumping
from tests.serving.conftest import member, serving, wait
from training.adapters.decision_log import DecisionLog
from training.adapters.log_engine import instant, reading
from training.adapters.log_tables import answer_table, decision_table, outcome_table
from training.config.settings import Settings

JUMPS = (0, 3_600, -3_600, 5_400, -1_800, 0)
"""Seconds ahead of the real clock, one after the other."""
NEW, THREADS = 8, 8
"""Members who ask for the first time in each turn, beside all who did before; and how many ask at once."""


def when(text):
    """An instant of an answer."""
    return datetime.fromisoformat(text)


@pytest.fixture(name="clock")
def _clock(tmp_path, monkeypatch):
    """Sets the clock of services that are started from now on."""
    file = tmp_path / "clock"
    jumping.jump(file, 0)
    monkeypatch.setenv(jumping.FILE, str(file))
    return lambda seconds: jumping.jump(file, seconds)


@pytest.fixture(name="service")
def _service(home, clock):
    """Two workers and the learner by that clock."""
    with serving(home, 2, "tests.serving.jumping") as running:
        wait(lambda: running.ready().status_code == 200)
        yield running


class Callers:
    """Everybody who ever asked, what they were told, and what they reported."""

    def __init__(self, client, threads):
        self.client, self.threads = client, threads
        self.told, self.clicks = [{}], {}

    def turn(self, number, ahead):
        """All members ask anew, all earlier requests are repeated, and whatever was shown is clicked at once, by a clock that is `ahead`."""
        self.repeat()
        names = {f"{number}-{who}": who for who in range(2, 2 + 2 * NEW * (number + 1), 2)}
        began = datetime.now(UTC) + timedelta(seconds=ahead)
        answers = dict(zip(names, self.threads.map(self.ask, names, names.values()), strict=True))
        ended = datetime.now(UTC) + timedelta(seconds=ahead)
        for answer in answers.values():
            assert began <= when(answer["expires_at"]) - timedelta(minutes=30) <= ended
            if answer["arm"]:
                self.clicks[f"click-{answer['decision_id']}"] = (answer["decision_id"], when(answer["expires_at"]) - timedelta(minutes=30))
        self.told.append(answers)
        self.report("accepted", [c for c in self.clicks if self.clicks[c][0] in {a["decision_id"] for a in answers.values()}])
        self.report("repeated", list(self.clicks))

    def repeat(self):
        """Every request that was ever answered: nothing of the answer is new, its end neither."""
        for turn in self.told:
            whose = {name: int(name.split("-")[1]) for name in turn}
            assert dict(zip(whose, self.threads.map(self.ask, whose, whose.values()), strict=True)) == turn

    def ask(self, request, who):
        """One decision."""
        answer = self.client.post("/v1/decisions", json={"member_id": member(who), "surface": "outbound", "request_id": request})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def report(self, receipt, clicks):
        """All of them are received as `receipt`."""
        if clicks:
            answer = self.client.post("/v1/outcomes", json=[self.click(c) for c in clicks])
            assert (answer.status_code, answer.json()[receipt]) == (200, len(clicks)), answer.text

    def click(self, name):
        """As it was sent the first time."""
        decision, at = self.clicks[name]
        return {"outcome_id": name, "decision_id": decision, "kind": "click", "occurred_at": at.isoformat()}


@pytest.mark.slow
def test_a_clock_that_jumps_breaks_no_promise(service, clock):
    """Nobody gets more messages than the caps allow, a request keeps its answer and its end, outcomes are applied and learned once, and the log goes on in the
    order of the acknowledgements.
    """
    with service.client() as client, ThreadPoolExecutor(THREADS) as threads:
        callers = Callers(client, threads)
        for number, ahead in enumerate(JUMPS):
            clock(ahead)
            callers.turn(number, ahead)
            assert service.ready().status_code == 200
        wait(lambda: learned(service.home) == Counter(decision for decision, _ in callers.clicks.values()))
        callers.repeat()
    rows = decisions(service.home)
    assert [r.request_id for r in rows] == sorted((r.request_id for r in rows), key=lambda name: int(name.split("-")[0]))
    assert Counter(r.request_id for r in rows) == Counter(name for turn in callers.told for name in turn)
    shown = Counter(r.member_id for r in rows if r.channel_id is not None)
    assert max(shown.values()) <= Settings().serving.caps.day
    turns = Counter(r.request_id.split("-")[0] for r in rows if r.channel_id is not None)
    assert len(turns) >= 3, "too few messages to say anything of caps"
    assert kept(service.home) == Counter(list(callers.clicks))


def test_what_the_clock_makes_impossible_is_refused_by_name_and_taken_once_it_is_right(service, clock):
    """A click that lies an hour ahead of a clock that was set back: a 422 that names it, and nothing of it is kept; the right clock accepts the same one."""
    with service.client() as client, ThreadPoolExecutor(1) as threads:
        callers = Callers(client, threads)
        answer = next(a for a in (callers.ask(f"0-{who}", who) for who in range(2, 300, 2)) if a["arm"])
        callers.clicks["late"] = (answer["decision_id"], datetime.now(UTC))
        clock(-3_600)
        refused = client.post("/v1/outcomes", json=callers.click("late"))
        assert (refused.status_code, refused.json()["refused"][0]["outcome_id"], refused.json()["accepted"]) == (422, "late", 0)
        assert "more than 5 minutes after" in refused.json()["detail"]
        assert kept(service.home) == Counter()
        clock(0)
        callers.report("accepted", ["late"])
        wait(lambda: learned(service.home) == Counter([answer["decision_id"]]))
    (row,) = [r for r in decisions(service.home) if r.decision_id == answer["decision_id"]]
    assert instant(row.expires_at) == when(answer["expires_at"])


def decisions(home):
    """All of the log, in its order."""
    with reading(DecisionLog(Settings(home=home).log_url).engine) as connection:
        return connection.execute(select(decision_table).order_by(decision_table.c.seq)).all()


def learned(home):
    """How often each decision's click was learned."""
    with reading(DecisionLog(Settings(home=home).log_url).engine) as connection:
        return Counter(connection.execute(select(answer_table.c.decision_id).where(answer_table.c.stage == "clicked", answer_table.c.answer == 1)).scalars())


def kept(home):
    """How often each outcome is there."""
    with reading(DecisionLog(Settings(home=home).log_url).engine) as connection:
        return Counter(connection.execute(select(outcome_table.c.outcome_id)).scalars())
