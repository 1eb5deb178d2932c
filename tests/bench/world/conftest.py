"""One compilation and one small warmed-up world for the tests of the closed loop."""

import pytest

from bench.world.loop import warm_up
from bench.world.warehouse import compiled
from training.config.settings import Settings, TextChoice, TrainingSettings
from training.model.threads import steady


@pytest.fixture(scope="session")
def settings():
    """Few draws, a small network, few epochs, the small text encoder."""
    steady()
    made = Settings(training=TrainingSettings(width=16, epochs=3, text_encoder=TextChoice.HASHED))
    return made.model_copy(update={"exploration": made.exploration.model_copy(update={"draws": 32})})


@pytest.fixture(scope="session")
def models(settings):
    """The SQL of the marts."""
    return compiled(settings)


@pytest.fixture(scope="session")
def stage(settings, models, tmp_path_factory):
    """500 members after 30 days of the uniform policy."""
    return warm_up(5, 500, (30, None), models, settings, tmp_path_factory.mktemp("stage"))
