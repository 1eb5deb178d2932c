"""A world that goes on under a service: what is asked and told, in which order, what is written, and that a day cut off comes again the same."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest

from sources.simulated import play_client
from sources.simulated.play import play
from sources.simulated.play_client import Service
from sources.simulated.play_kept import played_from
from tests.fakes.service import KEY, FakeService
from tests.sources.simulated.conftest import ROOT, SEEDS, write
from training.domain.catalog import load_catalog
from training.domain.errors import ConfigError, NotReadyError, StepError

DAYS, MEMBERS = 5, 400
CATALOG = load_catalog(SEEDS)
FIRST = {surface: next(a.arm_id for a in CATALOG.arms.values() if CATALOG.channels[a.channel_id].surface == surface) for surface in ("web", "app", "outbound")}


@pytest.fixture(scope="module", name="history")
def _history(tmp_path_factory):
    """Five days of the logging policy."""
    return write(tmp_path_factory.mktemp("history"), MEMBERS, DAYS, 9).inbox.parent


@pytest.fixture(name="home")
def _home(history, tmp_path):
    """A copy of them to play on."""
    shutil.copytree(history, tmp_path / "home")
    return tmp_path / "home"


def free(member: str, surface: str, at: str) -> str:
    """Web and app: the first arm, which needs no consent there; outbound nothing."""
    return "none" if surface == "outbound" else FIRST[surface]


def played(home, url, days=1, connections=8):
    """The reports of some days."""
    return list(play(home / "truth", home / "inbox", days, Service(url, KEY, connections), lambda _: None))


@contextmanager
def serving(choose=free):
    """A fake service and its URL."""
    service = FakeService(choose)
    with service.running() as url:
        yield service, url


def rows(home, table, day, part="part"):
    """One file of the inbox."""
    return pq.read_table(home / "inbox" / table / f"day={day}" / f"{part}.parquet", partitioning=None).to_pylist()


def test_members_ask_in_order_and_the_service_hears_what_follows_before_it_decides_on(home):
    """Every question is of the day; what the service hears never lies after a question that came later by more than its hour, and each is heard once."""
    with serving() as (service, url):
        first, second = played(home, url, days=2)
    asked = [body for kind, bodies in service.calls for body in bodies if kind == "decision"]
    told = [body for kind, bodies in service.calls for body in bodies if kind == "outcomes"]
    assert (first.day, second.day) == ("2026-01-10", "2026-01-11")
    assert first.asked + second.asked == len(asked) == len(service.decisions)
    assert len({b["request_id"] for b in asked}) == len(asked)
    assert len(told) == len(service.outcomes)
    assert Counter(b["kind"] for b in told)["impression"] == first.shown + second.shown
    assert {b["at"][:10] for b in asked} == {"2026-01-10", "2026-01-11"}
    hours = [max(b.get("at") or b["occurred_at"] for b in bodies)[:13] for _, bodies in service.calls if bodies]
    assert hours == sorted(hours)
    assert 1 < service.most <= 8


def test_what_is_learned_of_a_click_comes_before_the_next_hours_questions(home):
    """At the first question of an hour all clicks of the hour before have been told."""
    with serving() as (service, url):
        played(home, url, days=2)
    clicks = sorted(b["occurred_at"] for b in service.outcomes.values() if b["kind"] == "click")
    assert clicks
    heard: list[str] = []
    for kind, bodies in service.calls:
        if kind == "outcomes":
            heard += [b["occurred_at"] for b in bodies if b["kind"] == "click"]
        else:
            hour = bodies[0]["at"][:13]
            assert [c for c in clicks if c[:13] < hour] == sorted(c for c in heard if c[:13] < hour)


def test_rows_of_members_land_and_decisions_are_left_to_the_services_log(home):
    """Members, activity and subscriptions have the day's file; decisions have none; outcomes only those of the history, in a file of their own."""
    with serving() as (_, url):
        (day,) = played(home, url)
    assert all((home / "inbox" / t / "day=2026-01-10" / "part.parquet").is_file() for t in ("members", "activity", "subscriptions"))
    assert not (home / "inbox" / "decisions" / "day=2026-01-10").exists()
    late = rows(home, "outcomes", "2026-01-10", "world")
    assert late
    assert {o["decision_id"][:9] for o in late} <= {f"d2026010{d}" for d in range(5, 10)}
    assert not any(o["kind"] == "impression" for o in late)
    assert [p.name for p in (home / "inbox" / "outcomes" / "day=2026-01-10").iterdir()] == ["world.parquet"]
    assert day.clicks + day.conversions + day.opt_outs >= len([o for o in late if o["kind"] != "dismiss"])


