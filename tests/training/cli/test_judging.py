"""`ope` and `ledger` through the command line, on made data and on real logs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.fakes.commands import call, real, write
from tests.fakes.worlds import World
from training.adapters.ledger import SqlLedger
from training.config.settings import Settings
from training.domain.nouns import Evidence, RuleKind, Verdict, VerdictKind

GATE = ["gate", "--group", "side", "--control", "a", "--treatment", "b", "--success", "bought"]


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
    """Ten copies of each decision in one cluster know no more than one: without clusters the interval would be a third as wide."""
    rows, long, _ = bandit
    copies = pd.concat([rows.assign(decision_id=rows.decision_id + 3000 * i, cluster=rows.decision_id) for i in range(10)])
    wanted = write(pd.concat([long.assign(decision_id=long.decision_id + 3000 * i) for i in range(10)]), tmp_path / "t.parquet")
    widths = {}
    for name, frame in {"clustered": copies, "once": rows}.items():
        _, answer, _ = call(capsys, "ope", "--log", write(frame, tmp_path / f"{name}.parquet"), "--target", wanted, "--json")
        widths[name] = np.diff(answer["estimators"]["dr"]["interval"])[0]
    assert widths["clustered"] == pytest.approx(widths["once"], rel=0.05)


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


@pytest.mark.parametrize("size", [1e-200, 1e200, 1.7e308])
def test_ope_on_rewards_of_any_size(bandit, tmp_path, capsys, size):
    """Each number is `size` times that of the rewards 0 and 1, and nothing is said on standard error."""
    rows, long, truth = bandit
    log, target = write(rows.assign(reward=rows.reward * size), tmp_path / "l.parquet"), write(long, tmp_path / "t.parquet")
    code, answer, err = call(capsys, "ope", "--log", log, "--target", target, "--json")
    assert (code, err) == (0, "")
    for estimate in answer["estimators"].values():
        assert estimate["interval"][0] / size < truth < estimate["interval"][1] / size
        assert estimate["value"] / size == pytest.approx(truth, rel=0.1)


def test_ope_names_what_the_log_could_not_choose(tmp_path, capsys):
    """Push has no chance in 5% of contexts, where the target always plays it; if it pays 0.9 there the target is worth 0.14, which lies inside."""
    rng = np.random.default_rng(0)
    n, names = 3000, ["mail", "call", "push"]
    blind = rng.random((n, 1)) < 0.05
    odds = np.where(blind, [0.5, 0.5, 0.0], [0.4, 0.4, 0.2])
    taken = (odds.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    rows = pd.DataFrame({"decision_id": range(n), "action": np.array(names)[taken], "propensity": odds[range(n), taken], "reward": rng.random(n) < 0.1})
    wish = np.where(blind, [0.0, 0.0, 1.0], [0.5, 0.5, 0.0])
    long = pd.DataFrame({"decision_id": np.repeat(np.arange(n), 3), "action": names * n, "probability": wish.ravel()})
    answer = call(capsys, "ope", "--log", write(rows, tmp_path / "l.csv"), "--target", write(long, tmp_path / "t.csv"), "--json")[1]
    assert any("The log took action 'push' less often than its propensities promise" in said for said in answer["warnings"])
    assert all(e["interval"][0] < 0.14 < e["interval"][1] for e in answer["estimators"].values())


def test_ope_says_what_rewards_cannot_tell(bandit, tmp_path, capsys):
    """Equal ones, and amounts of which a few decide."""
    rows, long, _ = bandit
    target = write(long, tmp_path / "t.parquet")
    amount = np.where(rows.decision_id % 500 == 0, 100.0, 0.0)
    for reward, said in ((np.full(len(rows), 5.0), "reward's range is unknown"), (amount, "row(s) with large rewards; the upper end")):
        log = write(rows.assign(reward=reward), tmp_path / "l.parquet")
        assert any(said in warning for warning in call(capsys, "ope", "--log", log, "--target", target, "--json")[1]["warnings"])


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
