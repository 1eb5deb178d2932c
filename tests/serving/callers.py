"""Callers who ask and report under load, repeating with the same ids whatever fails, and what must be true of the log afterwards."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
from sqlalchemy import select

from tests.serving.conftest import member
from training.adapters.decision_log import DecisionLog
from training.adapters.log_engine import reading
from training.adapters.log_tables import answer_table, decision_table, outcome_table
from training.config.settings import Settings


class Caller(threading.Thread):
    """Asks for decisions and reports an impression and a click of each, repeating with the same ids whatever fails, as callers should.

    `refused` counts answers of 503.
    """

    def __init__(self, service, number, stop):
        super().__init__()
        self.service, self.number, self.stop = service, number, stop
        self.decisions, self.outcomes, self.failures, self.refused = {}, set(), 0, 0

    def run(self):
        """Until told to stop; then nothing is repeated any more."""
        rng, count = random.Random(self.number), 0
        client = self.service.client()
        while not self.stop.is_set():
            count += 1
            body = {"member_id": member(2 * rng.randrange(1, 150)), "surface": "outbound", "request_id": f"r-{self.number}-{count}"}
            answer = self.send(client, "/v1/decisions", body)
            if answer is None:
                return
            self.decisions[body["request_id"]] = answer
            if answer["arm"]:
                self.report(client, answer["decision_id"])

    def report(self, client, decision):
        """An impression and a click."""
        now = datetime.now(UTC).isoformat()
        batch = [{"outcome_id": f"{k}-{decision}", "decision_id": decision, "kind": k, "occurred_at": now} for k in ("impression", "click")]
        if self.send(client, "/v1/outcomes", batch) is not None:
            self.outcomes |= {o["outcome_id"] for o in batch}

    def send(self, client, path, body):
        """Until it is answered, or the test is over."""
        while True:
            try:
                answer = client.post(path, json=body)
                if answer.status_code == 200:
                    return answer.json()
                assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), answer.text
                assert answer.headers["retry-after"] == "1"
                self.refused += 1
            except httpx.HTTPError:
                pass
            self.failures += 1
            if self.stop.is_set():
                return None
            time.sleep(0.02)


def compare(home, callers):
    """The log against what callers were told."""
    log = DecisionLog(Settings(home=home).log_url)
    with reading(log.engine) as connection:
        decisions = {r.request_id: r for r in connection.execute(select(decision_table))}
        outcomes = Counter(connection.execute(select(outcome_table.c.outcome_id)).scalars())
        answers = Counter(tuple(r) for r in connection.execute(select(answer_table.c.decision_id, answer_table.c.stage)))
    told = {request: answer for caller in callers for request, answer in caller.decisions.items()}
    for request, answer in told.items():
        kept = decisions[request]
        assert (kept.decision_id, kept.propensity) == (answer["decision_id"], answer["propensity"])
        assert kept.chosen_arm == (answer["arm"]["arm_id"] if answer["arm"] else "none")
    acknowledged = {o for caller in callers for o in caller.outcomes}
    assert acknowledged <= set(outcomes)
    assert not (twice := {name: n for name, n in outcomes.items() if n != 1}), twice
    assert not (twice := {name: n for name, n in answers.items() if n != 1}), twice
    assert outcomes, "no outcome at all"
    assert answers, f"nothing was learned from {len(outcomes)} outcomes of {len(decisions)} decisions"
    shown = Counter(r.member_id for r in decisions.values() if r.channel_id is not None)
    assert max(shown.values()) <= Settings().serving.caps.day
    assert max(r.decided_at for r in decisions.values()) - min(r.decided_at for r in decisions.values()) < timedelta(days=1) / timedelta(microseconds=1)
