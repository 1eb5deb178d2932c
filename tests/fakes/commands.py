"""Calling a command as a shell would, on small files, and the real data where they are."""

from __future__ import annotations

import json

import pytest

from training.cli.main import main
from training.config.settings import ROOT

REAL = ROOT.parent / "shared" / "data"


def call(capsys, *arguments):
    """Exit code, parsed JSON (None without), and standard error of one command."""
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    streams = capsys.readouterr()
    text = streams.out.strip()
    return left.value.code, json.loads(text, parse_constant=pytest.fail) if text.startswith("{") else text or None, streams.err


def write(frame, path):
    """Write by suffix; returns the path."""
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


def real(name):
    """A real data file, or a skip."""
    found = sorted(REAL.glob(name))
    if not found:
        pytest.skip(f"{REAL / name} is not here; the real-data checks need it")
    return found[0]
