"""`gate` through the command line, on made data and on a real experiment."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.fakes.commands import call, real, write

GATE = ["gate", "--group", "side", "--control", "a", "--treatment", "b", "--success", "bought"]


@pytest.fixture(scope="module")
def shop():
    """45,000 a group: b sells more; retention falls by 0.8 points, opt-outs rise by 0.1."""
    n = 45_000
    share = [(np.arange(n) < round(rate * n)).astype(int) for rate in (0.010, 0.014, 0.950, 0.942, 0.004, 0.005)]
    return pd.DataFrame(
        {
            "side": ["a"] * n + ["b"] * n,
            "bought": np.concatenate(share[0:2]),
            "stayed": np.concatenate(share[2:4]),
            "left": np.concatenate(share[4:6]),
            "same": 1,
        }
    )


def test_a_growing_file_is_judged_by_a_sequence(shop, tmp_path, capsys):
    """With --planned the interval is wider than that of one look, the loss still does not pass, and the keys are the same."""
    data = write(shop, tmp_path / "grows.parquet")
    judged = [*GATE, "--data", data, "--guardrail", "stayed", "--margin", 0.005, "--json"]
    once, often = call(capsys, *judged)[1], call(capsys, *judged, "--planned", 90_000)[1]
    assert often["verdict"] != "PROMOTE"
    assert often["rules"][0]["passed"]
    assert set(often) == set(once)
    widths = [answer["rules"][1]["interval"][1] - answer["rules"][1]["interval"][0] for answer in (once, often)]
    assert 1.2 < widths[1] / widths[0] < 1.6


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_gate_never_promotes_lost_members(shop, tmp_path, capsys, suffix):
    """0.8 points of retention with a margin of 0.5 are refuted; the exit code is still 0."""
    data = write(shop, tmp_path / f"d{suffix}")
    code, answer, _ = call(capsys, *GATE, "--data", data, "--guardrail", "stayed", "--margin", 0.005, "--json")
    assert (code, answer["verdict"]) == (0, "REJECT")
    assert set(answer) == {"verdict", "rules", "n", "notes"}
    assert [(r["name"], r["kind"], r["passed"]) for r in answer["rules"]] == [
        ("bought", "superior", True),
        ("stayed", "non_inferior", False),
        ("sample_ratio", "sample_ratio", True),
    ]
    assert set(answer["rules"][0]) == {"name", "kind", "difference", "interval", "threshold", "passed"}
    assert answer["rules"][1]["difference"] == pytest.approx(-0.008)
    assert answer["rules"][1]["threshold"] == -0.005
    assert (answer["n"], answer["notes"]) == ({"control": 45_000, "treatment": 45_000}, [])


def test_gate_tells_of_rows_without_a_group(shop, tmp_path, capsys):
    """In both kinds of output; they are in neither group."""
    data = write(shop.assign(side=shop.side.mask(shop.index % 9000 == 0)), tmp_path / "d.csv")
    options = [*GATE, "--data", data, "--guardrail", "stayed", "--margin", 0.02]
    _, answer, err = call(capsys, *options, "--json")
    assert (answer["n"], err) == ({"control": 44_995, "treatment": 44_995}, "")
    assert answer["notes"][0].startswith("10 of 90000 rows have no side and were left out")
    assert "10 of 90000 rows have no side" in call(capsys, *options)[1]


def test_gate_with_several_guardrails(shop, tmp_path, capsys):
    """Each has its own margin, and opt-outs count in their own direction."""
    data = write(shop, tmp_path / "d.parquet")
    options = ["--guardrail", "stayed", "--margin", 0.02, "--guardrail", "left", "--margin", 0.003, "--lower-is-better", "left"]
    code, answer, _ = call(capsys, *GATE, "--data", data, *options, "--json")
    assert (code, answer["verdict"]) == (0, "PROMOTE")
    assert [r["threshold"] for r in answer["rules"]] == [0.0, -0.02, -0.003, 0.0]
    shown = call(capsys, *GATE, "--data", data, *options)[1]
    assert "PROMOTE" in shown
    assert "left" in shown


def test_gate_holds_a_broken_split_unless_it_was_planned(shop, tmp_path, capsys):
    """A third of b is gone: 1:1 holds, 3:2 promotes."""
    data = write(shop.iloc[:75_000].assign(stayed=1), tmp_path / "d.parquet")
    options = [*GATE, "--data", data, "--guardrail", "stayed", "--margin", 0.005, "--json"]
    assert call(capsys, *options)[1]["verdict"] == "HOLD"
    assert call(capsys, *options, "--ratio", "3:2")[1]["verdict"] == "PROMOTE"


def test_gate_on_tiny_data_holds(tmp_path, capsys):
    """One row a group: null ends, HOLD, exit code 0."""
    data = write(pd.DataFrame({"side": ["a", "b"], "bought": [0.5, 2.5], "stayed": [1, 1]}), tmp_path / "d.csv")
    code, answer, _ = call(capsys, *GATE, "--data", data, "--guardrail", "stayed", "--margin", 0.005, "--json")
    assert (code, answer["verdict"]) == (0, "HOLD")
    assert answer["rules"][0]["interval"] == [None, None]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--guardrail", "stayed", "--margin", "0"], "margin must be above 0"),
        (["--guardrail", "stayed", "--margin", "nan"], "not a finite number"),
        (["--guardrail", "stayed", "--guardrail", "left", "--guardrail", "same", "--margin", "0.1", "--margin", "0.1"], "3 guardrails but 2 margins"),
        (["--guardrail", "stayed", "--margin", "0.1", "--alpha", "0.7"], "--alpha 0.7"),
        (["--guardrail", "stayed", "--margin", "0.1", "--ratio", "half"], "--ratio 'half'"),
        (["--guardrail", "stayed", "--margin", "0.1", "--ratio", "1e308:1e-308"], "is not a planned split"),
        (["--guardrail", "side", "--margin", "0.1"], "Column side says the group"),
        (["--guardrail", "stayed", "--margin", "0.1", "--lower-is-better", "left"], "--lower-is-better names left"),
        (["--guardrail", "nothing", "--margin", "0.1"], "lack the column(s) nothing"),
        (["--guardrail", "stayed"], "--margin"),
    ],
)
def test_contradictory_options_are_exit_code_2(shop, tmp_path, capsys, options, said):
    """What is wrong with them is said."""
    code, answer, err = call(capsys, *GATE, "--data", write(shop.iloc[::500], tmp_path / "d.csv"), *options, "--json")
    assert (code, answer) == (2, None)
    assert said in err


def test_hillstrom_mens_mail_is_promoted(capsys):
    """64,000 real customers: the mail to men sells more (1.25% against 0.57%) and loses no visits."""
    data = real("hillstrom/*.csv.gz")
    sides = ["--group", "segment", "--control", "No E-Mail", "--treatment", "Mens E-Mail"]
    code, answer, _ = call(capsys, "gate", "--data", data, *sides, "--success", "conversion", "--guardrail", "visit", "--margin", 0.005, "--json")
    assert (code, answer["verdict"]) == (0, "PROMOTE")
    assert answer["rules"][0]["difference"] == pytest.approx(0.00681, abs=1e-5)
    assert answer["n"] == {"control": 21_306, "treatment": 21_307}
    swapped = ["--group", "segment", "--control", "Mens E-Mail", "--treatment", "No E-Mail"]
    back = call(capsys, "gate", "--data", data, *swapped, "--success", "conversion", "--guardrail", "visit", "--margin", 0.005, "--json")[1]
    assert back["verdict"] == "REJECT"
