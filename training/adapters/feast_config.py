"""Opens Feast with our settings: fills `feature_store.yaml`, loads `definitions.py`. Imports Feast, so import it late."""

from __future__ import annotations

import importlib.util
import sys
from string import Template
from types import ModuleType

import yaml  # type: ignore[import-untyped]
from feast import FeatureStore
from feast.repo_config import RepoConfig

from training.config.settings import ROOT, Settings
from training.domain.errors import ConfigError

REPO = ROOT / "feature_repo"
_MODULE = "rightmatch_feature_definitions"


def open_feast(settings: Settings) -> FeatureStore:
    """A FeatureStore on `settings.feast`, which is created. Raises ConfigError if the YAML names an unknown variable."""
    folder = settings.feast.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    text = (REPO / "feature_store.yaml").read_text(encoding="utf-8")
    try:
        options = yaml.safe_load(Template(_without_comments(text)).substitute(RIGHTMATCH_FEAST=str(folder)))
    except KeyError as error:
        raise ConfigError(f"feature_store.yaml asks for {error}, which the settings do not have, so no store was opened. Use RIGHTMATCH_FEAST.") from error
    options["materialization"]["online_write_batch_size"] = settings.materialize_batch
    config = RepoConfig(**options)
    config.repo_path = REPO
    return FeatureStore(config=config)


def load_definitions() -> ModuleType:
    """The module `feature_repo/definitions.py`, which is no package because the `feast` command wants it so."""
    loaded = sys.modules.get(_MODULE)
    if loaded is not None:
        return loaded
    spec = importlib.util.spec_from_file_location(_MODULE, REPO / "definitions.py")
    if spec is None or spec.loader is None:
        raise ConfigError(f"{REPO / 'definitions.py'} cannot be imported, so Feast has nothing to register. Restore the file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return module


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
