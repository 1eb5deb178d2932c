"""How often the gate promotes a good challenger and a harmful one: the whole loop without Airflow, over seeds of the simulated world.

    PYTHONPATH=. .venv/bin/python infra/scripts/power.py --first 11 --seeds 20 --members 20000

"Good" is the challenger under the settings; "harmful" is the same model that chases conversions alone: each is worth the same, retention and
opt-outs nothing. What both are truly worth, by the world's known probabilities on the judged decisions, is printed beside the verdict, and whether
that breaks a guardrail's margin: only such a promotion is false.
Needs about a minute a seed at 20,000 members.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sources.simulated.truth import expected_flat
from training.adapters.ports import Platform
from training.bootstrap import platform
from training.config.settings import ROOT, Settings
from training.domain.nouns import RuleKind, Verdict
from training.steps import evaluate, judge, land, train, training_set, transform, validate

KNOWN = ("converted", "retained", "opted_out", "dismissed")
"""Labels of which the truth is told here."""


class Judged(NamedTuple):
    """A verdict, and by how much the judged policy truly differs from the logging policy in each label."""

    verdict: Verdict
    worth: dict[str, float]


def simulate(settings: Settings, seed: int) -> date:
    """Write the world of `seed`; returns its last day."""
    command = [sys.executable, "-m", "sources.simulated", "--out", settings.inbox, "--truth", settings.home / "truth", "--catalog", settings.catalog]
    command += ["--members", str(settings.members), "--days", str(settings.days), "--seed", str(seed)]
    done = subprocess.run([str(c) for c in command], cwd=ROOT, check=True, capture_output=True, text=True)
    return date.fromisoformat(json.loads(done.stdout.splitlines()[-1])["last_day"])


def judged(day: date, settings: Settings, tools: Platform) -> Judged:
    """Evaluate and judge the challenger of `day` under `settings`; what it is worth beyond the logging policy is looked up in the truth."""
    evaluate.run(day, settings, tools)
    judge.run(day, settings, tools)
    folder = settings.run_dir(day.isoformat())
    decisions = pd.read_parquet(folder / "training_set.parquet", columns=["decision_id", "member_id", "feasible_arms"])
    target = pd.read_parquet(folder / "target.parquet")
    seen = decisions.set_index("decision_id").loc[target["decision_id"].unique()].reset_index()
    truth, sizes = expected_flat(settings.home / "truth", seen)
    gap = target["probability"].to_numpy() - 1.0 / np.repeat(sizes, sizes)
    worth = {name: float((gap * truth[name]).sum() / len(seen)) for name in KNOWN}
    return Judged(next(v for v in tools.ledger.verdicts() if v.run_id == day.isoformat()), worth)


def trained(seed: int, settings: Settings) -> tuple[date, Settings, Platform]:
    """The world of `seed` in `settings.home` and a challenger that learned from it: what `judged` needs for the good one."""
    own = settings.model_copy(update={"seed": seed})
    day, tools = simulate(own, seed), platform(own)
    land.run(day, own, tools)
    transform.run(day, own, tools)
    validate.run(day, own, tools)
    tools.features.apply()
    training_set.run(day, own, tools)
    train.run(day, own, tools)
    return day, own, tools


def one_seed(seed: int, settings: Settings) -> dict[str, Judged]:
    """The verdicts on the good and on the harmful challenger of the world of `seed` in `settings.home`."""
    day, own, tools = trained(seed, settings)
    return {"good": judged(day, own, tools), "harmful": judged(day, greedy(own), tools)}


def greedy(settings: Settings) -> Settings:
    """The same settings for a policy that counts conversions and nothing else."""
    catalog = settings.home / "greedy"
    shutil.copytree(settings.catalog, catalog, dirs_exist_ok=True)
    products = pd.read_csv(catalog / "products.csv")
    products.assign(value=products["value"].mean()).to_csv(catalog / "products.csv", index=False)
    worth = settings.utility.model_copy(update={"retention": 0.0, "opt_out": 0.0})
    return settings.model_copy(update={"catalog": catalog, "utility": worth})


def breaks(worth: dict[str, float], settings: Settings) -> bool:
    """Whether what a policy is truly worth lies beyond the margin of a guardrail; of one on money nobody knows here."""
    rules = [r for r in settings.guardrails() if r.kind is RuleKind.NON_INFERIOR and r.metric in KNOWN]
    return any((-worth[r.metric] if r.lower_is_better else worth[r.metric]) < -r.margin for r in rules)


def main() -> None:
    """Print one line a seed and verdict, and the two shares of promotions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds")
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=56)
    arguments = parser.parse_args()
    counts = {"good": Counter[str](), "harmful": Counter[str]()}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            found = one_seed(seed, Settings(home=Path(folder), members=arguments.members, days=arguments.days))
        for name, (verdict, worth) in found.items():
            harm = "breaks a margin" if breaks(worth, Settings()) else "within the margins"
            counts[name][f"{verdict.kind.value}, {harm}"] += 1
            rules = "; ".join(f"{e.name} {e.value:+.4f} [{e.interval[0]:+.4f}, {e.interval[1]:+.4f}]" for e in verdict.evidence[:3])
            print(f"RESULT seed {seed} {name}: {verdict.kind.value}  {rules}; true { ({k: round(v, 4) for k, v in worth.items()}) }", flush=True)
    print(f"RESULT of {arguments.seeds} seeds: { ({name: dict(found) for name, found in counts.items()}) }", flush=True)


if __name__ == "__main__":
    main()
