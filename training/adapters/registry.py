"""Model versions: MLflow keeps numbers, tags and aliases in its own database, the folders stand beside it in `home/models/VERSION`.

A version never changes: it is found again by its run and the digest of its content, so a rerun that gives other weights gets a version of its own
and what is in charge stays what was judged.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.adapters.digest import digest
from training.config.settings import Settings
from training.domain.errors import DataError, NotReadyError

NAME = "matching"
"""The registered model."""
RUN_ID, DIGEST = "run_id", "digest"
"""Tags that name a version's run and its content; one version for each pair."""


class _Looking(threading.local):
    """A connection that each thread keeps to look at one file: to open one takes sixty times as long as to ask. Any change of the file's own attributes has
    it opened anew, since SQLite sees what is written through it, but not that a file was put in the place of another.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._of: tuple[int, ...] = ()
        self._connection: sqlite3.Connection | None = None
        self._inherited: sqlite3.Connection | None = None
        """Of the process that this one was forked from, which must not be closed here."""

    def at(self, database: Path) -> sqlite3.Connection | None:
        """To read with; None where there is no such file."""
        try:
            there = database.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if self._process != os.getpid():
            self._process, self._inherited, self._connection = os.getpid(), self._connection, None
        now = there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns
        if self._connection is None or self._of != now:
            if self._connection is not None:
                self._connection.close()
            self._connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=5, isolation_level=None)
            self._of = now
        return self._connection


class MlflowRegistry:
    """Versions of the model `matching` on `settings.registry_url`. MLflow is imported, and its database made, at the first write."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.registry_url
        self._models = settings.home / "models"
        self._database = settings.home / "mlflow.db"
        self._looking = _Looking()
        self._made: Any = None

    def register(self, folder: Path, facts: Mapping[str, str]) -> str:
        """Copy `folder` into the registry and tag its version with `facts`; the same run_id and content again is the same version.

        Raises DataError without facts["run_id"] and NotReadyError if `folder` does not exist: then nothing is registered.
        """
        if not facts.get(RUN_ID):
            raise DataError("A model was registered without a run_id: a rerun could not find its version again. Pass facts={'run_id': DAY, ...}.")
        if not folder.is_dir():
            raise NotReadyError(f"There is no model folder {folder}, so there is nothing to register. Run `train` for that day first.")
        content = digest(folder)
        version = self._numbered({**facts, DIGEST: content})
        there = self._models / version
        if not there.is_dir() or digest(there) != content:  # new, lost or damaged
            aside, damaged = self._models / f".{version}.new", self._models / f".{version}.damaged"
            for old in (aside, damaged):
                shutil.rmtree(old, ignore_errors=True)
            shutil.copytree(folder, aside)
            if there.is_dir():
                there.rename(damaged)
            aside.rename(there)
            shutil.rmtree(damaged, ignore_errors=True)
        return version

    def point(self, alias: str, version: str) -> None:
        """Move `alias` to `version`. Raises NotReadyError if there is no such version."""
        self.fetch(version)
        self._client().set_registered_model_alias(NAME, alias, version)

    def version(self, alias: str) -> str | None:
        """Version behind `alias`, None where the alias was never set or nothing was registered."""
        if not self._database.is_file():
            return None
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client().get_model_version_by_alias(NAME, alias).version)
        except MlflowException as error:
            if error.error_code in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}:  # unknown alias, unknown model
                return None
            raise

    def peek(self, alias: str) -> str | None:
        """The same as `version` in some microseconds and without MLflow: read from its table, for those who ask all the time."""
        found = self._looking.at(self._database)
        if found is None:
            return None
        rows = found.execute("select version from registered_model_aliases where name = ? and alias = ?", (NAME, alias)).fetchall()
        return str(rows[0][0]) if rows else None

    def fetch(self, version: str) -> Path:
        """Folder of `version`. Raises NotReadyError where there is none, DataError where it no longer holds what was registered."""
        folder = self._models / version
        if not version.isdecimal() or not folder.is_dir():
            raise NotReadyError(f"The registry has no model version {version!r} under {self._models}, so it cannot be used. Run `train` for its day again.")
        content = self._content(version)
        if content is not None and digest(folder) != content:
            raise DataError(
                f"Model version {version} under {folder} is not what was registered: a file of it is damaged or was changed, so it would decide otherwise than "
                "what was judged. Restore the folder from a backup, or run `train` for its day again, which repairs it."
            )
        return folder

    def _content(self, version: str) -> str | None:
        """The digest that `version` was registered with; None where the registry does not say."""
        found = self._looking.at(self._database)
        if found is None:
            return None
        rows = found.execute("select value from model_version_tags where name = ? and version = ? and key = ?", (NAME, version, DIGEST)).fetchall()
        return str(rows[0][0]) if rows else None

    def _numbered(self, facts: Mapping[str, str]) -> str:
        """The version that already carries this run_id and digest, its tags renewed, or a new one."""
        client = self._client()
        known = client.search_model_versions(f"name='{NAME}' and tags.{RUN_ID}='{facts[RUN_ID]}' and tags.{DIGEST}='{facts[DIGEST]}'")
        if known:
            version = str(min(int(v.version) for v in known))
            for name, value in facts.items():
                client.set_model_version_tag(NAME, version, name, value)
            return version
        _ensure_model(client)
        return str(client.create_model_version(NAME, source=self._models.resolve().as_uri(), tags=dict(facts)).version)

    def _client(self) -> Any:  # noqa: ANN401 - mlflow carries no types
        if self._made is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            from mlflow import MlflowClient

            logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it reports each table that it makes
            self._database.parent.mkdir(parents=True, exist_ok=True)
            self._made = MlflowClient(tracking_uri=self._url, registry_uri=self._url)
        return self._made


def _ensure_model(client: Any) -> None:  # noqa: ANN401 - mlflow carries no types
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
