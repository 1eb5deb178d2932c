"""The decision log's contract, on SQLite files and on a real Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fakes.logs import ARM, AT, EMAIL, served
from training.adapters import log_hot, log_outcomes
from training.adapters.decision_log import DecisionLog
from training.adapters.log_engine import reading
from training.adapters.log_outcomes import LONGEST
from training.adapters.log_tables import decision_table, outcome_table
from training.config.serving import Clock
from training.domain.errors import LogError
from training.domain.nouns import NONE, Outcome, OutcomeKind
from training.domain.served import MemberState

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(name="log")
def _log(log_url):
    """An empty log."""
    return DecisionLog(log_url)


def append(log, *ones):
    """Ones in one transaction of their members; what stood already."""
    with log.writing([one.asked.member_id for one in ones]) as writer:
        return writer.append(ones)


def happened(name, decision, kind="click", at=AT + HOUR, value=None):
    """An outcome."""
    return Outcome(name, f"d-{decision}", OutcomeKind(kind), at, value)


def told(log, *outcomes, now=AT + DAY):
    """Answers of one call, with their reasons."""
    return [(r.answer.value, r.why) for r in log.append_outcomes(outcomes, now)]


def test_an_empty_log_knows_nobody_and_holds_nothing(log):
    """Every member has a state all the same."""
    found = log.read(["m1"], ["r-1"], AT)
    assert found.states == {"m1": MemberState()}
    assert found.earlier == {}
    assert log.find("d-1") is None
    assert (log.outcomes_of("d-1"), log.events(0, 9), log.decisions_since(0, 9), log.paused(), log.arms("x")) == ([], [], [], frozenset(), None)


def test_messages_of_seven_days_count_and_none_does_not(log):
    """Older ones and decisions that showed nothing are left out; oldest first, each member their own."""
    week = timedelta(days=7)
    append(log, served("old", at=AT - week), served("new", at=AT - week + timedelta(microseconds=1)), served("now"), served("none", arm=NONE))
    append(log, served("other", "m2", arm=ARM))
    states = log.read(["m1", "m2", "m3"], [], AT).states
    assert states["m1"].messages == (("email", AT - week + timedelta(microseconds=1)), ("email", AT))
    assert states["m2"].messages == (("feed", AT),)
    assert states["m3"] == MemberState()


def test_what_a_cap_counts_is_read_from_an_index_alone(tmp_path):
    """A look at the table is a page more for each message, from the disk where the log is large."""
    with reading(DecisionLog(f"sqlite:///{tmp_path}/log.db").engine) as connection:
        question = log_hot._said(log_hot._STATES, "sqlite", 2)
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {question}", ("a", "b", 0, "a", "b")).all()
    looks = [row[3] for row in plan if "SEARCH" in row[3] or "SCAN" in row[3]]
    assert len(looks) == 2
    assert all("USING COVERING INDEX" in look for look in looks)


def test_a_clock_that_jumped_back_still_sees_what_was_shown(log):
    """A message that is dated after now counts: a cap fails closed."""
    append(log, served("1", at=AT))
    assert log.read(["m1"], [], AT - 30 * DAY).states["m1"].messages == (("email", AT),)


def test_an_answered_request_stands(log):
    """Also for another decision that comes later, and within one call: the first one is the answer, the second is not kept."""
    assert append(log, served("1")) == {}
    again = replace(served("2"), asked=replace(served("2").asked, request_id="r-1"))
    stands = append(log, again, served("3"))
    assert {request: one.asked.decision_id for request, one in stands.items()} == {"r-1": "d-1"}
    twice = replace(served("5", "m2"), asked=replace(served("5", "m2").asked, request_id="r-4"))
    assert append(log, served("4"), twice)["r-4"].asked.decision_id == "d-4"
    assert log.read([], ["r-1", "r-3", "r-9"], AT).earlier.keys() == {"r-1", "r-3"}
    assert [one.asked.decision_id for _, one in log.decisions_since(0, 9)] == ["d-1", "d-3", "d-4"]


def test_a_transaction_sees_what_it_appended_and_leaves_nothing_if_it_fails(log):
    """The block's own error comes through, and the next transaction goes on."""

    def fail():
        with log.writing(["m1"]) as writer:
            writer.append([served("1")])
            assert writer.read(["m1"], ["r-1"], AT).states["m1"].messages == (("email", AT),)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert log.find("d-1") is None
    append(log, served("2"))
    with pytest.raises(LogError, match="could not be written"):
        append(log, served("3"), replace(served("4"), asked=replace(served("4").asked, decision_id="d-2")))
    assert log.find("d-3") is None


