"""Label windows as SQL builds them, against `training/domain/labels.py`, at each edge to the microsecond."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pyarrow.parquet as pq
import pytest
import yaml

from tests.fakes.raw import at, close, decision, event, land, member, outcome
from training.adapters.dbt_warehouse import PROJECT, DbtWarehouse
from training.config.settings import Settings
from training.domain.labels import OUTCOME_WINDOWS
from training.domain.nouns import Label

DAY = date(2026, 2, 28)
AS_OF = at("2026-03-01 00:00")
DECIDED = at("2026-01-10 10:00")
TICK = timedelta(microseconds=1)
KINDS = {"clicked": "click", "converted": "conversion", "opted_out": "opt_out", "dismissed": "dismiss", "visited": "visit", "retained": "jobs"}
ARM = "career.who_viewed.feed"


def moments(label: str) -> dict[str, datetime]:
    """Instants at the edges of the label's window after DECIDED, by name; none lies before the decision."""
    window = OUTCOME_WINDOWS[label]
    edges = {
        "before_opening": DECIDED + window.opens - TICK,
        "at_opening": DECIDED + window.opens,
        "before_close": DECIDED + window.closes - TICK,
        "at_close": DECIDED + window.closes,
    }
    return {name: moment for name, moment in edges.items() if moment >= DECIDED}


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """`decision_outcomes` by decision id: one member and decision for each label and edge."""
    settings = Settings(home=tmp_path_factory.mktemp("windows"))
    decisions, outcomes, activity = [], [], []
    for label in OUTCOME_WINDOWS:
        for name, moment in moments(label).items():
            key = f"{label}.{name}"
            decisions.append({**decision(key, f"m.{key}", "2026-01-10 10:00", ARM)})
            if label in (Label.VISITED, Label.RETAINED):
                activity.append({**event(f"e.{key}", f"m.{key}", KINDS[label], "2026-01-10 10:00"), "occurred_at": moment})
            else:
                value = 10.0 if label == Label.CONVERTED else None
                outcomes.append({**outcome(f"o.{key}", key, KINDS[label], "2026-01-10 10:00", value=value), "occurred_at": moment})
        for name, decided in (("just_mature", AS_OF - OUTCOME_WINDOWS[label].closes), ("almost_mature", AS_OF - OUTCOME_WINDOWS[label].closes + TICK)):
            key = f"{label}.{name}"
            decisions.append({**decision(key, f"m.{key}", "2026-01-10 10:00", ARM), "decided_at": decided})
    land(settings.raw, "members", [member(str(d["member_id"]), "2026-01-01 00:00") for d in decisions])
    land(settings.raw, "decisions", decisions)
    land(settings.raw, "outcomes", outcomes)
    land(settings.raw, "activity", activity)
    close(settings.raw, DAY)
    DbtWarehouse(settings).build(DAY)
    rows = pq.read_table(settings.candidate / "decision_outcomes.parquet").to_pylist()
    return {row["decision_id"]: row for row in rows}


@pytest.mark.parametrize("label", list(OUTCOME_WINDOWS))
def test_a_label_is_true_from_its_opening_until_just_before_its_close(labels, label):
    """[opens, closes) after the decision: an event at the opening counts, one at the close does not."""
    window = OUTCOME_WINDOWS[label]
    for name, moment in moments(label).items():
        expected = window.opens <= moment - DECIDED < window.closes
        assert labels[f"{label}.{name}"][label] is expected, name


@pytest.mark.parametrize("label", list(OUTCOME_WINDOWS))
def test_a_label_is_null_until_the_instant_at_which_its_window_closes(labels, label):
    """Mature at decided_at + closes exactly; one microsecond earlier it is unknown, not false."""
    just, almost = labels[f"{label}.just_mature"], labels[f"{label}.almost_mature"]
    assert just[label] is False
    assert almost[label] is None
    for row in (just, almost):
        assert row[f"{label}_matured_at"] == OUTCOME_WINDOWS[label].matured_at(row["decided_at"])
        assert row["as_of"] == AS_OF


def test_the_value_of_a_conversion_matures_with_it(labels):
    """Money inside the window, 0 where it is over without any, NULL while it is open."""
    values = {name: labels[f"converted.{name}"]["conversion_value"] for name in ("at_opening", "before_close", "at_close", "just_mature", "almost_mature")}
    assert values == {"at_opening": 10.0, "before_close": 10.0, "at_close": 0.0, "just_mature": 0.0, "almost_mature": None}


def test_dbt_and_the_domain_say_the_same_hours():
    """`vars: windows` of dbt_project.yml is OUTCOME_WINDOWS of training/domain/labels.py, in the same order."""
    said = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]["windows"]
    hour = timedelta(hours=1)
    assert said == {label: {"opens": window.opens / hour, "closes": window.closes / hour} for label, window in OUTCOME_WINDOWS.items()}
    assert list(said) == list(OUTCOME_WINDOWS)
