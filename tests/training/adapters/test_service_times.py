"""Slow decisions by group: what several workers add is what one reads, on both databases, on a log that had no such table too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

from sqlalchemy import text

from training.adapters.log_engine import log_engine, writing
from training.adapters.service_times import Key, Tally, add, slow
from training.config.settings import Settings

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)


def test_workers_add_up_and_days_are_told_apart(log_url, tmp_path):
    """Eight threads of four connections add to the same rows at once, in opposite orders: nothing is lost, over models and days from the given one on."""
    settings = Settings(home=tmp_path, serving={"log_url": log_url})
    engine = log_engine(log_url)
    keys = [Key(day, group, version) for day in (MONDAY, TUESDAY) for group, version in (("champion", "1"), ("champion", "2"), ("control", ""))]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda i: add(engine, dict.fromkeys(keys[:: 1 if i % 2 else -1], Tally(1, 10))), range(40)))
    add(engine, {})
    engine.dispose()
    each = {"champion": (80, 800), "control": (40, 400)}
    assert slow(settings, MONDAY, TUESDAY) == {group: dict.fromkeys((MONDAY, TUESDAY), tally) for group, tally in each.items()}
    assert [slow(settings, day, day) for day in (MONDAY, TUESDAY)] == [{group: {day: tally} for group, tally in each.items()} for day in (MONDAY, TUESDAY)]
    assert slow(settings, date(2026, 3, 4), date(2026, 3, 9)) == {}


def test_a_log_of_before_gets_the_table_and_no_log_is_made(tmp_path):
    """Opening it is enough; where there is none, nothing is slow."""
    settings = Settings(home=tmp_path)
    assert slow(settings, MONDAY, MONDAY) == {}
    assert not list(tmp_path.iterdir())
    engine = log_engine(settings.log_url)
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE service_times"))
    engine.dispose()
    assert slow(settings, MONDAY, MONDAY) == {}
    engine = log_engine(settings.log_url)
    add(engine, {Key(MONDAY, "champion", "1"): Tally(0, 1)})
    engine.dispose()
    assert slow(settings, MONDAY, MONDAY) == {"champion": {MONDAY: (0, 1)}}