def test_outcomes_are_kept_once_in_order(log):
    """A repeat is told and changes nothing, also within one call; another content under the same id is refused."""
    append(log, served("1"))
    first, sale = happened("o1", "1"), happened("o2", "1", "conversion", AT + 2 * HOUR, 29.99)
    assert told(log, first, sale, first) == [("accepted", ""), ("accepted", ""), ("repeated", "")]
    assert told(log, sale) == [("repeated", "")]
    for change in ({"kind": OutcomeKind.DISMISS}, {"occurred_at": AT}, {"value": 1.0}, {"decision_id": "d-9"}):
        (answer,) = told(log, replace(first, **change))
        assert answer == ("refused", "differs from what was accepted as o1 before; an outcome never changes")
    assert log.outcomes_of("d-1") == [first, sale]
    events = log.events(0, 9)
    assert [(e.outcome, e.received_at, e.served.asked.decision_id) for e in events] == [(first, AT + DAY, "d-1"), (sale, AT + DAY, "d-1")]
    assert [e.outcome for e in log.events(events[0].seq, 9)] == [sale]
    assert len(log.events(0, 1)) == 1


CLOSED = AT + 28 * DAY
IMPOSSIBLE = [
    *(("decision d-9 is not in the log", happened("o", "9", kind)) for kind in ("click", "opt_out")),
    ("lies before its decision", happened("o", "1", at=AT - timedelta(seconds=1))),
    ("more than 5 minutes after", happened("o", "1", at=CLOSED + timedelta(minutes=5, microseconds=1))),
    ("28 days or more after its decision", happened("o", "1", at=CLOSED)),
    ("value -1.0 of a conversion is not money", happened("o", "1", "conversion", value=-1.0)),
    ("value nan of a conversion is not money", happened("o", "1", "conversion", value=float("nan"))),
    ("value inf of a click is not money", happened("o", "1", value=float("inf"))),
    ("has no time zone", happened("o", "1", at=AT.replace(tzinfo=None))),
    *(("outcome_id is not 1 to 128 characters", happened(name, "1")) for name in ("", "a\0", "\ud800", "o" * 129)),
    ("decision d-\0 is not in the log", happened("o", "\0")),
    *((f"nothing that a {kind} could follow", happened("o", "none", kind)) for kind in ("impression", "click", "dismiss", "opt_out")),
]


def test_what_cannot_have_happened_is_refused_alone(log):
    """Each with its reason, and the rest of the call is kept; at the edges, and a conversion nobody prompted, are possible."""
    append(log, served("1"), served("none", arm=NONE))
    assert (outcome_table.c.outcome_id.type.length, decision_table.c.decision_id.type.length) == (LONGEST, log_outcomes._DECISION_ID)
    edge = [happened("a", "1", at=AT), happened("b", "1", at=CLOSED - timedelta(microseconds=1)), happened("c", "none", "conversion", value=0.0)]
    answers = told(log, *(o for _, o in IMPOSSIBLE), *edge, now=CLOSED)
    for (why, outcome), (answer, reason) in zip(IMPOSSIBLE, answers[: len(IMPOSSIBLE)], strict=True):
        assert (answer, why in reason) == ("refused", True), (outcome, reason)
    assert answers[len(IMPOSSIBLE) :] == [("accepted", "")] * 3
    assert told(log, happened("d", "1", at=AT + 5 * timedelta(minutes=1)), now=AT) == [("accepted", "")]
    assert len(log.events(0, 99)) == 4


def test_a_time_in_whole_seconds_is_not_before_its_decision(log):
    """What happens in the second of its decision is kept at the decision's instant, and is a repeat when it is told again, in one call or later."""
    decided_at = AT + timedelta(seconds=1) - timedelta(microseconds=1)
    append(log, served("1", at=decided_at))
    seen, left = happened("o1", "1", "impression", AT), happened("o2", "1", "opt_out", AT)
    assert told(log, seen, left, seen) == [("accepted", ""), ("accepted", ""), ("repeated", "")]
    assert [o.occurred_at for o in log.outcomes_of("d-1")] == [decided_at] * 2
    assert told(log, seen, replace(seen, occurred_at=decided_at)) == [("repeated", "")] * 2
    other, earlier = told(log, replace(seen, kind=OutcomeKind.CLICK), happened("o3", "1", at=AT - timedelta(microseconds=1)))
    assert ("differs from what was accepted" in other[1], "lies before its decision" in earlier[1]) == (True, True)


