"""Recent counts: base of the last materialization + what the log says since, whatever is repeated, killed or corrected in between."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest
from sqlalchemy import insert

from tests.fakes import learning as fake
from tests.fakes.learning import AS_OF, DAY, HOUR
from tests.fakes.online import FakeOnline
from training.adapters.decision_log import DecisionLog
from training.adapters.log_engine import micros, writing
from training.adapters.log_tables import recent_table
from training.adapters.recent import COUNTED, Recent
from training.domain.nouns import NONE, OutcomeKind

CLICK, DISMISS, IMPRESSION = OutcomeKind.CLICK, OutcomeKind.DISMISS, OutcomeKind.IMPRESSION
FEED = "career.who_viewed.feed"


@pytest.fixture
def log(log_url):
    """An empty log on both databases."""
    made = DecisionLog(log_url)
    yield made
    made.engine.dispose()


@pytest.fixture
def online():
    """Members a, b and c with counts of 3, 0 and 7 as of AS_OF."""
    made = FakeOnline()
    made.materialize(AS_OF, {"a": 3, "b": 0, "c": 7})
    return made


def show(log, number, member, at, arm=FEED):
    """A decision for a member."""
    fake.fill(log, [fake.served(number, at, member=member, arm=arm)])


def refresh(recent, limit=100):
    """Everything that is new."""
    more, rows = True, 0
    while more:
        more = recent.look(limit)
        recent.renew()
        rows += recent.push(limit)
        more = more or recent.waiting > 0
    return rows


def test_a_message_and_its_answers_are_counted_once(log, online):
    """Shown: one message more in both windows; clicked twice and dismissed; nothing shown counts nothing; who is not online stays so."""
    recent = Recent(log.engine, online)
    assert refresh(recent) == 0
    show(log, 1, "a", AS_OF + HOUR)
    show(log, 2, "b", AS_OF + HOUR, arm=NONE)
    show(log, 3, "unknown", AS_OF + HOUR)
    assert refresh(recent) == 1
    assert (online.counts("a"), online.counts("b")) == ([4, 4, 3, 3], [0, 0, 0, 0])
    assert "unknown" not in online.rows
    fake.tell(log, ("d1", CLICK, AS_OF + 2 * HOUR), ("d1", CLICK, AS_OF + 3 * HOUR), ("d1", DISMISS, AS_OF + 3 * HOUR), ("d1", IMPRESSION, AS_OF + HOUR))
    assert refresh(recent) == 1
    assert online.counts("a") == [4, 4, 5, 4]
    assert (online.rows["a"]["country"], online.rows["a"]["event_timestamp"]) == ("NL", AS_OF)
    assert refresh(recent) == 0
    assert online.written == ["a", "a"]


def test_before_the_first_materialization_there_is_nothing_to_push_on(log):
    """Then everybody of whom there are events since is renewed, also who was noted before."""
    online = FakeOnline()
    recent = Recent(log.engine, online)
    show(log, 1, "a", AS_OF + HOUR)
    assert (refresh(recent), recent.waiting) == (0, 0)
    online.materialize(AS_OF, {"a": 3})
    assert refresh(recent) == 1
    assert online.counts("a") == [4, 4, 3, 3]


def test_events_before_the_materialization_are_in_its_counts_already(log, online):
    """What happened before its event time was counted by dbt; at that very instant it was not."""
    show(log, 1, "a", AS_OF - timedelta(microseconds=1))
    show(log, 2, "b", AS_OF)
    refresh(Recent(log.engine, online))
    assert (online.counts("a"), online.counts("b")) == ([3, 3, 3, 3], [1, 1, 0, 0])


def test_a_new_materialization_makes_a_new_base(log, online):
    """The next midnight's row replaces ours; what happened between that midnight and its arrival is laid over it, without the member doing anything."""
    recent = Recent(log.engine, online)
    show(log, 1, "a", AS_OF + HOUR)
    show(log, 2, "a", AS_OF + DAY + HOUR)
    refresh(recent)
    assert online.counts("a") == [5, 5, 3, 3]
    online.materialize(AS_OF + DAY, {"a": 10, "b": 0, "c": 7})
    assert online.counts("a") == [10, 10, 10, 10]
    assert refresh(recent) == 1
    assert online.counts("a") == [11, 11, 10, 10]


