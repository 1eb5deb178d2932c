from __future__ import annotations

import json

import pytest

from tests.fakes.platforms import home, running
from training.cli.main import main
from training.config.settings import Settings
from training.evaluation.spending import Spending

BASES = ["--base", "converted=0.05", "--base", "retained=0.95", "--base", "opted_out=0.01"]


def say(capsys, *options):
    """Exit code, standard output and error of `rightmatch plan`."""
    with pytest.raises(SystemExit) as ended:
        main(["plan", *options])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_the_plan_as_json(capsys):
    """Members of each group are days x members a day x share; the plan lies between one look and the formula, and half of the experiments are shorter."""
    code, out, _ = say(capsys, "--daily", "1000", "--effect", "0.01", *BASES, "--json")
    found = json.loads(out)
    assert code == 0
    assert [r["name"] for r in found["rules"]] == ["converted superior", "retained non_inferior", "opted_out non_inferior"]
    slowest = max(found["rules"], key=lambda r: r["days"])
    assert found["by_formula_members"] == slowest["members"] == {"control": slowest["days"] * 500, "treatment": slowest["days"] * 500}
    assert found["members"]["control"] == (found["days"] - 28) * 500
    assert found["fixed_days"] < found["days"] < found["by_formula_days"]
    assert found["simulated_power"] > 0.77
    assert found["median_days"] < found["days"]


def test_a_guardrail_that_nothing_is_known_of_is_left_out_by_name(capsys):
    """In JSON and in words; with its deviation it is planned, and needs fewer members where the challenger is assumed to raise it."""
    wanted = ("--daily", "1000", "--effect", "0.01", *BASES)
    assert json.loads(say(capsys, *wanted, "--json")[1])["left_out"] == ["conversion_value", "dismissed"]
    assert "nothing says how much they vary (--base, --deviation): conversion_value, dismissed." in say(capsys, *wanted)[1]
    known = (*wanted, "--base", "dismissed=0.17", "--deviation", "conversion_value=35.5", "--json")
    days = []
    for gain in ((), ("--gain", "conversion_value=1.7")):
        found = json.loads(say(capsys, *known, *gain)[1])
        assert found["left_out"] == []
        (revenue,) = (r for r in found["rules"] if r["name"] == "conversion_value non_inferior")
        days.append(revenue["days"])
    assert days[1] < days[0] / 4


def test_the_plan_for_people(capsys):
    """A line a rule, and the days in one sentence."""
    code, out, _ = say(capsys, "--daily", "1000", "--effect", "0.01", *BASES, "--margin", "opted_out=0.004")
    assert code == 0
    assert "retained non_inferior" in out
    assert "the slowest label included" in out
    assert "Then watched by 50 new members a day who are held back" in out


def test_the_plan_says_what_the_watch_will_find(capsys, tmp_path, monkeypatch):
    """By the holdback's members a day: four margins sooner than two, a larger holdback sooner; and that nobody watches where nobody is held back."""
    options = ("--daily", "2000", "--effect", "0.01", *BASES)
    found = json.loads(say(capsys, *options, "--json")[1])["watch"]
    assert found["members_a_day"] == 100
    retained = found["days"]["retained"]
    assert retained["0.01"] is None or retained["0.01"] > 200
    assert 40 < retained["0.02"] < 80
    monkeypatch.setenv("RIGHTMATCH_EXPERIMENT__HOLDBACK", "0.2")
    assert 60 < json.loads(say(capsys, *options, "--json")[1])["watch"]["days"]["retained"]["0.01"] < 200
    monkeypatch.setenv("RIGHTMATCH_EXPERIMENT__HOLDBACK", "0")
    assert "nobody watches what is promoted" in say(capsys, *options)[1]


def test_the_plan_says_what_the_ledger_leaves(capsys, tmp_path, monkeypatch):
    """Nothing without a ledger; with one, the level of the next experiment."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    wanted = ("--daily", "1000", "--effect", "0.01", *BASES, "--json")
    assert json.loads(say(capsys, *wanted)[1])["next_alpha"] is None
    assert list(tmp_path.iterdir()) == []
    running(home(Settings(home=tmp_path)))
    assert json.loads(say(capsys, *wanted)[1])["next_alpha"] == Spending(0.05).level()
    assert "The ledger leaves the next experiment alpha 0.00957; --alpha plans for it." in say(capsys, *wanted[:-1])[1]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--effect", "0.01", *BASES[2:]], "How much converted varies"),
        (["--effect", "0.01", *BASES, "--deviation", "conversion_value=0"], "How much conversion_value varies"),
        (["--effect", "0.01", *BASES, "--gain", "sales=0.1"], "judges sales"),
        (["--effect", "0.01", *BASES, "--base", "sales=0.1"], "judges sales"),
        (["--effect", "0.01", *BASES, "--base", "retained=95"], "between 0 and 1"),
        (["--effect", "0.01", *BASES, "--base", "retained"], "NAME=NUMBER"),
        (["--effect", "0.01", *BASES, "--control", "0.8"], "no traffic"),
        (["--effect", "0", *BASES], "no sample is large enough"),
        (["--effect", "0.01", *BASES, "--alpha", "0.7"], "--alpha 0.7"),
        (["--effect", "0.01", *BASES, "--margin", "retained=0"], "margin must be above 0"),
    ],
)
def test_what_is_no_plan_is_refused(capsys, options, why):
    """Exit code 2 and the reason."""
    code, _, err = say(capsys, "--daily", "1000", *options)
    assert code == 2
    assert why in err
