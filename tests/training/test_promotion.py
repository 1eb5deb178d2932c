"""Who earns promotion in the simulated world: the whole loop but for Airflow, on enough members, twice with one seed. Slow."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from infra.scripts.power import breaks, greedy, judged, trained
from sources.simulated.world import CONFLICT
from training.config.settings import Settings
from training.domain.nouns import VerdictKind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MEMBERS, SEED = 20_000, 5
KEPT = ("model/model.safetensors", "model/manifest.json", "training_set.parquet", "evaluation.json", "target.parquet")


def kept(home):
    """Digests of everything that the run's decision rests on, by name."""
    (folder,) = (home / "runs").iterdir()
    return {name: sha256((folder / name).read_bytes()).hexdigest() for name in KEPT}


@pytest.fixture(scope="module", name="first")
def _first(tmp_path_factory):
    """Home of one loop, the verdicts, and what the one on the good challenger rests on."""
    home = tmp_path_factory.mktemp("first")
    day, settings, tools = trained(SEED, Settings(home=home, members=MEMBERS))
    good, digests = judged(day, settings, tools), kept(home)
    return home, {"good": good, "harmful": judged(day, greedy(settings), tools)}, digests


def test_a_better_model_is_promoted(first):
    """It truly converts more and loses fewer members, and the evidence of the log alone shows it."""
    verdict, worth = first[1]["good"]
    assert worth["converted"] > 0.002
    assert worth["retained"] > 0
    assert verdict.kind is VerdictKind.PROMOTE, verdict
    for rule, name in zip(verdict.evidence, ("converted", "retained", "opted_out"), strict=False):
        true = -worth[name] if name == "opted_out" else worth[name]
        assert rule.name.startswith(name)
        assert rule.interval[0] - 0.002 < true < rule.interval[1] + 0.002


def test_a_poisoned_model_is_not_promoted(first):
    """The same network, asked for conversions alone, shows the creatives that convert and lose members: success is superior, and yet it stays out."""
    verdict, worth = first[1]["harmful"]
    assert worth["converted"] > 0.002
    assert breaks(worth, Settings())
    assert verdict.evidence[0].passed
    assert verdict.kind in {VerdictKind.REJECT, VerdictKind.HOLD}, verdict


def test_the_poisoned_model_presses(first):
    """What makes it harmful is visible in its evaluation: pressing creatives are shown far more often than by the log."""
    (folder,) = (first[0] / "runs").iterdir()
    arms = json.loads((folder / "evaluation.json").read_text())["arms"]  # the harmful policy was evaluated last
    pressing = [a for a in arms if a["arm"].split(".")[1:2] and a["arm"].split(".")[1] in CONFLICT]
    assert sum(a["challenger"] for a in pressing) > 1.4 * sum(a["baseline"] for a in pressing)


def test_the_same_seed_gives_the_same_promotion(first, tmp_path):
    """World, training set, weights, evidence and verdict, to the byte. Of the good challenger: the harmful one is judged by the same code on the same rows."""
    again = judged(*trained(SEED, Settings(home=tmp_path, members=MEMBERS)))
    assert kept(tmp_path) == first[2]
    verdict, worth = first[1]["good"]
    assert (again.verdict.kind, again.verdict.evidence, again.worth) == (verdict.kind, verdict.evidence, worth)
