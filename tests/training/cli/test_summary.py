"""What a finished loop says."""

from __future__ import annotations

from datetime import UTC, date, datetime
from io import StringIO

import pytest
from rich.console import Console

from training.cli.airflow_api import TaskState
from training.cli.summary import duration, prose, verdict_of, verdict_table
from training.domain.errors import NotReadyError
from training.domain.nouns import Evidence, RuleKind, Verdict, VerdictKind


def verdict(day, evidence=()):
    """A HOLD of that day."""
    return Verdict(day, VerdictKind.HOLD, "2", "logging policy", tuple(evidence), "Not shown yet.", datetime(2026, 3, 11, tzinfo=UTC))


def test_the_verdict_is_that_of_the_day_of_the_run():
    """A run for an older day must not show the newest verdict, nor another one where its own is missing."""
    verdicts = [verdict("2026-03-10"), verdict("2026-03-05")]
    assert verdict_of(verdicts, date(2026, 3, 5)).run_id == "2026-03-05"
    with pytest.raises(NotReadyError, match="2026-03-06 left no verdict"):
        verdict_of(verdicts, date(2026, 3, 6))


def test_a_rule_is_one_line_of_80_columns():
    """The longest names and numbers of a large run still stand in one line each."""
    evidence = [
        Evidence("conversion_value non_inferior", RuleKind.NON_INFERIOR, -0.0123, (-0.0223, 0.0426), -0.005, 1_234_567, False),
        Evidence("effective_sample support", RuleKind.SUPPORT, 1_234_567.0, (0, 0), 500.0, 1_234_567, False, refuted=True),
    ]
    out = StringIO()
    Console(file=out, width=80).print(verdict_table(verdict("2026-03-10", evidence)))
    lines = [line for line in out.getvalue().splitlines() if "1,234,567" in line]
    assert [line.split()[:2] for line in lines] == [["conversion", "value"], ["effective", "sample"]]
    assert lines[0].rstrip().endswith("not shown")
    assert lines[1].rstrip().endswith("refuted")


def test_sentences_break_between_words_on_a_terminal_only():
    """A log keeps a sentence in one line, where it can be searched."""
    for terminal, lines in ((True, 2), (False, 1)):
        out = StringIO()
        prose(Console(file=out, width=80, force_terminal=terminal, soft_wrap=True), "word " * 20)
        assert len(out.getvalue().strip().splitlines()) == lines


def test_durations_add_up():
    """Start, each stage, and the rest are the whole."""
    tasks = [TaskState("features", "r", "land", "success", 2.0, 1), TaskState("features", "r", "transform", "success", 3.0, 1)]
    tasks += [TaskState("retrain", "s", "train", "success", 7.0, 1), TaskState("retrain", "s", "judge", "success", None, 1)]
    assert duration(10.0, tasks, 25.5) == "The loop took 25.5 s: start 10.0, land 2.0, transform 3.0, train 7.0, judge 0.0, the rest 3.5."
