"""What was decided under the catalog of yesterday stays what it was when prices change."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from serving import catalogs
from serving.explain import again, model_of
from tests.fakes.logs import served
from tests.serving.conftest import member, serving
from training.adapters.decision_log import DecisionLog
from training.adapters.kept_catalogs import read
from training.adapters.registry import MlflowRegistry
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.errors import DataError, NotReadyError


def ask(client):
    """A decision on a member who consents to everything."""
    return client.post("/v1/decisions", json={"member_id": member(8), "surface": "web"}).json()["decision_id"]


def test_a_catalog_is_read_as_it_was_written():
    """To the last digit of a price; another price has another version."""
    catalog = load_catalog(Settings().catalog)
    name, product = next(iter(catalog.products.items()))
    dearer = replace(catalog, products={**catalog.products, name: replace(product, value=product.value + 0.1)})
    assert read(catalogs.kept(catalog).content) == catalog
    assert catalogs.kept(catalog).version == catalogs.kept(load_catalog(Settings().catalog)).version != catalogs.kept(dearer).version
    with pytest.raises(DataError, match="damaged"):
        read("{}")


def test_a_price_of_today_changes_no_decision_of_yesterday(home, tmp_path):
    """Replay and funnel of a decision taken before a price rose by half, by a service that knows the new one; a new decision is taken under it."""
    other = tmp_path / "catalog"
    shutil.copytree(Settings().catalog, other)
    lines = (other / "products.csv").read_text().splitlines()
    at = lines[0].split(",").index("value")
    rows = [line.split(",") for line in lines[1:]]
    (other / "products.csv").write_text("\n".join([lines[0], *(",".join([*row[:at], str(float(row[at]) * 1.5), *row[at + 1 :]]) for row in rows)]) + "\n")
    with serving(home) as service, service.client() as client:
        decision = ask(client)
        before = client.get(f"/v1/decisions/{decision}").json()
    with serving(home, CATALOG=str(other)) as service, service.client() as client:
        assert client.get(f"/v1/decisions/{decision}").json()["considered"] == before["considered"]
        dearer = client.get(f"/v1/decisions/{ask(client)}").json()
    assert {arm["arm_id"]: arm["mean"] for arm in dearer["considered"]} != {arm["arm_id"]: arm["mean"] for arm in before["considered"]}
    for settings, name in ((Settings(home=home, catalog=other), decision), (Settings(home=home), dearer["decision_id"])):
        log = DecisionLog(settings.log_url)
        kept = log.find(name)
        assert again(kept, model_of(kept, log, MlflowRegistry(settings), settings)).equal


def test_a_decision_from_before_catalogs_were_kept_is_rebuilt_with_the_one_of_today(home):
    """As ever; where that lacks an arm, what to do is said."""
    settings = Settings(home=home)
    old = served(
        "old", feasible=("none", "gone.long_ago.feed", "x.y.z"), chosen_arm="none", channel_id="", notes={"policy": '{"exploration": {}, "utility": {}}'}
    )
    with pytest.raises(NotReadyError, match="RIGHTMATCH_CATALOG"):
        model_of(old, DecisionLog(settings.log_url), MlflowRegistry(settings), settings)
