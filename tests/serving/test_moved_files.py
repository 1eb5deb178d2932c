"""A log or an online store that is moved away under the running service, as a backup that is put back wrongly does it."""

from __future__ import annotations

import httpx
import pytest

from tests.fakes.databases import move
from tests.serving.conftest import member, serving, wait


def ask(client, **named):
    """A decision for one who has features and consents."""
    return client.post("/v1/decisions", json={"member_id": member(2), "surface": "outbound", **named})


@pytest.mark.slow
def test_files_that_are_moved_away_are_missed_and_found_again(home):
    """No decision is acknowledged into a log that nobody finds; without the store the safe default answers. With the files back all goes on."""
    log, store, away = home / "decisions.db", home / "feast" / "online.db", home / "away"
    away.mkdir()
    with serving(home) as service, service.client() as client:
        wait(lambda: service.ready().status_code == 200)
        before = ask(client, request_id="before").json()
        move(log, away / log.name)
        assert ask(client).status_code == 503
        wait(lambda: any("was moved, deleted or replaced" in str(line) for line in service.said()))
        wait(lambda: service.ready().status_code == 503)
        assert not log.exists()
        move(away / log.name, log)
        wait(lambda: service.ready().status_code == 200)
        assert ask(client, request_id="before").json() == before
        move(store, away / store.name)
        wait(lambda: ask(client).json()["reason"] == "store_down")
        assert not store.exists()
        move(away / store.name, store)
        wait(lambda: ask(client).json()["reason"] == "champion")
        wait(lambda: service.ready().status_code == 200)
        assert httpx.get(f"{service.url}/readyz").json()["troubles"] == {}
