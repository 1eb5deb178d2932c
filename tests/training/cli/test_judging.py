"""`ope`, `gate` and `ledger` through the command line, on made data and on real logs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.fakes.worlds import World
from training.adapters.ledger import SqlLedger
from training.cli.main import main
from training.config.settings import ROOT, Settings
from training.domain.nouns import Evidence, RuleKind, Verdict, VerdictKind

REAL = ROOT.parent / "shared" / "data"
GATE = ["gate", "--group", "side", "--control", "a", "--treatment", "b", "--success", "bought"]


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


@pytest.fixture(scope="module")
def bandit():
    """Log, target and true value of a small world with features."""
    log, policy, x, truth = World(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), np.full(3, -1.0)).sample(3000, 11)
    rows = pd.DataFrame({"decision_id": np.arange(3000), "action": log.action, "propensity": log.propensity, "reward": log.reward.astype(int)})
    rows["x_first"], rows["x_second"] = x[:, 0], x[:, 1]
    long = pd.DataFrame({"decision_id": policy.rows(), "action": policy.action, "probability": policy.p})
    return rows, long, truth


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_ope_holds_the_truth(bandit, tmp_path, capsys, suffix):
    """Each kind of file gives one JSON object of the promised form, whose intervals hold the true value."""
    log, target = write(bandit[0], tmp_path / f"log{suffix}"), write(bandit[1], tmp_path / f"target{suffix}")
    code, answer, err = call(capsys, "ope", "--log", log, "--target", target, "--json")
    assert (code, err) == (0, "")
    assert set(answer) == {"estimators", "effective_sample_size", "max_weight", "mean_weight", "rows", "warnings"}
    assert set(answer["estimators"]) == {"ips", "snips", "dr"}
    for estimate in answer["estimators"].values():
        low, high = estimate["interval"]
        assert low < estimate["value"] < high
        assert low < bandit[2] < high
    assert answer["rows"] == 3000
    assert answer["mean_weight"] == pytest.approx(1, abs=0.1)


def test_ope_for_people(bandit, tmp_path, capsys):
    """A table with the three estimators."""
    code, shown, _ = call(capsys, "ope", "--log", write(bandit[0], tmp_path / "l.csv"), "--target", write(bandit[1], tmp_path / "t.csv"))
    assert code == 0
    assert all(word in shown for word in ("IPS", "SNIPS", "DR", "95% interval", "3,000 rows"))


def test_clusters_widen_the_interval(bandit, tmp_path, capsys):
    """Ten copies of each decision in one cluster know no more than one."""
    rows, long, _ = bandit
    copies = pd.concat([rows.assign(decision_id=rows.decision_id + 3000 * i, cluster=rows.decision_id) for i in range(10)])
    wanted = write(pd.concat([long.assign(decision_id=long.decision_id + 3000 * i) for i in range(10)]), tmp_path / "t.parquet")
    widths = {}
    for name, frame in {"clustered": copies, "apart": copies.drop(columns="cluster")}.items():
        _, answer, _ = call(capsys, "ope", "--log", write(frame, tmp_path / f"{name}.parquet"), "--target", wanted, "--json")
        widths[name] = np.diff(answer["estimators"]["dr"]["interval"])[0]
    assert widths["clustered"] > 2.5 * widths["apart"]


def test_one_row_warns_and_invents_nothing(tmp_path, capsys):
    """A single decision with a continuous reward: unknown ends are null, never NaN."""
    log = write(pd.DataFrame({"decision_id": ["d"], "action": ["x"], "propensity": [0.5], "reward": [2.5]}), tmp_path / "l.csv")
    target = write(pd.DataFrame({"decision_id": ["d"], "action": ["x"], "probability": [1.0]}), tmp_path / "t.csv")
    code, answer, _ = call(capsys, "ope", "--log", log, "--target", target, "--json")
    assert code == 0
    assert answer["estimators"]["ips"] == {"value": 5.0, "interval": [None, None]}
    assert answer["warnings"]
    assert "unbounded to unbounded" in call(capsys, "ope", "--log", log, "--target", target)[1]


def test_unusable_input_is_exit_code_2_with_the_reason(bandit, tmp_path, capsys):
    """Nothing is printed as JSON; the reason is on standard error, in both commands."""
    log = write(bandit[0], tmp_path / "l.csv")
    half = write(bandit[1].iloc[:-1], tmp_path / "t.csv")
    (tmp_path / "empty.csv").touch()
    for wanted, said in ((half, "do not sum to 1"), (tmp_path, "is a folder"), (tmp_path / "gone.csv", "no file"), (tmp_path / "empty.csv", "cannot be read")):
        code, answer, err = call(capsys, "ope", "--log", log, "--target", wanted, "--json")
        assert (code, answer) == (2, None)
        assert said in err
        code, answer, err = call(capsys, *GATE, "--data", wanted, "--guardrail", "stayed", "--margin", 0.01, "--json")
        assert (code, answer) == (2, None)
        assert err.startswith("rightmatch: ")


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


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_gate_never_promotes_lost_members(shop, tmp_path, capsys, suffix):
    """0.8 points of retention with a margin of 0.5 are refuted; the exit code is still 0."""
    data = write(shop, tmp_path / f"d{suffix}")
    code, answer, _ = call(capsys, *GATE, "--data", data, "--guardrail", "stayed", "--margin", 0.005, "--json")
    assert (code, answer["verdict"]) == (0, "REJECT")
    assert set(answer) == {"verdict", "rules", "n"}
    assert [(r["name"], r["kind"], r["passed"]) for r in answer["rules"]] == [
        ("bought", "superior", True),
        ("stayed", "non_inferior", False),
        ("sample_ratio", "sample_ratio", True),
    ]
    assert set(answer["rules"][0]) == {"name", "kind", "difference", "interval", "threshold", "passed"}
    assert answer["rules"][1]["difference"] == pytest.approx(-0.008)
    assert answer["rules"][1]["threshold"] == -0.005
    assert answer["n"] == {"control": 45_000, "treatment": 45_000}


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


def test_ledger_lists_what_was_judged_and_why(tmp_path, monkeypatch, capsys):
    """Nothing at first; then each verdict with its evidence, unbounded ends as null."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    assert call(capsys, "ledger", "--json")[:2] == (0, {"verdicts": []})
    assert "Nothing was judged yet" in call(capsys, "ledger")[1]
    evidence = Evidence("converted superior", RuleKind.SUPERIOR, 0.0, (float("-inf"), float("inf")), 0.0, 7, passed=False)
    judged = datetime(2026, 3, 1, tzinfo=UTC)
    SqlLedger(Settings(home=Path(tmp_path)).ledger_url).record(Verdict("2026-02-28", VerdictKind.HOLD, "3", "logging", (evidence,), "Not shown yet.", judged))
    code, answer, _ = call(capsys, "ledger", "--json")
    (verdict,) = answer["verdicts"]
    assert (code, verdict["run_id"], verdict["verdict"]) == (0, "2026-02-28", "HOLD")
    assert (verdict["rules"][0]["difference"], verdict["rules"][0]["interval"]) == (0.0, [None, None])
    shown = call(capsys, "ledger")[1]
    assert "HOLD" in shown
    assert "Not shown yet." in shown


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


