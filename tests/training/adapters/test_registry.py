"""The registry's contract, on the fake and on MLflow over SQLite."""

import logging
import os
import shutil

import pytest

from tests.fakes.registry import FakeRegistry
from training.adapters.digest import digest
from training.adapters.registry import MlflowRegistry
from training.config.settings import Settings
from training.domain.errors import DataError, NotReadyError


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty MLflow database: its migrations take seconds, so they run once; the logger of a caller survives them."""
    mine = logging.getLogger("rightmatch.test")
    settings = Settings(home=tmp_path_factory.mktemp("template"))
    MlflowRegistry(settings)._client()
    assert not mine.disabled
    return settings.home / "mlflow.db"


@pytest.fixture
def settings(tmp_path, database):
    """A home with an empty registry."""
    made = Settings(home=tmp_path / "home")
    made.home.mkdir()
    shutil.copy(database, made.home)
    return made


@pytest.fixture(params=["fake", "mlflow"])
def registry(request, tmp_path):
    """Both registries, empty."""
    return FakeRegistry(tmp_path / "fake") if request.param == "fake" else MlflowRegistry(request.getfixturevalue("settings"))


@pytest.fixture
def folder(tmp_path):
    """A model folder with one file."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "manifest.json").write_text("one")
    return made


def test_a_version_is_a_copy_that_never_changes(registry, folder):
    """The same run and content is the same version; the same run with other content is another one, and the first stays what it was."""
    first = registry.register(folder, {"run_id": "2026-01-01", "seed": "7"})
    assert registry.register(folder, {"run_id": "2026-01-02"}) == "2"
    assert registry.register(folder, {"run_id": "2026-01-01", "seed": "8"}) == first == "1"

    (folder / "manifest.json").write_text("two")
    assert registry.register(folder, {"run_id": "2026-01-01"}) == "3"
    assert (registry.fetch(first) / "manifest.json").read_text() == "one"
    (folder / "manifest.json").rename(folder / "other.json")
    assert registry.register(folder, {"run_id": "2026-01-01"}) == "4"
    assert [p.name for p in registry.fetch("4").iterdir()] == ["other.json"]


def test_aliases_move(registry, folder):
    """An alias is unknown, then points, then points elsewhere; the other alias stays unknown."""
    assert registry.version("champion") is None
    versions = [registry.register(folder, {"run_id": run}) for run in ("a", "b")]
    assert registry.version("champion") is None
    for version in versions:
        registry.point("champion", version)
        assert registry.version("champion") == version
    assert registry.version("challenger") is None


def test_what_is_not_there_is_refused(registry, folder):
    """No folder, no run_id, no version: each says so, and nothing is registered."""
    with pytest.raises(NotReadyError, match="no model folder"):
        registry.register(folder / "missing", {"run_id": "a"})
    with pytest.raises(DataError, match="without a run_id"):
        registry.register(folder, {})
    for wrong in ("1", "..", ""):
        with pytest.raises(NotReadyError, match="no model version"):
            registry.fetch(wrong)
        with pytest.raises(NotReadyError, match="no model version"):
            registry.point("champion", wrong)


def test_mlflow_remembers_facts_in_another_process_and_after_a_crash(settings, tmp_path, folder):
    """A second registry on the same home sees the aliases; a version whose folder was lost is repaired by its rerun."""
    version = MlflowRegistry(settings).register(folder, {"run_id": "2026-01-01", "rows": "3"})
    MlflowRegistry(settings).point("challenger", version)
    other = MlflowRegistry(settings)
    assert other.version("challenger") == version
    tags = other._client().get_model_version("matching", version).tags
    assert tags == {"run_id": "2026-01-01", "rows": "3", "digest": digest(folder)}

    other.fetch(version).rename(tmp_path / "lost")
    with pytest.raises(NotReadyError, match="Run `train` for its day again"):
        other.fetch(version)
    assert other.register(folder, {"run_id": "2026-01-01"}) == version
    assert other.fetch(version).is_dir()


def test_asking_an_empty_home_makes_no_database(tmp_path):
    """`decide` before the first run must not wait for MLflow's migrations."""
    settings = Settings(home=tmp_path / "home")
    assert MlflowRegistry(settings).version("champion") is None
    assert not settings.home.exists()


def test_a_glance_at_an_alias_says_what_mlflow_says(settings, folder):
    """Before the database is there, before anything is registered, before the alias is set, after it moved."""
    registry = MlflowRegistry(settings)
    assert MlflowRegistry(Settings(home=settings.home / "nowhere")).peek("champion") is None
    assert registry.peek("champion") is None
    version = registry.register(folder, {"run_id": "2026-01-05"})
    assert registry.peek("champion") is None
    registry.point("champion", version)
    assert registry.peek("champion") == registry.version("champion") == version


def test_a_kept_glance_sees_what_others_change(settings, folder):
    """An alias that another process's client moves, and a database that is put in the place of the one that was looked at, such as a backup."""
    registry, other = MlflowRegistry(settings), MlflowRegistry(settings)
    first = registry.register(folder, {"run_id": "2026-01-05"})
    registry.point("champion", first)
    assert registry.peek("champion") == first
    shutil.copy(settings.home / "mlflow.db", settings.home / "backup.db")
    second = other.register(folder, {"run_id": "2026-01-06"})
    other.point("champion", second)
    assert registry.peek("champion") == second
    (settings.home / "backup.db").rename(settings.home / "mlflow.db")
    assert registry.peek("champion") == first
    (settings.home / "mlflow.db").unlink()
    assert registry.peek("champion") is None


def test_a_forked_process_looks_for_itself(settings, folder):
    """It neither uses nor closes the connection of the process that it was forked from."""
    registry = MlflowRegistry(settings)
    registry.point("champion", registry.register(folder, {"run_id": "2026-01-05"}))
    assert registry.peek("champion") == "1"
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if registry.peek("champion") == "1" and registry._looking._inherited is not None else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert registry.peek("champion") == "1"


def test_a_damaged_version_is_refused_until_it_is_registered_again(settings, folder):
    """A byte of it has turned: it would decide otherwise than what was judged."""
    registry = MlflowRegistry(settings)
    version = registry.register(folder, {"run_id": "a"})
    kept = registry.fetch(version) / "manifest.json"
    kept.write_text("0ne")
    with pytest.raises(DataError, match="is not what was registered"):
        MlflowRegistry(settings).fetch(version)
    with pytest.raises(DataError, match="is not what was registered"):
        registry.point("champion", version)
    assert registry.register(folder, {"run_id": "a"}) == version
    assert (registry.fetch(version) / "manifest.json").read_text() == "one"
    assert [path.name for path in kept.parent.parent.iterdir()] == [version]
