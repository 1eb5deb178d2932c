"""Several processes on one log, processes that are killed, and a disk that is full: what was acknowledged is there, once."""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import event

from tests.fakes import log_writers
from tests.fakes.log_writers import TOGETHER, opt_outs, said, start, transaction
from tests.fakes.logs import AT, served
from training.adapters.decision_log import DecisionLog
from training.domain.errors import LogError
from training.domain.nouns import Outcome, OutcomeKind


def together(work, url, *args):
    """What two processes said that did the same at once."""
    gate = log_writers.gate(2)
    running = [start(work, url, gate, seed, *args) for seed in (1, 2)]
    heard = [said(pipe) for _, pipe in running]
    for process, _ in running:
        process.join(60)
        assert process.exitcode == 0
    return heard


def test_two_processes_never_exceed_a_cap(log_url):
    """Both send every member one message if nobody did: one each, and both name the same decision as the answer to a request."""
    answers = [{k: v for part in heard for k, v in part.items()} for heard in together(log_writers.message, log_url, 60)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 60
    assert len(set(answers[0].values())) == 2, "one process did everything, so nothing was tried"
    states = DecisionLog(log_url).read([f"m{i}" for i in range(60)], [], AT).states
    assert {len(state.messages) for state in states.values()} == {1}


def test_one_request_id_has_one_answer_whoever_asks(log_url):
    """Even where two processes use it for two members, which no lock on members keeps apart."""
    mine, theirs = (dict(heard) for heard in together(log_writers.request, log_url, 80))
    assert mine == theirs
    assert set(mine.values()) == {"m1", "m2"}, "one process did everything, so nothing was tried"


def test_an_outcome_counts_once_whoever_sends_it(log_url):
    """Two processes send the same outcomes in other orders: each is accepted once and repeated once."""
    log = DecisionLog(log_url)
    ones = [served(str(i), f"m{i % 9}", AT + timedelta(minutes=i)) for i in range(70)]
    with log.writing([one.asked.member_id for one in ones]) as writer:
        writer.append(ones)
    kinds = (OutcomeKind.CLICK, OutcomeKind.OPT_OUT)
    outcomes = [Outcome(f"o{i}", f"d-{i % 70}", kinds[i % 2], AT + timedelta(hours=2)) for i in range(140)]
    heard = together(log_writers.answer, log_url, outcomes)
    counts = [Counter(answer for part in parts for answer in part) for parts in heard]
    assert counts[0] + counts[1] == {"accepted": 140, "repeated": 140}
    assert all(c["accepted"] for c in counts), "one process did everything, so nothing was tried"
    assert sorted(e.outcome.outcome_id for e in log.events(0, 999)) == sorted(o.outcome_id for o in outcomes)


def check(log, acknowledged):
    """Every transaction is there whole or not at all, once, and all that were acknowledged; returns the number of the next one."""
    decisions = Counter(one.asked.decision_id for _, one in log.decisions_since(0, 10**6))
    outcomes = Counter(e.outcome.outcome_id for e in log.events(0, 10**6))
    assert set((decisions + outcomes).values()) <= {1}
    numbers = Counter(int(name[2:].split(".")[0]) for name in decisions)
    assert set(numbers.values()) <= {TOGETHER}
    assert {n for kind, n in acknowledged if kind == "decisions"} <= numbers.keys()
    for number in numbers:
        there = [o.outcome_id in outcomes for o in opt_outs(number)]
        withdrawn = log.withdrawn([one.asked.member_id for one in transaction(number)])
        assert set(there) == {bool(withdrawn)}, "an opt-out without its withdrawal, or half of a call"
        assert all(there) or ("outcomes", number) not in acknowledged
    return max(numbers, default=-1)


@pytest.mark.parametrize("log_url", ["sqlite", "postgres"], indirect=True)
def test_kill_9_loses_nothing_and_repeats_nothing(log_url):
    """Writers killed at random moments; each next one sends again from the last transaction that is there, as a client without an answer would."""
    dice = random.Random(4)
    log, acknowledged, last = DecisionLog(log_url), [], 0
    kills = 20 if log_url.startswith("sqlite") else 6
    for _ in range(kills):
        process, pipe = start(log_writers.write, log_url, max(last, 0))
        pipe.poll(60)
        time.sleep(dice.uniform(0, 0.08))
        process.kill()
        acknowledged += said(pipe)
        process.join(60)
        last = check(log, acknowledged)
    assert len(acknowledged) >= kills


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path):
    """Writes that fail in the midst, as on a full disk: earlier transactions stand, the refused one is gone, and the same connection goes on with space."""
    url = f"sqlite:///{tmp_path}/log.db"
    process, pipe = start(log_writers.fill, url, 400_000)
    *before, error, after = said(pipe)
    process.join(60)
    assert "The decision log could not be written: " in error
    assert ("disk I/O error" in error) or ("disk is full" in error)
    assert len(before) > 5
    log = DecisionLog(url)
    assert check(log, [("decisions", n) for n in [*before, after]]) == after == len(before)
    with log.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_a_full_database_is_told_and_goes_on_with_space(tmp_path):
    """SQLite's own limit of pages, for outcomes too."""
    log = DecisionLog(f"sqlite:///{tmp_path}/log.db")
    limit = [60]
    event.listen(log.engine, "checkout", lambda connection, *_: connection.execute(f"PRAGMA max_page_count={limit[0]}"))
    done = 0

    def go_on():
        nonlocal done
        while True:
            ones = transaction(done)
            with log.writing([]) as writer:
                writer.append(ones)
            log.append_outcomes(opt_outs(done), AT + timedelta(days=1))
            done += 1

    for _ in range(2):
        start_at = done
        with pytest.raises(LogError, match="could not be written: database or disk is full"):
            go_on()
        assert done > start_at
        assert check(log, [(kind, n) for n in range(done) for kind in ("decisions", "outcomes")]) in {done - 1, done}
        limit[0] *= 2
