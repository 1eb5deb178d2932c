"""The page of promotions: what it says, and that it can be read by everybody and everywhere."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, cast
from urllib.parse import urljoin

import pytest

from tests.fakes.ledger import FakeLedger
from tests.fakes.pages import Balance, contrasts
from tests.fakes.promotions import seed
from tests.fakes.registry import FakeRegistry
from training.adapters.experiments import SqlExperiments
from training.adapters.ports import Platform
from training.adapters.promotions import Facts, banner, target, undecided, view
from training.adapters.promotions_metrics import days_left
from training.adapters.promotions_page import Live, gather, page, run_page, write_promotions
from training.adapters.report_sequences import sequence
from training.config.settings import Settings
from training.domain.experiment import Cause, Change, Experiment, State
from training.domain.nouns import Evidence, RuleKind, Verdict, VerdictKind, look_id

AT, FIRST = datetime(2026, 3, 20, tzinfo=UTC), date(2026, 3, 1)
RUNNING = Experiment("e1", "2", "1", State.RUNNING, (0.1, 0.5), ((FIRST, 0.1),), 0.05, AT - timedelta(20), AT - timedelta(20), "opened")
RENEWED = Change("1", "1", Cause.ANCHOR, "me", AT, "The holdback gets version 1 instead of version 2.")


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    """Settings, platform and instant of a home with a history."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    nothing = cast("Any", None)
    found = Platform(nothing, nothing, nothing, nothing, FakeRegistry(settings.home / "registry"), FakeLedger(), SqlExperiments(settings.ledger_url))
    return settings, found, seed(settings, found.ledger, found.experiments, found.registry)


@pytest.fixture(scope="module")
def text(seeded):
    """The page as a file."""
    settings, platform, at = seeded
    return page(settings, platform, at)


def rule(name: str, low: float, value: float, sample: int = 1000, threshold: float = -0.005, note: str = "final") -> Evidence:
    """One rule's evidence at a look, symmetric about its value."""
    high = 2 * value - low
    kind = RuleKind(name.split(" ")[1])
    return Evidence(name, kind, value, (low, high), threshold, sample, passed=low > threshold, refuted=high < threshold, note=note)


def look(day: date, *rules: Evidence, kind: VerdictKind = VerdictKind.HOLD) -> Verdict:
    """A look with these rules."""
    return Verdict(look_id("e1", day), kind, "2", "1", rules, "because", datetime.combine(day, datetime.min.time(), UTC))


def test_the_first_screen_says_who_is_in_charge_and_what_is_tried(text):
    """State, reason, ramp, watch: before anything else."""
    start = text[: text.index("Metrics over time")]
    for words in ("Not decided yet", "Version 6 is tried on 50%", "stage 3 of 4", "version 4 stays in charge", "Not shown yet: retained"):
        assert words in start
    for words in ("since 22 Jun 2026, by a live experiment", "50% since 29 Jul 2026", "shown harmless", "against anchor version 1"):
        assert words in start
    assert start.count('aria-current="step"') == 1


def test_each_metric_is_drawn_over_time_and_each_segment_told(text):
    """A drawing with a name for those who do not see it, one a metric; segments in a table; why an arm earns what it earns."""
    for name in ("converted superior", "retained non_inferior", "opted_out non_inferior", "visited non_inferior", "dismissed non_inferior"):
        assert re.search(rf'<svg [^>]*aria-label="{name} over \d+ looks"', text)
    grid = text[text.index("Segments at the last look") : text.index("The watch over the champion")]
    assert '<th scope="row">country DE</th>' in grid
    assert grid.count('<th scope="col">retained</th>') == 1
    for words in ("sample ratio", "all members", "interest hiring", "retained +0.600", "opted out -0.040"):
        assert words in text


def test_the_history_is_whole_with_evidence_and_lineage(text, seeded):
    """Every experiment and screen, the newest first; what led to it; links to pages that exist alone."""
    history = text[text.index(">History<") :]
    order = [
        history.index(words)
        for words in ("version 6 against 4, stage 3", "version 5 against 4", "version 3 against 2, stage 1", "version 1 against logging policy")
    ]
    assert order == sorted(order)
    for words in (
        "dbt invocation",
        "data window",
        "dag run",
        "quality page",
        "rejected",
        "promoted",
        "Evidence of the last look",
        "asset_triggered__2026-06-29",
    ):
        assert words in history
    assert '<a href="2026-06-28.html">' in history
    (seeded[0].reports / "2026-06-28.html").rename(seeded[0].reports / "gone")
    assert '<a href="2026-06-28.html">' not in page(*seeded)
    (seeded[0].reports / "gone").rename(seeded[0].reports / "2026-06-28.html")


