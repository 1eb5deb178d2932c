"""What Python's logging says, as lines of the service's log."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

from serving import logs
from training.config.settings import ROOT

SAYS = """
import logging, sys, warnings
library = logging.getLogger("library")
library.addHandler(logging.StreamHandler())
library.propagate = False
from serving import logs
logs.hear()
for i in range(3):
    library.warning("number %d", i)
logs.QUIET = 0.0
library.info("nothing")
warnings.warn("old")
library.warning("does not %d fit", "x")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("uvicorn.error").exception("failed")
"""


def test_logging_goes_out_as_json_lines():
    """From warnings on, once from one place of the code, with its whole story on one line; handlers of libraries are silent."""
    done = subprocess.run([sys.executable, "-c", SAYS], cwd=ROOT, capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["logger"]) for line in told] == [("warning", "library"), ("warning", "py.warnings"), ("error", "uvicorn.error")]
    assert (told[0]["event"], told[0]["message"], told[0]["left_out"]) == ("logged", "number 0", 0)
    assert "old" in told[1]["message"]
    assert "ZeroDivisionError" in told[2]["message"]


def test_what_was_left_out_is_counted(monkeypatch, capsys):
    """In the next line of the same place."""
    heard, now = logs.Heard(), iter([0.0, 1.0, 2.0, 11.0])
    monkeypatch.setattr(logs, "monotonic", lambda: next(now))
    for _ in range(4):
        heard.handle(logging.makeLogRecord({"name": "library", "levelno": logging.WARNING, "levelname": "WARNING", "msg": "again"}))
    assert [json.loads(line)["left_out"] for line in capsys.readouterr().err.splitlines()] == [0, 2]
