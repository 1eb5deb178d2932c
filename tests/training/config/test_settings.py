"""Settings: files, environment, errors."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from training.config.names import refuse_unknown
from training.config.serving import ServingSettings
from training.config.settings import METRICS, ROOT, Settings, load_settings
from training.domain.errors import ConfigError


def test_the_environment_wins_over_the_file(monkeypatch):
    """RIGHTMATCH_TRAINING__EPOCHS reaches the nested field, the rest keeps its value."""
    monkeypatch.setenv("RIGHTMATCH_TRAINING__EPOCHS", "9")
    settings = load_settings()
    assert settings.training.epochs == 9
    assert [r.metric for r in settings.guardrails()] == ["converted", "retained", "opted_out", "dismissed", "conversion_value"]


def test_a_source_may_bring_its_own_rules(monkeypatch):
    """Hillstrom is judged on the visit, which it has, and keeps its files apart."""
    monkeypatch.setenv("RIGHTMATCH_SOURCE", "hillstrom")
    settings = load_settings()
    assert [r.metric for r in settings.guardrails()] == ["converted", "visited"]
    assert settings.home.name == "hillstrom"


def test_an_unknown_profile_names_the_known_ones(monkeypatch):
    """The error lists what may be chosen."""
    monkeypatch.setenv("RIGHTMATCH_PROFILE", "moon")
    with pytest.raises(ConfigError, match="local"):
        load_settings()


def test_a_wrong_value_names_its_field(monkeypatch):
    """A learning rate of -1 is refused by name."""
    monkeypatch.setenv("RIGHTMATCH_TRAINING__LEARNING_RATE", "-1")
    with pytest.raises(ConfigError, match="learning_rate"):
        load_settings()


def test_the_current_folder_may_be_the_home(monkeypatch, tmp_path):
    """`.` is what was asked for, not the absence of an answer; an empty variable is that absence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RIGHTMATCH_HOME", ".")
    assert load_settings().home.resolve() == tmp_path
    monkeypatch.setenv("RIGHTMATCH_HOME", "")
    assert load_settings().home == ROOT / "var" / "simulated"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("RIGHTMATCH_MEMBER", "RIGHTMATCH_MEMBERS"),
        ("RIGHTMATCH_TRANING__EPOCHS", "RIGHTMATCH_TRAINING__EPOCHS"),
        ("RIGHTMATCH_TRAINING__EPOCH", "RIGHTMATCH_TRAINING__EPOCHS"),
        ("rightmatch_dayz", "RIGHTMATCH_DAYS"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(monkeypatch, name, nearest):
    """Otherwise the run would silently be another one than was asked for."""
    monkeypatch.setenv(name, "3")
    with pytest.raises(ConfigError, match=f"no setting {name}, .*{nearest}"):
        load_settings()


def test_every_variable_of_the_project_is_known():
    """What DAGs, dbt and Feast read from the environment must not be taken for a mistake."""
    files = [
        p
        for folder in ("dags", "dbt", "feature_repo", "training", "infra")
        for p in (ROOT / folder).rglob("*")
        if p.suffix in {".py", ".yml", ".yaml", ".sql", ".sh"}
    ]
    used = {name for p in files if "target" not in p.parts for name in re.findall(r"\bRIGHTMATCH_[A-Z_]*[A-Z]\b", p.read_text(encoding="utf-8"))}
    assert {"RIGHTMATCH_RAW_MEMBERS", "RIGHTMATCH_POSTGRES_HOST", "RIGHTMATCH_SCHEDULE"} <= used
    refuse_unknown(used, Settings)


@pytest.mark.parametrize(
    ("rule", "field", "why"),
    [
        ({"metric": "retained", "kind": "non_inferior"}, "rules.0", "margin must be above 0"),
        ({"metric": "retained", "kind": "non_inferior", "margin": -1}, "rules.0", "margin must be above 0"),
        ({"metric": "retention", "kind": "superior"}, "rules.0.metric", "retained, opted_out, dismissed, conversion_value"),
        ({"metric": "retained", "kind": "support"}, "rules.0.kind", "superior or non_inferior"),
        ({"metric": "retained", "kind": "non_inferior", "margin": "nan"}, "rules.0.margin", "finite"),
    ],
)
def test_a_rule_that_cannot_be_judged_is_refused_when_it_is_read(monkeypatch, rule, field, why):
    """Before anything is started, not after an hour of training."""
    monkeypatch.setenv("RIGHTMATCH_RULES", json.dumps([rule]))
    with pytest.raises(ConfigError, match=f"{field}: .*{why}"):
        load_settings()


def test_money_can_be_judged(monkeypatch):
    """Every label and the value of a conversion are measured."""
    monkeypatch.setenv("RIGHTMATCH_RULES", json.dumps([{"metric": m, "kind": "superior"} for m in METRICS]))
    assert [r.metric for r in load_settings().guardrails()] == ["clicked", "converted", "visited", "retained", "opted_out", "dismissed", "conversion_value"]


@pytest.mark.parametrize("written", ["1000/minute;5/second", "5/second, 1000/minute", "1/second|2/second"])
def test_several_rates_are_refused(monkeypatch, written):
    """A key has one: the others would be taken for granted, and never asked."""
    monkeypatch.setenv("RIGHTMATCH_SERVING__RATE_LIMIT", written)
    with pytest.raises(ConfigError, match=r"serving\.rate_limit: .*is several rates"):
        load_settings()


@pytest.mark.parametrize("name", ["features_max_age_hours", "expires_minutes", "lookup_budget_ms", "log_budget_ms", "learn_every_ms", "request_seconds"])
def test_a_duration_that_no_clock_can_add_is_refused_when_it_is_read(monkeypatch, name):
    """Else every decision would fail on it. Ten years are the most, and can be waited for."""
    monkeypatch.setenv(f"RIGHTMATCH_SERVING__{name.upper()}", "1e12")
    with pytest.raises(ConfigError, match=rf"serving\.{name}: .*less than or equal"):
        load_settings()


def test_the_longest_durations_work():
    """A decision of today expires in ten years."""
    at = datetime(2026, 3, 2, tzinfo=UTC)
    longest = ServingSettings(expires_minutes=10 * 365 * 24 * 60, features_max_age_hours=10 * 365 * 24)
    assert at + longest.features_max_age == at + timedelta(minutes=longest.expires_minutes) == at + timedelta(days=3650)


@pytest.mark.parametrize("written", ["foo", "0/second", "5 per fortnight"])
def test_a_rate_that_lets_nobody_in_is_refused_when_it_is_read(monkeypatch, written):
    """Else the service would begin, and each of its workers end."""
    monkeypatch.setenv("RIGHTMATCH_SERVING__RATE_LIMIT", written)
    with pytest.raises(ConfigError, match=r"serving\.rate_limit: .*is no rate"):
        load_settings()
