"""All settings. A profile is one TOML file in `infra/settings/`; a source may add its own; `RIGHTMATCH_*` in the environment wins.

Nested names use two underscores: `RIGHTMATCH_TRAINING__EPOCHS=3`. An empty variable is an absent one.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from training.config.experiment import ExperimentSettings
from training.config.names import refuse_unknown
from training.config.serving import ServingSettings
from training.config.strict import Strict
from training.domain.errors import ConfigError
from training.domain.labels import OUTCOME_WINDOWS, VALUE
from training.domain.nouns import RuleKind
from training.domain.rules import DEFAULT_RULES, Rule

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: `dbt/`, `feature_repo/`, `dags/` and `infra/` are found from here."""
METRICS = (*OUTCOME_WINDOWS, VALUE)
"""What the loop measures, and so what a rule can be about."""


class RuleSettings(Strict):
    """One `[[rules]]` entry of a settings file."""

    metric: str
    kind: RuleKind
    margin: float = 0.0
    lower_is_better: bool = False

    @field_validator("metric")
    @classmethod
    def _measured(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"nothing measures {metric!r}, so the rule could never pass; use one of {', '.join(METRICS)}")
        return metric

    @field_validator("kind")
    @classmethod
    def _judged(cls, kind: RuleKind) -> RuleKind:
        if kind not in {RuleKind.SUPERIOR, RuleKind.NON_INFERIOR}:
            raise ValueError(f"{kind.value} is checked by itself; a rule is {RuleKind.SUPERIOR.value} or {RuleKind.NON_INFERIOR.value}")
        return kind

    @model_validator(mode="after")
    def _checked(self) -> RuleSettings:
        self.rule()
        return self

    def rule(self) -> Rule:
        """The domain rule, which checks its margin."""
        return Rule(self.metric, self.kind, self.margin, self.lower_is_better)


class UtilitySettings(Strict):
    """Weights of the utility: value(product) (P(convert|a) - P(convert|none)) + retention (P(retain|a) - P(retain|none)) - opt_out P(opt out|a) - cost."""

    retention: float = Field(75.0, ge=0, description="Money that one retained member is worth: about what a member has brought so far")
    opt_out: float = Field(20.0, ge=0, description="Money that one opt-out costs")


class ExplorationSettings(Strict):
    """Neural Thompson Sampling: S posterior draws, floor epsilon, exploration width nu (None: what `training.model.width` finds)."""

    draws: int = Field(256, ge=1)
    epsilon: float = Field(0.02, gt=0, le=1)
    nu: float | None = Field(None, gt=0, description="Factor on the posterior's spread; without one, that of the least regret under the posterior itself")


class TextChoice(StrEnum):
    """How the texts of creatives are read: by the best encoder that is installed, or by one that is named."""

    AUTO = "auto"
    HASHED = "hashed"
    MINILM = "minilm"


class TrainingSettings(Strict):
    """One dial, `width`, sets the layer sizes; what is derived from it is saved in the manifest."""

    width: int = Field(64, ge=8)
    epochs: int = Field(20, ge=1, description="At most; training ends when members kept back stop gaining")
    batch: int = Field(1024, ge=16, description="Rows of a step; up to four times as many where an epoch would still have 200 steps")
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0, description="Of AdamW: share of a weight that a step takes away, times the learning rate")
    prior_precision: float = Field(1.0, gt=0)
    device: str = Field("auto", description="Where the network is trained: auto (the accelerator where torch sees one), cpu, cuda, ...")
    processes: int = Field(1, ge=1, le=64, description="Processes of this machine that train together; more than one are started by torchrun")
    parts: int = Field(0, ge=0, le=64, description="Parts in which each batch is added up (0: one a process); one process with 2 gives the bytes of two")
    holdout: float = Field(0.5, gt=0, lt=1, description="Share of members kept from training, on whom the challenger is judged")
    window_days: int = Field(182, ge=1, description="Older decisions are not learned from; a policy's own log no longer shows what it avoids")

    @model_validator(mode="after")
    def _shared_evenly(self) -> TrainingSettings:
        if self.parts % self.processes:
            raise ValueError(f"{self.parts} parts cannot be shared by {self.processes} processes; give a multiple, or 0 for one part a process")
        return self

    text_encoder: TextChoice = Field(TextChoice.AUTO, description="auto takes the sentence encoder (extra `text`) where it is installed")


class JudgingSettings(Strict):
    """`alpha` is one-sided, for each rule. The other three say when support is too thin to judge at all."""

    alpha: float = Field(0.05, gt=0, lt=0.5)
    folds: int = Field(3, ge=2)
    min_effective_sample: float = Field(500.0, gt=0)
    max_weight_share: float = Field(0.05, gt=0, le=1)
    mean_weight_tolerance: float = Field(0.1, gt=0)