def test_who_reads_on_from_the_last_one_misses_none(log):
    """A transaction that began earlier and commits later has no smaller number than what was readable before."""
    append(log, served("0"))
    with ThreadPoolExecutor(1) as other:
        with log.writing(["m1"]) as writer:
            writer.append([served("1")])
            second = other.submit(append, log, served("2", "m2"))
            assert not wait([second], timeout=0.3).done, "the second one was numbered before the first one was there"
            assert [one.asked.decision_id for _, one in log.decisions_since(0, 9)] == ["d-0"]
        second.result(10)
    assert [one.asked.decision_id for _, one in log.decisions_since(0, 9)] == ["d-0", "d-1", "d-2"]


def test_nobody_decides_while_a_member_opts_out_and_the_other_way_round(log):
    """The opt-out waits for a decision that has read the member's consent, and every later decision sees it."""
    append(log, served("1"))
    with ThreadPoolExecutor(1) as other:
        with log.writing(["m1"]) as writer:
            assert writer.read(["m1"], [], AT).states["m1"].withdrawn == frozenset()
            leaving = other.submit(told, log, happened("o1", "1", "opt_out"))
            assert not wait([leaving], timeout=0.3).done, "the consent changed under a decision"
            writer.append([served("2")])
        assert leaving.result(10) == [("accepted", "")]
    with log.writing(["m1"]) as writer:
        assert writer.read(["m1"], [], AT).states["m1"].withdrawn == {"email"}


def test_an_opt_out_withdraws_the_channel_with_it(log):
    """Of that member and channel alone, from the next read on; consent given anew comes back, and a repeated opt-out does not take it again."""
    append(log, served("1"), served("2", "m2"))
    leaving = happened("o1", "1", "opt_out")
    assert told(log, leaving) == [("accepted", "")]
    states = log.read(["m1", "m2"], [], AT).states
    assert (states["m1"].withdrawn, states["m2"].withdrawn) == (frozenset({"email"}), frozenset())
    assert log.withdrawn(["m1", "m2"]) == {"m1": frozenset({"email"})}
    assert told(log, happened("o2", "1", "opt_out")) == [("accepted", "")]
    assert (log.restore_consent("m1", "email"), log.restore_consent("m1", "email")) == (True, False)
    assert told(log, leaving) == [("repeated", "")]
    assert log.withdrawn(["m1"]) == {}


def test_arms_are_paused_and_resumed(log):
    """Twice does no harm."""
    for _ in range(2):
        log.pause(ARM, AT)
    log.pause(EMAIL, AT)
    assert log.paused() == {ARM, EMAIL}
    assert (log.resume(ARM), log.resume(ARM)) == (True, False)
    assert log.paused() == {EMAIL}


def test_snapshots_of_arms_are_kept_once(log):
    """By their version."""
    log.keep_arms("v1", '{"a": 1}', AT)
    log.keep_arms("v1", '{"a": 1}', AT + DAY)
    assert (log.arms("v1"), log.arms("v2")) == ('{"a": 1}', None)


def test_a_thousand_members_and_outcomes_at_once(log):
    """As many as a request may hold."""
    ones = [served(str(i), f"m{i}") for i in range(1000)]
    append(log, *ones)
    assert set(told(log, *(happened(f"o{i}", i, "opt_out") for i in range(1000)))) == {("accepted", "")}
    states = log.read([f"m{i}" for i in range(1000)], [f"r-{i}" for i in range(1000)], AT)
    assert all(state.withdrawn == {"email"} and len(state.messages) == 1 for state in states.states.values())
    assert len(states.earlier) == 1000


def test_by_the_datas_clock_an_outcome_is_received_when_it_happens(log):
    """One far ahead moves no other, and none is early; each window still closes."""
    append(log, served("1"))
    ahead, late = happened("ahead", "1", at=AT + 9 * DAY), happened("late", "1", at=AT + log_outcomes.CLOSED)
    receipts = log.append_outcomes([happened("now", "1"), ahead, late], AT + 2 * HOUR, Clock.DATA)
    assert [r.answer.value for r in receipts] == ["accepted", "accepted", "refused"]
    assert [(e.outcome.outcome_id, e.received_at) for e in log.events(0, 9)] == [("now", AT + 2 * HOUR), ("ahead", AT + 9 * DAY)]


@pytest.mark.parametrize("name", ["d\0", "d" * 65, "\ud800"])
def test_an_id_that_no_log_holds_is_nobodys(log, name):
    """Postgres would raise on it."""
    assert log.find(name) is None
