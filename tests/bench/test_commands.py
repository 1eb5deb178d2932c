"""The benchmarks that the README promises are there."""

import re

from bench.commands import app
from training.config.settings import ROOT


def test_every_benchmark_of_the_readme_is_a_command():
    """A command was once lost in a merge, while the README went on naming it."""
    lines = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "`rightmatch bench" in line]
    named = {word for line in lines for word in re.findall(r"rightmatch bench (\w+)", line)}
    listed = {word for line in lines for words in re.findall(r"`rightmatch bench \w+`((?:, `\w+`)+)", line) for word in re.findall(r"\w+", words)}
    assert {"regret", "wheel", "coldstart"} <= named | listed
    assert named | listed <= {command.callback.__name__ for command in app.registered_commands}
