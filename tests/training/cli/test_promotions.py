"""`rightmatch promotions`."""

from __future__ import annotations

import pytest

from training.cli.main import main


def test_the_page_is_written_where_one_asks(tmp_path, monkeypatch, capsys):
    """One file for mail, also before anything was judged; its path is all that is printed."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path / "home"))
    with pytest.raises(SystemExit) as ended:
        main(["promotions", "--out", str(tmp_path / "mail" / "today.html")])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "mail" / "today.html")
    assert (tmp_path / "mail" / "today.html").read_text(encoding="utf-8").startswith("<!doctype html>")
