"""A registry of folders and a dict."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from training.adapters.digest import digest
from training.domain.errors import DataError, NotReadyError


class FakeRegistry:
    """Same contract as `MlflowRegistry`; versions are "1", "2", ... under `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.facts: dict[str, dict[str, str]] = {}
        self.aliases: dict[str, str] = {}

    def register(self, folder: Path, facts: Mapping[str, str]) -> str:
        """Copy the folder under the version of its run and content."""
        if not facts.get("run_id"):
            raise DataError("A model was registered without a run_id.")
        if not folder.is_dir():
            raise NotReadyError(f"There is no model folder {folder}.")
        wanted = {**facts, "digest": digest(folder)}
        known = [v for v, f in self.facts.items() if (f["run_id"], f["digest"]) == (wanted["run_id"], wanted["digest"])]
        version = known[0] if known else str(len(self.facts) + 1)
        shutil.copytree(folder, self.home / version, dirs_exist_ok=True)
        self.facts[version] = wanted
        return version

    def point(self, alias: str, version: str) -> None:
        """Move the alias."""
        self.fetch(version)
        self.aliases[alias] = version

    def version(self, alias: str) -> str | None:
        """Version behind the alias."""
        return self.aliases.get(alias)

    def peek(self, alias: str) -> str | None:
        """The same."""
        return self.version(alias)

    def fetch(self, version: str) -> Path:
        """Folder of the version."""
        if version not in self.facts:
            raise NotReadyError(f"The registry has no model version {version!r}.")
        return self.home / version
