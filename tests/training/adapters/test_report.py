"""The report: complete, self-contained, and safe."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.fakes.pages import Balance
from training.adapters.report import render, rule_line, write_index, write_report
from training.adapters.report_plots import BAD, GOOD, OPEN, calibration, intervals, ticks, weights
from training.domain.nouns import Evidence, RuleKind, Verdict, VerdictKind

PASSED = Evidence("converted superior", RuleKind.SUPERIOR, 0.004, (0.001, 0.007), 0.0, 5000, passed=True, note="challenger 0.0140, baseline 0.0100")
HELD = Evidence("retained non_inferior", RuleKind.NON_INFERIOR, -0.002, (-0.008, 0.004), -0.005, 4000, passed=False)
REFUTED = Evidence("opted_out non_inferior", RuleKind.NON_INFERIOR, -0.01, (-0.012, -0.008), -0.002, 4500, passed=False, refuted=True)
BARE = Evidence("visited non_inferior", RuleKind.NON_INFERIOR, 0.0, (-1.0, 1.0), -0.005, 0, passed=False, note="no mature rows")
THIN = Evidence("effective_sample support", RuleKind.SUPPORT, 120.0, (120.0, 120.0), 500.0, 4000, passed=False)
VERDICT = Verdict(
    "2026-03-01",
    VerdictKind.HOLD,
    "3",
    "logging policy",
    (PASSED, HELD, REFUTED, BARE, THIN),
    "Not shown yet.",
    datetime(2026, 3, 2, tzinfo=UTC),
    {"seed": "7"},
)
SIDE = {"rows": 5000, "clusters": 900, "effective_sample_size": 120.4, "max_weight": 14.08, "mean_weight": 1.01, "max_weight_share": 0.002}
ESTIMATE = {name: {"value": 0.0123, "interval": [0.01, None]} for name in ("ips", "snips", "dr")}
METRIC = {"rows": 5000, "observed": 0.01, "challenger": ESTIMATE, "baseline": ESTIMATE, "difference": ESTIMATE, "warnings": ["challenger: Thin support"]}
ARM = {"arm": "career.late.email", "challenger": 0.4, "baseline": 0.1, "logged": 500, "predicted": {"converted": 0.031}, "without": {"converted": 0.012}}
EVALUATION = {
    "alpha": 0.05,
    "metrics": {"converted": METRIC | {"support": {"challenger": SIDE, "baseline": SIDE}}, "visited": {"rows": 0}},
    "weights": {"edges": [0.0, 1.0, 2.0], "counts": [10, 30, 0]},
    "arms": [ARM | {"observed": {"converted": None}}, *({**ARM, "arm": f"other.{i}", "observed": {}} for i in range(20))],
}
MANIFEST = {
    "calibration": [
        {"label": "converted", "rows": 100, "error": 0.01, "predicted": 0.02, "observed": 0.03, "bins": [[50, 0.01, 0.02], [50, 0.03, 0.04]]},
        {"label": "retained", "rows": 0, "error": 0.0, "predicted": 0.0, "observed": 0.0, "bins": []},
    ]
}


@pytest.fixture
def page():
    """The full page."""
    return render(VERDICT, EVALUATION, MANIFEST)


def test_the_page_says_everything(page):
    """Verdict, reason, each rule with its numbers, estimators, support, arms, calibration, lineage and limits."""
    for words in ("HOLD", "Not shown yet.", "logging policy", "+0.400", "-0.800 to +0.400", "above -0.500", "challenger 0.0140, baseline 0.0100"):
        assert words in page
    for words in ("no mature rows", "at least 500", "SNIPS", "Thin support", "career.late.email", "3.10%", "1.20%", "Calibration of converted"):
        assert words in page
    assert "9 arms that the challenger shows less often" in page
    assert "Calibration of retained" not in page
    assert "the effect of <b>one</b> decision" in page


def test_the_page_stands_alone(page):
    """Well-formed, no script, nothing fetched from anywhere; links only to its neighbours."""
    reader = Balance()
    reader.feed(page)
    assert not reader.open
    assert not reader.seen & {"script", "link", "img", "iframe"}
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert "@import" not in page
    assert "nan" not in page.lower().split()


def test_a_rule_without_an_interval_has_none_in_words():
    """A look before the first useful one knows a value and no interval; other numbers keep their unit."""
    line = rule_line(replace(HELD, interval=(float("-inf"), float("inf"))))
    assert (line["value"], line["interval"], line["threshold"]) == ("-0.200", "-", "above -0.500")


def test_the_page_shows_state_without_colour(page):
    """Passed, refuted and open differ by word and by mark, not by colour alone."""
    assert [word in page for word in ("✓ passed", "✕ refuted", "◇ not shown")] == [True] * 3
    assert len({GOOD, BAD, OPEN}) == 3
    drawing = intervals(VERDICT.evidence)
    assert drawing.count("<circle") == 1
    assert drawing.count("<path") == 2


def test_money_is_no_percentage():
    """A small difference of revenue is told as it is, with its sign, and drawn on an axis of its own, which leaves that of the rates as wide as they are."""
    money = replace(PASSED, name="conversion_value non_inferior", value=0.25, interval=(-0.125, 0.5), threshold=-0.5)
    line = rule_line(money)
    assert (line["value"], line["interval"], line["threshold"]) == ("+0.25", "-0.125 to +0.5", "above -0.5")
    rates, both = intervals([PASSED]), intervals([PASSED, money])
    assert both.startswith(rates)
    assert (both.count("<svg"), both.count("percentage points"), both.count("as it is measured")) == (2, 1, 1)


def test_text_from_the_data_cannot_become_markup():
    """Names of arms, reasons and lineage are escaped."""
    evil = "<script>alert(1)</script>"
    verdict = replace(VERDICT, reason=evil, lineage={"dag_run": evil}, evidence=(replace(PASSED, name=evil, note=evil),))
    found = render(verdict, EVALUATION | {"arms": [EVALUATION["arms"][0] | {"arm": evil}]}, MANIFEST)
    assert "<script" not in found
    assert found.count("&lt;script&gt;") >= 5


def test_a_page_without_any_evidence_still_reads():
    """Nothing mature: the sections that have nothing to show are left out."""
    found = render(replace(VERDICT, evidence=(BARE,)), {"alpha": 0.05, "metrics": {"visited": {"rows": 0}}}, {})
    assert "no mature rows" in found
    assert "Estimators" not in found
    assert "Why an arm won" not in found


def test_the_same_verdict_gives_the_same_bytes(tmp_path, page):
    """And a rewrite leaves nothing else behind."""
    for _ in range(2):
        assert write_report(tmp_path / "reports" / "a.html", VERDICT, EVALUATION, MANIFEST).read_text(encoding="utf-8") == page
    assert [p.name for p in (tmp_path / "reports").iterdir()] == ["a.html"]


def test_the_index_lists_all_verdicts_in_order(tmp_path):
    """Each is linked; an empty ledger says so."""
    second = replace(VERDICT, run_id="2026-03-02", kind=VerdictKind.PROMOTE)
    text = write_index(tmp_path / "index.html", [second, VERDICT]).read_text(encoding="utf-8")
    assert text.index('href="2026-03-02.html"') < text.index('href="2026-03-01.html"')
    assert "✓ PROMOTE" in text
    assert "No verdict yet" in write_index(tmp_path / "index.html", []).read_text(encoding="utf-8")


def test_ticks_are_round_and_inside():
    """Steps of 1, 2 or 5 times a power of ten."""
    assert ticks(-0.0061, 0.0092, 6) == [-0.005, 0.0, 0.005]
    assert ticks(0.0, 1.0, 5) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_plots_of_nothing_are_nothing():
    """No measured rule, no bin; and a histogram of zeros does not divide by zero."""
    assert intervals([BARE, THIN]) == ""
    assert calibration({"label": "x", "bins": []}) == ""
    assert "<svg" in weights({"edges": [0.0, 1.0], "counts": [0, 0]})
    assert "<svg" in calibration({"label": "x", "bins": [[10, 1.0, 1.0]]})