def test_a_repeated_materialization_of_one_day_is_a_new_base_too(log, online):
    """A correction of the same midnight: its counts are taken, and the log's laid over them once."""
    recent = Recent(log.engine, online)
    show(log, 1, "a", AS_OF + HOUR)
    refresh(recent)
    online.materialize(AS_OF, {"a": 30})
    assert refresh(recent) == 1
    assert online.counts("a") == [31, 31, 30, 30]
    online.materialize(AS_OF, {"a": 30})
    refresh(recent)
    assert online.counts("a") == [31, 31, 30, 30]


def test_killed_before_or_after_the_row_is_written_it_counts_nothing_twice(log, online):
    """Recorded but not written; written, then everything forgotten: the next one pushes the same counts."""
    recent = Recent(log.engine, online)
    show(log, 1, "a", AS_OF + HOUR)
    online.fails = True
    with pytest.raises(OSError, match="killed"):
        refresh(recent)
    assert online.counts("a") == [3, 3, 3, 3]
    online.fails = False
    refresh(Recent(log.engine, online))
    assert online.counts("a") == [4, 4, 3, 3]
    show(log, 2, "a", AS_OF + 2 * HOUR)
    online.fails = True
    with pytest.raises(OSError, match="killed"):
        refresh(Recent(log.engine, online))
    assert online.counts("a") == [4, 4, 3, 3]  # one of ours, although it is not what was recorded last
    online.fails = False
    for _ in range(3):
        refresh(Recent(log.engine, online))
        assert online.counts("a") == [5, 5, 3, 3]


def test_a_row_that_somebody_wrote_meanwhile_is_pushed_again(log, online, monkeypatch):
    """A correction between reading and writing stays, and the log's counts are laid over it by the next push."""
    recent = Recent(log.engine, online)
    refresh(recent)
    show(log, 1, "a", AS_OF + HOUR)
    show(log, 2, "b", AS_OF + HOUR)
    read = online.counts_online

    def corrected(members):
        """What was there before."""
        found = read(members)
        online.materialize(AS_OF, {"a": 30})
        return found

    recent.look(100)
    with monkeypatch.context() as patch:
        patch.setattr(online, "counts_online", corrected)
        assert (recent.push(100), recent.waiting) == (1, 2)
    assert (online.counts("a"), online.counts("b")) == ([30] * 4, [1, 1, 0, 0])
    assert refresh(recent) == 1
    assert online.counts("a") == [31, 31, 30, 30]


def test_what_was_recorded_of_no_count_is_no_base(log, online):
    """Earlier versions kept null for NaN: the row itself is what lies under the log's counts then."""
    show(log, 1, "a", AS_OF + HOUR)
    none = dict.fromkeys(COUNTED)
    kept = {"member_id": "a", "base": json.dumps({"base": none, "before": none, "after": none}), "base_at": micros(AS_OF), "pushed_at": micros(AS_OF)}
    with writing(log.engine) as connection:
        connection.execute(insert(recent_table), [kept])
    refresh(Recent(log.engine, online))
    assert online.counts("a") == [4, 4, 3, 3]


def test_any_history_ends_in_base_and_events(log, online):  # noqa: C901 - a drawn history reads best in one piece
    """Drawn messages, clicks, failures, restarts, reruns and a new day in any order: in the end each count is that of the last base and the events since."""
    rng, recent, at, events = random.Random(8), Recent(log.engine, online), AS_OF, []
    base, since = {"a": 3, "b": 0, "c": 7}, AS_OF
    for number in range(60):
        at += timedelta(minutes=rng.randrange(60))
        match rng.choice(["show", "show", "click", "fail", "restart", "rerun", "day"]):
            case "show":
                events.append((rng.choice("abc"), "message", at, number))
                show(log, number, events[-1][0], at)
            case "click" if events:
                member, _, _, of = rng.choice([e for e in events if e[1] == "message"])
                fake.tell(log, (f"d{of}", CLICK, at))
                events.append((member, "click", at, of))
            case "fail":
                online.fails = True
                try:
                    refresh(recent, limit=2)
                except OSError:
                    recent = Recent(log.engine, online)
                online.fails = False
            case "restart":
                recent = Recent(log.engine, online)
            case "rerun":
                base = {member: count + 20 for member, count in base.items()}
                online.materialize(since, base)
            case "day":
                base, since = {member: rng.randrange(9) for member in "abc"}, at
                online.materialize(since, base)
        if rng.random() < 0.6:
            refresh(recent, limit=2)
    refresh(Recent(log.engine, online))
    for member, count in base.items():
        messages, clicks = (sum(m == member and kind == what and when >= since for m, kind, when, _ in events) for what in ("message", "click"))
        assert online.counts(member) == [count + messages, count + messages, count + clicks, count]
    assert len(events) > 20
