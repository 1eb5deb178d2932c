"""How often the gate promotes a good challenger and a harmful one: the whole loop without Airflow, over seeds of the simulated world.

    .venv/bin/python infra/scripts/power.py --seeds 10 --members 20000

"Good" is the challenger under the settings; "harmful" is the same model with retention and opt-outs worth nothing, so that it
chases conversions alone. Needs about a minute a seed at 20,000 members.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from training.adapters.ports import Platform
from training.bootstrap import platform
from training.config.settings import ROOT, Settings
from training.domain.nouns import Verdict
from training.steps import evaluate, judge, land, materialize, train, training_set, transform, validate


def simulate(settings: Settings, seed: int) -> date:
    """Write the world of `seed`; returns its last day."""
    command = [sys.executable, "-m", "sources.simulated", "--out", settings.inbox, "--truth", settings.home / "truth", "--catalog", settings.catalog]
    command += ["--members", str(settings.members), "--days", str(settings.days), "--seed", str(seed)]
    done = subprocess.run([str(c) for c in command], cwd=ROOT, check=True, capture_output=True, text=True)
    return date.fromisoformat(json.loads(done.stdout.splitlines()[-1])["last_day"])


def judged(day: date, settings: Settings, tools: Platform) -> Verdict:
    """Evaluate and judge the challenger of `day` under `settings`."""
    evaluate.run(day, settings, tools)
    judge.run(day, settings, tools)
    return next(v for v in tools.ledger.verdicts() if v.run_id == day.isoformat())


def one_seed(seed: int, members: int, days: int) -> dict[str, Verdict]:
    """The verdicts on the good and on the harmful challenger of one world."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), members=members, days=days, seed=seed)
        harmless = settings.utility
        day, tools = simulate(settings, seed), platform(settings)
        for step in (land, transform, validate, materialize, training_set, train):
            step.run(day, settings, tools)
        good = judged(day, settings, tools)
        settings.utility = harmless.model_copy(update={"retention": 0.0, "opt_out": 0.0})
        return {"good": good, "harmful": judged(day, settings, tools)}


def main() -> None:
    """Print one line a seed and the two shares of promotions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=56)
    arguments = parser.parse_args()
    promoted = {"good": 0, "harmful": 0}
    for seed in range(1, arguments.seeds + 1):
        for name, verdict in one_seed(seed, arguments.members, arguments.days).items():
            promoted[name] += verdict.kind == "PROMOTE"
            rules = "; ".join(f"{e.name} {e.value:+.4f} [{e.interval[0]:+.4f}, {e.interval[1]:+.4f}]" for e in verdict.evidence[:3])
            print(f"RESULT seed {seed} {name}: {verdict.kind.value}  {rules}", flush=True)
    print(f"RESULT promoted of {arguments.seeds}: {promoted}", flush=True)


if __name__ == "__main__":
    main()
