"""One world with much late data, and its marts by a first build of DuckDB, for all tests of how days are built."""

import pytest

from tests.fakes.scattered import LAST, exported, settled, world
from training.adapters.dbt_warehouse import DbtWarehouse


@pytest.fixture(scope="session")
def raw():
    """The rows as they should have been from the start. Copy them before changing any."""
    return world(seed=5)


@pytest.fixture(scope="session")
def built(tmp_path_factory, raw):
    """A home whose days were built all at once. Leave it as it is."""
    settings = settled(tmp_path_factory.mktemp("backlog"), raw)
    DbtWarehouse(settings).build(LAST)
    return settings


@pytest.fixture(scope="session")
def backlog(built):
    """Its marts."""
    return exported(built)
