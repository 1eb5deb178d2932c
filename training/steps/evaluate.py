"""`evaluate`: what the challenger would have earned on members that it never learned from, against the baseline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.adapters.digest import digest
from training.adapters.ports import ModelRegistry, Platform
from training.config.settings import METRICS, Settings
from training.domain.aliases import CHALLENGER, CHAMPION
from training.domain.errors import DataError, NotReadyError
from training.domain.nouns import LOGGING_POLICY, Label
from training.domain.schema import FEATURE_SERVICE
from training.evaluation.arm_shares import arm_shares
from training.evaluation.arm_worth import with_worth
from training.evaluation.measured import split_by
from training.evaluation.policy_difference import Log, compare, histogram
from training.evaluation.segments import segment_arms

if TYPE_CHECKING:
    from training.model.matching import MatchingModel
    from training.model.policy import Probabilities

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EvaluateReport:
    """`rows` held-out decisions of `members` members; `mature` counts those usable for each metric of the rules."""

    challenger: str
    baseline: str
    rows: int
    members: int
    mature: dict[str, int]
    path: Path


def run(day: date, settings: Settings, platform: Platform) -> EvaluateReport:
    """Write `evaluation.json` and the challenger's probabilities `target.parquet` into the run's folder; a rerun writes the same bytes.

    Raises NotReadyError without training set or model, DataError if the log cannot be weighted.
    """
    folder = settings.run_dir(day.isoformat())
    metrics = tuple(dict.fromkeys(rule.metric for rule in settings.guardrails()))
    frame = held_out(folder / "training_set.parquet", metrics, settings.training.holdout)
    challenger, champion = versions(platform.registry, folder)
    print(f"{len(frame):,} decisions of {frame['member_id'].nunique():,} held-out members; {challenger} against {champion or LOGGING_POLICY}.", flush=True)
    evaluation: dict[str, Any] = {
        "day": day.isoformat(),
        "seed": settings.seed,
        "alpha": settings.judging.alpha,
        "challenger": challenger,
        "model_digest": digest(folder / "model"),
        "champion": champion,
        "baseline": champion or LOGGING_POLICY,
        "feature_service": FEATURE_SERVICE,
        "rows": len(frame),
        "members": int(frame["member_id"].nunique()),
        "window": [str(frame["decided_at"].min()), str(frame["decided_at"].max())] if len(frame) else None,
        "metrics": {metric: {"rows": 0} for metric in metrics},
    }
    if len(frame):
        from training.model.policy import policy_probabilities
        from training.model.threads import steady

        steady()
        mine = policy_probabilities(_model(folder / "model"), frame, settings, settings.seed)
        theirs = policy_probabilities(_model(platform.registry.fetch(champion)), frame, settings, settings.seed).p if champion else None
        evaluation |= judged(frame, mine, theirs, metrics, settings)
        _aside(folder / "target.parquet", lambda path: _target(frame, mine).to_parquet(path, index=False))
    path = folder / "evaluation.json"
    text = json.dumps(evaluation, indent=1, allow_nan=False) + "\n"
    _aside(path, lambda aside: aside.write_text(text, encoding="utf-8"))
    mature = {metric: int(found["rows"]) for metric, found in evaluation["metrics"].items()}
    return EvaluateReport(challenger, str(evaluation["baseline"]), len(frame), int(evaluation["members"]), mature, path)


def held_out(path: Path, metrics: tuple[str, ...], share: float) -> pd.DataFrame:
    """Decisions of held-out members that have a mature value of at least one metric."""
    if not path.is_file():
        raise NotReadyError(f"{path} does not exist, so there is nothing to judge on. Run `training_set` for this day first.")
    from training.model.split import is_holdout

    frame = pd.read_parquet(path)
    missing = [m for m in metrics if m not in frame.columns]
    if missing:
        raise DataError(f"The rules name {', '.join(missing)}, which the training set does not have: they could never be judged. Use: {', '.join(METRICS)}.")
    keep = is_holdout(frame["member_id"], share) & frame[list(metrics)].notna().any(axis=1).to_numpy()
    return frame[keep].reset_index(drop=True)


def versions(registry: ModelRegistry, folder: Path) -> tuple[str, str | None]:
    """Challenger of this run and the champion that it must beat (None: the logging policy).

    A rerun with the same model meets the champion of the first time: otherwise a challenger that was promoted would be compared with itself or a
    later one. Other weights meet the champion in charge. Raises NotReadyError if the run's model is not registered.
    """
    path = folder / "evaluation.json"
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    challenger = registry.version(CHALLENGER)
    if challenger is None or _run_id(registry.fetch(challenger)) != folder.name:
        challenger = before.get("challenger")
    if challenger is None:
        raise NotReadyError(f"The model of {folder.name} is not registered as challenger, so a verdict would name another model. Run `train` for this day.")
    champion = before["champion"] if before.get("challenger") == challenger else registry.version(CHAMPION)
    return challenger, champion if champion != challenger else None


def _run_id(model: Path) -> str:
    path = model / "manifest.json"
    return str(json.loads(path.read_text(encoding="utf-8")).get("run_id", "")) if path.is_file() else ""


def judged(frame: pd.DataFrame, mine: Probabilities, theirs: Floats | None, metrics: tuple[str, ...], settings: Settings) -> dict[str, Any]:
    """Comparisons by metric, the weights' histogram and the arms, of all and by segment; `theirs` are the champion's probabilities (None: the logged ones)."""
    from training.domain.catalog import load_catalog
    from training.model.encode import numbers

    log, names = _log(frame, mine, theirs)
    log.check()
    observed = {metric: numbers(frame[metric]) for metric in metrics}
    found = {metric: _metric(log, reward, _means(mine, metric), settings) for metric, reward in observed.items()}
    for metric, values in found.items():
        print(_told(metric, values), flush=True)
    means = {label.value: values for label, values in mine.means.items()}
    columns = [split_by(frame[s.column], s.edges) for s in settings.experiment.segments if s.column in frame]
    arms, segments = arm_shares(log, names, means, observed), segment_arms(log, names, means, observed, columns)
    catalog = load_catalog(settings.catalog)
    for some in (arms, *(segment["arms"] for segment in segments)):
        with_worth(some, catalog, settings.utility)
    return {"metrics": found, "weights": histogram(log), "arms": arms, "segments": segments}


def _metric(log: Log, reward: Floats, predicted: Floats | None, settings: Settings) -> dict[str, Any]:
    mature = ~np.isnan(reward)
    if not mature.any():
        return {"rows": 0}
    mean = None if predicted is None else predicted[log.entries(mature)]
    return compare(log.keep(mature), reward[mature], mean, settings.judging.alpha, settings.judging.folds).plain()


def _means(mine: Probabilities, metric: str) -> Floats | None:
    return mine.means.get(Label(metric)) if metric in set(Label) else None


def _log(frame: pd.DataFrame, mine: Probabilities, theirs: Floats | None) -> tuple[Log, list[str]]:
    """The frame in codes, and the arm of each code."""
    logged = np.concatenate(frame["propensities"].to_numpy()).astype(np.float64)
    if len(logged) != len(mine.p):
        raise DataError(f"The log has {len(logged)} propensities for {len(mine.p)} feasible arms: nothing could be weighted. Correct the decision log.")
    codes, names = pd.factorize(np.concatenate([mine.arms, frame["arm_id"].to_numpy(dtype=object)]), sort=True)
    members = pd.factorize(frame["member_id"])[0]
    split = len(mine.arms)
    propensity = frame["propensity"].to_numpy(dtype=np.float64)
    log = Log(codes[split:], propensity, members, mine.offsets, codes[:split], mine.p, logged if theirs is None else theirs)
    return log, [str(n) for n in names]


def _target(frame: pd.DataFrame, mine: Probabilities) -> pd.DataFrame:
    """Long form, as `rightmatch ope --target` reads it."""
    ids = np.repeat(frame["decision_id"].to_numpy(), np.diff(mine.offsets))
    return pd.DataFrame({"decision_id": ids, "action": mine.arms, "probability": mine.p})


def _told(metric: str, values: Mapping[str, Any]) -> str:
    if not values["rows"]:
        return f"{metric}: no mature rows."
    found = values["difference"]["dr"]
    ends = ", ".join("-" if end is None else f"{end:+.5f}" for end in found["interval"])
    value = "-" if found["value"] is None else f"{found['value']:+.5f}"
    return f"{metric}: {value} [{ends}] on {values['rows']:,} rows, effective {values['support']['challenger']['effective_sample_size']:,.0f}."


def _model(folder: Path) -> MatchingModel:
    from training.model.matching import MatchingModel

    return MatchingModel.load(folder)


def _aside(path: Path, write: Callable[[Path], object]) -> None:
    """Write aside, then rename, so that a reader never sees half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    write(aside)
    aside.replace(path)
