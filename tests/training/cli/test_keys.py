"""`rightmatch keys` as a person types it, and reads it on a narrow terminal."""

from __future__ import annotations

import shutil

import pytest

from serving.catalogs import kept
from tests.fakes.commands import call
from tests.fakes.logs import ARM, AT
from training.adapters.decision_log import DecisionLog
from training.cli.serving import _show
from training.config.settings import Settings, load_settings
from training.domain.catalog import load_catalog


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """A home of its own, and a terminal of 80 columns without colours."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("terminal", [True, False])
def test_ids_are_shown_whole(capsys, monkeypatch, terminal):
    """`revoke` takes what `list` shows, whatever stands beside it; in a pipe a key is one line."""
    name = "the shop's page of offers [beta]"
    key_id = call(capsys, "keys", "create", name, "--scope", "decide", "--scope", "outcomes", "--scope", "read")[1].split("_")[1]
    assert call(capsys, "keys", "revoke", key_id)[0] == 0
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    code, listed, _ = call(capsys, "keys", "list")
    assert (code, key_id in listed) == (0, True)
    assert (max(map(len, listed.splitlines())) <= 80, name in listed, "decide, outcomes, read" in listed) == (terminal, not terminal, not terminal)


@pytest.mark.parametrize("terminal", [True, False])
def test_an_id_that_is_longer_than_the_line_is_shown_whole(capsys, monkeypatch, terminal):
    """It runs over: half of it would pause another arm, or none."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert _show("paused", [{"arm_id": f"{ARM}.{'x' * 200}"}, {"arm_id": "[b]"}], as_json=False) == 0
    shown = capsys.readouterr().out
    assert (f"{ARM}.{'x' * 200}" in shown, "[b]" in shown) == (True, True)


def test_none_are_none(capsys):
    """A table of nothing says so."""
    assert "no keys" in call(capsys, "keys", "list")[1]


@pytest.mark.parametrize("now", ["without it", "unreadable", "gone"])
def test_an_arm_that_the_service_may_still_show_can_be_paused(capsys, tmp_path, monkeypatch, now):
    """By the catalogs that decisions noted: a running service has one that is no longer in the files. A damaged one stops nobody."""
    folder, before = tmp_path / "catalog", load_catalog(Settings().catalog)
    shutil.copytree(Settings().catalog, folder)
    monkeypatch.setenv("RIGHTMATCH_CATALOG", str(folder))
    left = [line for line in (folder / "arms.csv").read_text().splitlines() if not line.startswith(f"{ARM},")]
    text = {"without it": "\n".join(left), "unreadable": "nonsense", "gone": ""}[now]
    (folder / "arms.csv").write_text(text) if text else shutil.rmtree(folder)
    code, said, wrong = call(capsys, "arm", "pause", ARM)
    assert (code, said) == (1, None)
    assert "nothing was paused" in wrong
    log = DecisionLog(load_settings().log_url)
    log.keep_arms("catalog-0", "nonsense", AT)
    log.keep_arms(*kept(before), AT)
    assert call(capsys, "arm", "pause", ARM)[0] == 0
    assert log.paused() == {ARM}
    assert call(capsys, "arm", "pause", "no.such.arm")[0] == 1


@pytest.mark.parametrize("name", ["", "  ", "\t"])
def test_a_key_of_nobody_is_not_made(capsys, name):
    """Nobody would know what to revoke it for."""
    code, said, wrong = call(capsys, "keys", "create", name, "--scope", "read")
    assert (code, said) == (1, None)
    assert f"{name!r} says nothing, so none was made" in wrong
    assert call(capsys, "keys", "list", "--json")[1] == {"keys": []}
