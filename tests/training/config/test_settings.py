"""Settings: files, environment, errors."""

import pytest

from training.config.settings import load_settings
from training.domain.errors import ConfigError


def test_the_environment_wins_over_the_file(monkeypatch):
    """RIGHTMATCH_TRAINING__EPOCHS reaches the nested field, the rest keeps its value."""
    monkeypatch.setenv("RIGHTMATCH_TRAINING__EPOCHS", "9")
    settings = load_settings()
    assert settings.training.epochs == 9
    assert [r.metric for r in settings.guardrails()] == ["converted", "retained", "opted_out"]


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
