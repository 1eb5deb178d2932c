"""Databases that the tests of the decision log share."""

from __future__ import annotations

import pytest

from tests.fakes.logs import database, postgres


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    """One Postgres for all tests of the session."""
    with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def log_url(request, tmp_path):
    """An empty log on each kind of database."""
    return f"sqlite:///{tmp_path}/new/log.db" if request.param == "sqlite" else database(request.getfixturevalue("postgres_server"))