def test_the_file_stands_alone(text):
    """Well-formed, no script, nothing fetched from anywhere, no button that could not work."""
    reader = Balance()
    reader.feed(text)
    assert not reader.open
    assert not reader.seen & {"script", "link", "img", "iframe", "button", "dialog", "form"}
    assert not re.findall(r"""(?:src|href|action)=["'](?:https?:)?//""", text)
    assert not re.search(r"@import|url\(|>nan<|>inf<", text)
    assert text.startswith("<!doctype html>")
    assert '<html lang="en">' in text


def test_headings_and_tables_can_be_walked(text):
    """One h1, no level is skipped, every column has a scoped head, every picture a name."""
    levels = [int(n) for n in re.findall(r"<h(\d)", text)]
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert "<th>" not in text
    assert "<th class" not in text
    assert text.count("<svg") == len(re.findall(r'<svg [^>]*role="img" aria-label="[^"]+"', text))


def test_words_stand_out_from_their_ground(text):
    """At least 4.5 to 1 for every colour that a word of the page has (WCAG 2.2, AA)."""
    assert {name: ratio for name, ratio in contrasts(text).items() if ratio < 4.5} == {}


def test_the_same_facts_give_the_same_bytes_and_nothing_is_left_beside(seeded, tmp_path, text):
    """Written aside, then renamed."""
    settings, platform, at = seeded
    for _ in range(2):
        assert write_promotions(settings, platform, at, tmp_path / "new" / "mail.html").read_text(encoding="utf-8") == text
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["mail.html"]


def test_an_empty_home_has_a_page(tmp_path):
    """Before anything was judged."""
    settings = Settings(home=tmp_path)
    nothing = cast("Any", None)
    platform = Platform(nothing, nothing, nothing, nothing, FakeRegistry(tmp_path / "registry"), FakeLedger(), SqlExperiments(settings.ledger_url))
    found = page(settings, platform, AT)
    assert "No champion yet" in found
    assert "Nothing was decided yet" in found


def test_only_who_may_can_press_the_button(seeded):
    """With permission a dialog that names both versions; without, a dead button that says why; neither in the file."""
    settings, platform, at = seeded
    found = page(settings, platform, at, Live("uma", allowed=True, dag="guard", nonce="n1"))
    for words in ('<dialog id="sure" aria-labelledby="sure-title">', "Replace version 4 by version 2?", 'nonce="n1"', "is stopped", '<label for="why">'):
        assert words in found
    refused = page(settings, platform, at, Live("vera", allowed=False, dag="guard", nonce="n1"))
    assert 'disabled aria-describedby="why-not"' in refused
    assert "permission to start runs of the DAG <code>guard</code>" in refused
    assert "roll-back" not in refused[refused.index("<script") :]


def test_runs_lead_to_airflow(seeded, text):
    """Each run that opened, moved or judged something, behind whatever path a proxy puts before Airflow; persons do not, nor does the file."""
    settings, platform, at = seeded
    found = page(settings, platform, at, Live("uma", allowed=True, dag="guard", nonce="n1"))
    at = "https://company.example/airflow/promotions/reports/promotions.html"
    led = {urljoin(at, href) for href in re.findall(r'<a href="([^"]+)" data-airflow>', found)}
    runs = "https://company.example/airflow/dags"
    assert f"{runs}/retrain/runs/asset_triggered__2026-06-29T00%3A10%3A00%2B00%3A00_Ab1" in led
    assert f"{runs}/experiment/runs/scheduled__2026-08-12T00%3A00%3A00%2B00%3A00" in led
    assert f"{runs}/guard/runs/scheduled__2026-08-12T00%3A00%3A00%2B00%3A00" in led  # the last look of the watch
    assert f"{runs}/retrain/runs/scheduled__2026-06-21T00%3A00%3A00%2B00%3A00" in led
    assert "data-airflow" not in text
    link = "../../dags/guard/runs/manual__%3Cx%3E"
    assert [run_page(who) for who in ("root", "uma in Airflow", "eve manual", "guard manual__<x>")] == ["", "", "", link]
    assert run_page("guard manual__<x>, approved by uma") == link