class Settings(BaseSettings):
    """Everything that a profile can say. Paths are derived from `home`, not configured one by one."""

    model_config = SettingsConfigDict(env_prefix="RIGHTMATCH_", env_nested_delimiter="__", env_ignore_empty=True, extra="forbid")

    profile: str = "local"
    source: str = "simulated"
    home: Path = Field(default=Path())
    catalog: Path = Field(default=Path())
    seed: int = 7
    members: int = Field(20_000, ge=1, description="Members of the simulated world")
    days: int = Field(56, ge=1, description="Days of history of the simulated world at the first run")
    feature_ttl_days: int = Field(3, ge=1)
    materialize_batch: int = Field(10_000, ge=1)
    rules: list[RuleSettings] = Field(default_factory=lambda: [RuleSettings(**vars(r)) for r in DEFAULT_RULES])
    utility: UtilitySettings = UtilitySettings()
    exploration: ExplorationSettings = ExplorationSettings()
    training: TrainingSettings = TrainingSettings()
    judging: JudgingSettings = JudgingSettings()
    experiment: ExperimentSettings = ExperimentSettings()
    serving: ServingSettings = ServingSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the source's file, then the profile's."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=_files())

    def model_post_init(self, context: object, /) -> None:
        """Derive the two folders that follow from the source's name, where nobody named them."""
        del context
        if "home" not in self.model_fields_set:
            self.home = ROOT / "var" / self.source
        if "catalog" not in self.model_fields_set:
            self.catalog = ROOT / "dbt" / "seeds" / self.source

    # Where things are, all under `home`.
    @property
    def inbox(self) -> Path:
        """Where sources leave day files: `inbox/TABLE/day=YYYY-MM-DD/*.parquet`."""
        return self.home / "inbox"

    @property
    def raw(self) -> Path:
        """Landed, validated day files, same layout."""
        return self.home / "raw"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file; only dbt opens it."""
        return self.home / "warehouse.duckdb"

    @property
    def candidate(self) -> Path:
        """Marts as dbt exported them, not yet validated; only the quality gate reads these."""
        return self.home / "candidate"

    @property
    def marts(self) -> Path:
        """Validated marts, one Parquet file each: `marts/TABLE.parquet`. All readers read these."""
        return self.home / "marts"

    @property
    def feast(self) -> Path:
        """Registry and online store of Feast."""
        return self.home / "feast"

    @property
    def runs(self) -> Path:
        """`runs/DAY/`: training set, model, evaluation, verdict and report of one retrain."""
        return self.home / "runs"

    @property
    def reports(self) -> Path:
        """Self-contained HTML verdicts."""
        return self.home / "reports"

    @property
    def data_docs(self) -> Path:
        """Great Expectations' HTML."""
        return self.home / "data_docs"

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return f"sqlite:///{self.home / 'ledger.db'}"

    @property
    def log_url(self) -> str:
        """SQLAlchemy URL of the decision log."""
        return self.serving.log_url or f"sqlite:///{self.home / 'decisions.db'}"

    @property
    def posterior(self) -> Path:
        """Snapshots of the posteriors that the service learned since the champion was trained."""
        return self.home / "posterior"

    @property
    def registry_url(self) -> str:
        """MLflow's tracking and registry store."""
        return f"sqlite:///{self.home / 'mlflow.db'}"

    def run_dir(self, day: str) -> Path:
        """Folder of one retrain, named by its day, so that a rerun replaces it."""
        return self.runs / day

    def guardrails(self) -> tuple[Rule, ...]:
        """The rules as the domain reads them."""
        return tuple(r.rule() for r in self.rules)


def _files() -> list[Path]:
    folder = ROOT / "infra" / "settings"
    profile = os.environ.get("RIGHTMATCH_PROFILE") or "local"
    source = os.environ.get("RIGHTMATCH_SOURCE") or "simulated"
    base = folder / f"{profile}.toml"
    if not base.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.toml")))
        raise ConfigError(f"There is no profile {profile!r}: {base} does not exist. Set RIGHTMATCH_PROFILE to one of: {known}.")
    return [base, folder / "sources" / f"{source}.toml"]


def load_settings() -> Settings:
    """Read the settings. Raises ConfigError naming each field that is wrong, or a variable that is no setting."""
    refuse_unknown(os.environ, Settings)
    try:
        return Settings()
    except ValidationError as error:
        wrong = "".join(f"\n- {'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors())
        raise ConfigError(f"The settings cannot be read, so nothing was started. Correct:{wrong}") from error
    except ValueError as error:
        raise ConfigError(f"The settings cannot be read, so nothing was started: {error}") from error
