"""What the learner's parts are worth, by the known truth of the simulated world: the whole recipe, and the recipe without one of its parts.

    PYTHONPATH=. .venv/bin/python infra/scripts/learning.py --seeds 2 --members 20000 6000

Prints, for members never learned from: the true lift over the logging policy in points per decision, the RMSE of the predicted conversion against its
true probability, the calibration error of conversion and retention, and in how many of 20 bins by prediction the realised rate lies in its 90%
interval. About two minutes a world of 20,000 members.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import numpy as np
import pandas as pd
import torch

from infra.scripts.power import simulate
from sources.simulated.truth import expected_flat
from training.bootstrap import platform
from training.config.settings import Settings, TextChoice
from training.domain.catalog import load_catalog
from training.domain.nouns import Label
from training.model import fit, heads, optimise
from training.model.calibration import calibrate, covered
from training.model.funnel import needed
from training.model.matching import MatchingModel, encode_rows
from training.model.policy import policy_probabilities
from training.model.recalibrate import UNCHANGED
from training.model.split import is_holdout
from training.model.threads import steady
from training.steps import land, training_set, transform, validate

Change = Callable[[], None]


def never_stop() -> None:
    """Every label is learned to the last epoch; the weights are those of the last one that was the best of some label."""
    optimise.PATIENCE = 10**6


def uncorrected() -> None:
    """Heads are left as sure of themselves as the rows that they learned from made them."""
    found = heads.corrected
    heads.corrected = lambda logits, label: (UNCHANGED, found(logits, label)[1])


def network_alone() -> None:
    """Heads read the network only, as they did before there was a linear part beside it."""
    heads.READ = {heads.DEEP: heads.READ[heads.DEEP]}


RECIPES: dict[str, tuple[dict[str, object], Change | None]] = {
    "as it is": ({}, None),
    "heads uncorrected": ({}, uncorrected),
    "the network alone": ({}, network_alone),
    "always 4 epochs of 4,096": ({"epochs": 4, "batch": 4096}, never_stop),
    "no label leaves the loss": ({"epochs": 20}, never_stop),
    "learning rate 0.01": ({"learning_rate": 0.01}, None),
    "texts hashed": ({"text_encoder": TextChoice.HASHED}, None),
}


@contextmanager
def changed(change: Change | None) -> Iterator[None]:
    """The parts of the learner with one of them changed, for a while."""
    before = optimise.PATIENCE, heads.corrected, heads.READ
    try:
        if change:
            change()
        yield
    finally:
        optimise.PATIENCE, heads.corrected, heads.READ = before


def world(seed: int, members: int, home: Path) -> pd.DataFrame:
    """The training set of a world, by the steps of the loop."""
    settings = Settings(home=home, members=members, seed=seed)
    day, tools = simulate(settings, seed), platform(settings)
    land.run(day, settings, tools)
    transform.run(day, settings, tools)
    validate.run(day, settings, tools)
    tools.features.apply()
    return pd.read_parquet(training_set.run(day, settings, tools).path)


def measure(frame: pd.DataFrame, settings: Settings, recipe: dict[str, object]) -> str:
    """One line: fit on the members who are not held out, measure on those who are."""
    held = is_holdout(frame["member_id"], settings.training.holdout)
    learned, unseen = frame[~held].reset_index(drop=True), frame[held].reset_index(drop=True)
    catalog, started = load_catalog(settings.catalog), monotonic()
    model = fit.fit(learned, catalog, settings.training.model_copy(update=recipe), settings.seed, lambda _: None)
    seconds = monotonic() - started
    policy = policy_probabilities(model, unseen, settings, settings.seed)
    truth, sizes = expected_flat(settings.home / "truth", unseen)
    gap = policy.p - 1.0 / np.repeat(sizes, sizes)
    lift = [100 * float((gap * truth[name]).sum()) / len(unseen) for name in ("converted", "retained")]
    rmse = 100 * float(np.sqrt(np.mean((policy.means[Label.CONVERTED] - truth["converted"]) ** 2)))
    predicted = model.predict(unseen, catalog)
    errors = [100 * calibrate(k.value, predicted[k], unseen[k.value].astype("float64").to_numpy()).error for k in (Label.CONVERTED, Label.RETAINED)]
    held_up = " | ".join(f"{intervals(model, unseen, label, settings):.0%}" for label in (Label.CONVERTED, Label.RETAINED))
    return f"{lift[0]:+.2f} | {lift[1]:+.2f} | {rmse:.2f} | {errors[0]:.2f} | {errors[1]:.2f} | {held_up} | {len(model.manifest['epochs'])} | {seconds:.0f}"


def intervals(model: MatchingModel, unseen: pd.DataFrame, label: Label, settings: Settings) -> float:
    """Share of 20 bins of held-out rows, by prediction, whose realised rate lies in its 90% interval from 200 posterior draws."""
    mature = unseen[unseen[label.value].notna()].reset_index(drop=True)
    catalog = load_catalog(settings.catalog)
    rows = encode_rows(mature, model.members, model.arms, model.book(catalog, mature))
    bins = np.argsort(np.argsort(model.score(*rows)[label], kind="stable"), kind="stable") * 20 // len(mature)
    generator = torch.Generator().manual_seed(settings.seed)
    drawn = {stage: model.heads[stage].draw(200, 1.0, generator) for stage in needed(label, model.heads)}
    answers = mature[label.value].astype("float64").to_numpy()
    sizes = np.bincount(bins)
    found = covered(label.value, model.bin_means(label, rows, drawn, bins), sizes, np.bincount(bins, answers) / sizes, np.random.default_rng(settings.seed))
    return found.share


def main() -> None:
    """Print one table row a world and recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=11, help="first seed")
    parser.add_argument("--seeds", type=int, default=2, help="how many seeds")
    parser.add_argument("--members", type=int, nargs="+", default=[20_000, 6_000])
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES), help="which of them")
    arguments = parser.parse_args()
    steady()
    for members in arguments.members:
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                frame = world(seed, members, Path(folder))
                for name in arguments.recipes:
                    recipe, change = RECIPES[name]
                    with changed(change):
                        line = measure(frame, Settings(home=Path(folder), members=members, seed=seed), recipe)
                    print(f"RESULT | {members:,} | {seed} | {name} | {line} |", flush=True)


if __name__ == "__main__":
    main()