def rolled_back(platform, settings):
    """Version 4 did harm, was taken back by the watch on Aug 12th, and put in charge again by hand the day after."""
    harm = Evidence("retained non_inferior", RuleKind.NON_INFERIOR, -0.03, (-0.04, -0.02), -0.005, 9000, passed=False, refuted=True, note="final")
    day = date(2026, 8, 11)
    platform.ledger.record(Verdict(look_id("watch-4", day), VerdictKind.REJECT, "4", "1", (harm,), "harm", datetime(2026, 8, 12, tzinfo=UTC), {"dag": "guard"}))
    back = Change("4", "1", Cause.WATCH, "guard manual__1", datetime(2026, 8, 12, 2, tzinfo=UTC), "harm", "exp-2026-04-27")
    again = Change("1", "4", Cause.HAND, "uma", datetime(2026, 8, 13, 8, tzinfo=UTC), "the logging was broken")
    for change in (back, again):
        platform.experiments.changed(change, lambda change=change: platform.registry.point("champion", change.after))


def test_a_champion_that_came_back_is_not_told_of_its_old_harm(seeded, tmp_path):
    """The watch begins anew, and says nothing before its first whole day; what it says then is shown."""
    platform = replace(seeded[1], registry=FakeRegistry(tmp_path / "registry"), ledger=FakeLedger(), experiments=SqlExperiments(f"sqlite:///{tmp_path}/l.db"))
    settings = Settings(home=tmp_path)
    at = seed(settings, platform.ledger, platform.experiments, platform.registry)
    rolled_back(platform, settings)
    shown = view(gather(settings, platform, at))
    assert (shown.watch, shown.watched) == (None, [])
    back = next(one for one in shown.past if one.word == "↩ rolled back" and "Champion" in one.what)
    assert (back.evidence[0].value, back.lineage["dag"], back.by) == (-0.03, "guard", "guard manual__1")
    assert shown.tiles[3].value == "begins anew"
    assert "anchor version 1, with the first whole day after 13 Aug 2026" in shown.tiles[3].note
    kept = Evidence("retained non_inferior", RuleKind.NON_INFERIOR, 0.0, (-0.02, 0.02), -0.005, 9000, passed=False, note="final")
    broken = Evidence("assignment_agreement", RuleKind.SAMPLE_RATIO, -0.5, (-0.5, -0.5), -0.01, 9000, passed=False, note="50% otherwise")
    for day, rules, word in ((14, (kept,), "◇ no harm found"), (15, (kept, broken), "✕ cannot be watched")):
        judged = datetime(2026, 8, day + 1, tzinfo=UTC)
        platform.ledger.record(Verdict(look_id("watch-4", date(2026, 8, day)), VerdictKind.HOLD, "4", "1", rules, "`rightmatch anchor 1`", judged))
        found = view(gather(settings, platform, at))
        assert found.tiles[3].value == word
    assert found.watch.why == "`rightmatch anchor 1`"


def test_later_periods_of_the_watch_are_told_apart_and_only_refute():
    """The first period holds: shown harmless, although a later one is not shown yet; refuted, the later one is the harm. Each has a drawing of its own name."""
    first, later = rule("retained non_inferior", -0.002, 0.001), rule("retained non_inferior (after 56 days)", -0.02, 0.001, note="later")
    harm = rule("retained non_inferior (after 56 days)", -0.05, -0.03, note="later, holdback 0.95")
    for found, word in ((later, "Shown harmless"), (harm, "Harm found")):
        watched = Verdict(look_id("watch-2", FIRST), VerdictKind.HOLD, "2", "1", (first, found), "because", AT)
        shown = view(Facts(AT, {"champion": "2", "anchor": "1"}, watch=[watched]))
        assert shown.watch.word == word
        assert [m.name for m in shown.watched] == ["retained", "retained (after 56 days)"]


def test_a_champion_that_the_ledger_does_not_know_is_said():
    """Its alias was moved past the ledger, or a change is half done."""
    found = banner(Facts(AT, {"champion": "3"}, changes=[Change("1", "2", Cause.HAND, "vera", AT, "complaints")]))
    assert (found.css, found.word, found.sentence) == ("HOLD", "Not in the ledger", "Version 3 is in charge; by the ledger it is version 2.")


def test_text_from_the_ledger_cannot_become_markup(seeded):
    """Names and reasons are escaped."""
    evil = "<script>alert(1)</script>"
    facts = gather(*seeded)
    from training.adapters.promotions_page import render

    shown = replace(
        facts, experiments=[replace(e, reason=evil) for e in facts.experiments], changes=[Change("4", evil, Cause.HAND, evil, AT, evil), *facts.changes]
    )
    found = render(view(shown), Live(evil, allowed=True, dag="guard", nonce="n"))
    assert found.count("<script") == 1
    assert "&lt;script&gt;" in found