def test_a_day_that_was_cut_off_is_played_again_the_same(home, history, tmp_path):
    """The service breaks in the middle of the second day; played on, decisions and outcomes are those of a world that was never cut off."""
    with serving() as (service, url):
        whole = played(home, url, days=2)
        straight = {k: v["asked"]["request_id"] for k, v in service.decisions.items()}, set(service.outcomes)
    again = tmp_path / "again"
    shutil.copytree(history, again)
    with serving() as (service, url):
        service.fail_after = whole[0].asked + whole[1].asked // 2 + 60
        with pytest.raises(StepError, match="refused POST /v1/decisions .500.*on purpose"):
            played(again, url, days=2)
        service.fail_after = 10**9
        (second,) = played(again, url, days=1)
        assert sorted({v["asked"]["request_id"] for v in service.decisions.values()}) == sorted(straight[0].values())
        assert set(service.outcomes) == straight[1]
    assert (second.day, second.asked, second.clicks) == (whole[1].day, whole[1].asked, whole[1].clicks)
    for table in ("members", "activity", "subscriptions"):
        assert rows(again, table, "2026-01-11") == rows(home, table, "2026-01-11")


def test_figures_of_a_day_are_those_of_the_truth(home):
    """A service that shows nothing: expected conversion is below the uniform policy's, nobody clicks on what it did, and all are champions' decisions."""
    with serving(lambda *_: "none") as (_, url):
        (day,) = played(home, url)
    assert (day.shown, day.overrun, day.fallbacks) == (0, 0, 0.0)
    assert 0 < day.expected < day.uniform < 1
    assert day.models == {"3": day.asked}
    assert day.reasons == {"champion": day.asked}


def test_a_message_without_consent_is_counted(home):
    """A service that shows every outbound member an SMS overruns those who did not agree, and nobody else."""
    sms = next(a.arm_id for a in CATALOG.arms.values() if a.channel_id == "sms")
    with serving(lambda _member, surface, _at: sms if surface == "outbound" else "none") as (_, url):
        (day,) = played(home, url)
    assert 0 < day.overrun < day.shown


def test_a_busy_service_is_asked_again(home, monkeypatch):
    """Two of three answers are 503: the day is played all the same, each decision once."""
    monkeypatch.setattr(play_client, "AGAIN", 0.0)
    with serving() as (service, url):
        service.trouble = 503
        (day,) = played(home, url)
    assert len(service.decisions) == day.asked


def test_a_service_that_stays_away_or_refuses_ends_the_day_in_words(home, monkeypatch):
    """Nobody listens; a key that is not known."""
    monkeypatch.setattr(play_client, "PATIENCE", 0.1)

    async def asked():
        async with Service("http://127.0.0.1:9", KEY, 4) as service:
            await service.decide([{}])

    with pytest.raises(NotReadyError, match="did not answer POST /v1/decisions for 0.1 s .*rightmatch serve"):
        asyncio.run(asked())
    with serving() as (_, url), pytest.raises(StepError, match="Send a valid key"):
        list(play(home / "truth", home / "inbox", 1, Service(url, "rm_wrong", 4), lambda _: None))


def test_a_service_that_is_not_there_or_knows_no_such_key_is_found_out_before_anything_is_made_ready(home):
    """At once, with what to do; one that is there is asked for nothing meanwhile."""

    def before(_):
        raise AssertionError("features were built for nobody")

    def begun(url, key):
        return list(play(home / "truth", home / "inbox", 1, Service(url, key, 4), before))

    with pytest.raises(NotReadyError, match="http://127.0.0.1:9 does not answer .ConnectError.*rightmatch serve"):
        begun("http://127.0.0.1:9", KEY)
    with serving() as (service, url):
        with pytest.raises(StepError, match="refused POST /v1/decisions .401.*Send a valid key"):
            begun(url, "rm_wrong")
        with pytest.raises(AssertionError, match="for nobody"):
            begun(url, KEY)
    assert service.calls == []


def test_the_generator_leaves_played_days_alone(home):
    """`rightmatch run` asks its source for one more day; a world that a service decides does not get one."""
    with serving() as (_, url):
        played(home, url, days=2)
    assert played_from(home / "truth") == DAYS
    before = sorted(p for p in (home / "inbox").rglob("*.parquet"))
    command = [sys.executable, "-m", "sources.simulated", "--out", home / "inbox", "--truth", home / "truth", "--catalog", SEEDS]
    command += ["--members", MEMBERS, "--days", DAYS + 3, "--seed", 9]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(p for p in (home / "inbox").rglob("*.parquet")) == before
    assert json.loads(done.stdout.splitlines()[-1])["rows"]["decisions"] == 0


def test_without_a_world_there_is_nothing_to_play_on(home, tmp_path):
    """No truth at all, and a truth without its state."""
    with pytest.raises(ConfigError, match="does not exist"):
        played(tmp_path / "nothing", "http://127.0.0.1:9")
    (home / "truth" / "state.npz").unlink()
    with pytest.raises(ConfigError, match="no state of its world"):
        played(home, "http://127.0.0.1:9")
