"""The command line itself: fast, lazy, and errors without tracebacks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from training.cli.main import main

COMMANDS = ("run", "up", "lookup", "decide", "ope", "gate", "ledger", "bench", "experiment", "rollback", "anchor")


def test_help_imports_nothing_heavy():
    """`--help` must answer at once, so nothing slow may be imported for it."""
    code = (
        "import sys\nfrom training.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print('HEAVY', sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'feast', 'airflow', 'mlflow', 'great_expectations', 'pandas', 'duckdb'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert "HEAVY []" in done.stdout
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command, capsys):
    """Each command has help of its own."""
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert command in capsys.readouterr().out


def test_our_errors_are_a_sentence_and_exit_code_1(capsys, monkeypatch):
    """No traceback: what, why and what to do."""
    monkeypatch.setenv("RIGHTMATCH_PROFILE", "nowhere")
    with pytest.raises(SystemExit) as left:
        main(["run"])
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("rightmatch: There is no profile 'nowhere'")
    assert "Traceback" not in said


def test_a_wrong_option_is_exit_code_2(capsys):
    """Bad usage is told apart from a failed loop."""
    with pytest.raises(SystemExit) as left:
        main(["run", "--members", "0"])
    assert left.value.code == 2
    assert "--members" in capsys.readouterr().err