@pytest.mark.parametrize(
    ("facts", "css", "words"),
    [
        (Facts(AT, {}), "CALM", "The logging policy decides"),
        (Facts(AT, {"champion": "1"}), "CALM", "Version 1 decides for everyone"),
        (Facts(AT, {"champion": "1"}, shown=RUNNING), "HOLD", "Nothing was looked at yet"),
        (Facts(AT, {"champion": "1"}, shown=RUNNING, looks=[look(FIRST, kind=VerdictKind.REJECT)]), "REJECT", "because"),
        (Facts(AT, {"champion": "1"}, shown=RUNNING, looks=[look(FIRST, kind=VerdictKind.PROMOTE)]), "PROMOTE", "because"),
        (Facts(AT, {"champion": "1"}, changes=[Change("2", "1", Cause.WATCH, "run", AT, "visits fell")]), "REJECT", "visits fell"),
        (Facts(AT, {"champion": "1"}, changes=[Change("2", "1", Cause.HAND, "vera", AT, "complaints")]), "REJECT", "by vera"),
        (Facts(AT, {"champion": "1"}, changes=[RENEWED, Change(None, "1", Cause.SCREEN, "run", AT, "first")]), "CALM", "first"),
    ],
)
def test_the_state_in_one_sentence(facts, css, words):
    """Each state has its own colour, word and reason."""
    found = banner(facts)
    assert found.css == css
    assert words in f"{found.sentence} {found.why}"


def test_what_a_look_waits_for_is_said_in_short():
    """Whole metrics by name, segments by count, early signs not at all; a broken split speaks for itself."""
    open_ = rule("retained non_inferior", -0.01, 0.0)
    part = rule("retained non_inferior (country DE)", -0.02, 0.0, note="segment")
    early = rule("visited non_inferior", -0.03, 0.0, note="early")
    found = undecided(look(FIRST, rule("converted superior", 0.001, 0.004, threshold=0.0), open_, part, early))
    assert found.startswith("Not shown yet: retained, 1 of 1 rules by segment.")
    split = Evidence("sample_ratio", RuleKind.SAMPLE_RATIO, -9.0, (-9.0, -9.0), -6.9, 100, passed=False)
    assert undecided(look(FIRST, open_, split)) == ""


def test_days_left_by_hand():
    """Half as wide takes four times the members: 1,000 members with half width 0.010 and room 0.005 need 3,000 more, 100 come a day."""
    looks = [look(FIRST + timedelta(i), rule("retained non_inferior", -0.010, 0.0, sample=300 + 100 * i)) for i in range(8)]
    assert looks[-1].evidence[0].sample == 1000
    assert days_left(looks) == 30
    passed = rule("retained non_inferior", -0.004, 0.0)
    assert days_left([look(FIRST, passed)]) == 0
    wrong = [look(FIRST + timedelta(i), rule("retained non_inferior", -0.02, -0.006, sample=300 + 100 * i)) for i in range(8)]
    assert days_left(wrong) is None
    assert days_left([look(FIRST, replace(passed, interval=(float("-inf"), float("inf")), passed=False))]) is None
    assert days_left([]) is None


def test_who_a_roll_back_would_put_in_charge():
    """Whom the champion replaced when it first came, whatever was rolled back since; nobody where there was nobody."""
    back = Change("3", "2", Cause.HAND, "me", AT, "")
    changes = [
        back,
        Change("2", "3", Cause.EXPERIMENT, "run", AT, ""),
        Change("1", "2", Cause.EXPERIMENT, "run", AT, ""),
        Change(None, "1", Cause.SCREEN, "run", AT, ""),
    ]
    assert [target(version, changes) for version in ("3", "2", "1", "4", None)] == ["2", "1", None, None, None]


def test_a_sequence_shows_threshold_and_interval_where_they_are():
    """The last interval, the threshold and 0 lie inside the drawing; looks without an interval are left out; none at all gives nothing."""
    unknown = replace(rule("retained non_inferior", -0.01, 0.0), interval=(float("-inf"), float("inf")))
    known = rule("retained non_inferior", -0.004, 0.001)
    assert sequence([(FIRST, unknown)], (), "x") == ""
    drawing = sequence([(FIRST, unknown), (FIRST + timedelta(5), known), (FIRST + timedelta(9), replace(known, threshold=-0.02))], RUNNING.stages, "<x>")
    heights = [float(y) for points in re.findall(r'<polyline points="([^"]+)"', drawing) for y in re.findall(r",([\d.]+)", points)]
    assert min(heights) >= 22
    assert max(heights) <= 210
    lowest = [float(y) for y in re.findall(r",([\d.]+)", re.findall(r'<polyline points="([^"]+)"', drawing)[3])]
    assert lowest[-1] > lowest[0], "the threshold falls where the look asked for less"
    assert 'aria-label="&lt;x&gt;"' in drawing
    assert ">10%<" in drawing