def open_bandit(policy, campaign, folder):
    """A real log in our columns, and the uniform policy on it."""
    raw = pd.read_csv(real(f"obd/{policy}/{campaign}/{campaign}.csv.gz"), index_col=0)
    log = pd.DataFrame({"decision_id": np.arange(len(raw)), "action": raw.item_id, "propensity": raw.propensity_score, "reward": raw.click})
    log["x_position"] = raw.position
    items = len(pd.read_csv(real(f"obd/{policy}/{campaign}/item_context.csv.gz")))
    rows = np.repeat(log.decision_id.to_numpy(), items)
    target = pd.DataFrame({"decision_id": rows, "action": np.tile(np.arange(items), len(log)), "probability": 1 / items})
    return write(log, folder / f"{policy}.parquet"), write(target, folder / "uniform.parquet"), float(raw.click.mean())


@pytest.mark.parametrize("campaign", ["men", "women"])
def test_open_bandit_random_log(tmp_path, capsys, campaign):
    """The random log was drawn uniformly: the uniform target has weight 1 throughout and the log's own click rate."""
    log, target, clicks = open_bandit("random", campaign, tmp_path)
    answer = call(capsys, "ope", "--log", log, "--target", target, "--json")[1]
    assert answer["effective_sample_size"] == pytest.approx(10_000, rel=1e-3)
    assert answer["estimators"]["ips"]["value"] == pytest.approx(clicks, rel=1e-3)
    assert answer["warnings"] == []


@pytest.mark.parametrize("campaign", ["men", "women"])
def test_open_bandit_thompson_log(tmp_path, capsys, campaign):
    """Thompson Sampling's log says little of the uniform policy (women: 2 effective rows): it warns, and its wide interval holds the random log's rate."""
    log, target, _ = open_bandit("bts", campaign, tmp_path)
    answer = call(capsys, "ope", "--log", log, "--target", target, "--json")[1]
    truth = open_bandit("random", campaign, tmp_path)[2]
    for estimate in answer["estimators"].values():
        low, high = estimate["interval"]
        assert low < truth < high
    if campaign == "women":
        assert answer["effective_sample_size"] < 3
        assert any("Thin support" in w for w in answer["warnings"])
        assert min(np.diff(e["interval"])[0] for e in answer["estimators"].values()) > 0.1
