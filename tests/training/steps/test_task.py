"""What happens around a step."""

from __future__ import annotations

import logging
from datetime import date

from tests.fakes.platforms import home, promoted, settings_of
from training.steps.task import show

DAY = date(2026, 4, 20)


def test_the_page_of_promotions_is_written_as_of_the_day(tmp_path):
    """A folder that was not there is made."""
    settings = settings_of(tmp_path)
    platform = home(settings)
    promoted(platform, DAY)
    show(DAY, settings, platform)
    text = (settings.reports / "promotions.html").read_text(encoding="utf-8")
    assert "version 2" in text
    assert "As of 21 Apr 2026" in text


def test_a_page_that_cannot_be_written_stops_nothing(tmp_path, caplog):
    """A roll-back that has happened must still raise its alarm."""
    settings = settings_of(tmp_path)
    platform = home(settings)
    settings.reports.write_text("a file where the folder should be")
    with caplog.at_level(logging.ERROR):
        show(DAY, settings, platform)
    assert "The step itself is done" in caplog.text
