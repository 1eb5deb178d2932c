"""Settings of the decision service and of the log that it writes."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from limits import parse_many
from pydantic import Field, field_validator

from training.config.strict import Strict
from training.domain.nouns import OutcomeKind, Surface

DAYS = 10 * 365
"""Of the longest duration: more than ten years mean none at all, and an instant so far away cannot be written."""
HOURS, MINUTES, SECONDS, MS = DAYS * 24, DAYS * 1_440, DAYS * 86_400, DAYS * 86_400_000


class Clock(StrEnum):
    """Whose time it is: the wall's, or that of the data (a simulated world has its own calendar; only then may a request say when it is made)."""

    WALL = "wall"
    DATA = "data"


class Without(StrEnum):
    """What is decided while no champion can: nothing is shown, or every feasible arm has the same probability, which gathers a first log."""

    NONE = "none"
    UNIFORM = "uniform"


class CapSettings(Strict):
    """Most messages to one member in any 24 hours and any 7 days: over all channels, and over each one."""

    day: int = Field(1, ge=0)
    week: int = Field(5, ge=0)
    channel_day: int = Field(1, ge=0)
    channel_week: int = Field(3, ge=0)


class ServingSettings(Strict):
    """The decision service."""

    host: str = Field("127.0.0.1", description="Address to listen on; a reverse proxy with TLS belongs in front of any other")
    port: int = Field(8321, ge=0, le=65535, description="0: a free one, which is printed")
    workers: int = Field(1, ge=1, le=64, description="Processes that answer; one more learns")
    log_url: str = Field("", description="SQLAlchemy URL of the decision log; empty: SQLite in the home")
    clock: Clock = Clock.WALL
    without_champion: Without = Without.NONE
    caps: CapSettings = CapSettings()
    features_max_age_hours: float = Field(48.0, gt=0, le=HOURS, description="Older features are not decided on: the safe default answers")
    lookup_budget_ms: float = Field(50.0, gt=0, le=MS, description="A slower online store counts as down")
    log_budget_ms: float = Field(
        6_000.0, gt=0, le=MS, description="A log that keeps nothing for so long hangs: who waits is refused, and who comes after at once"
    )
    expires_minutes: float = Field(30.0, gt=0, le=MINUTES, description="How long a decision may be shown")
    batch: int = Field(64, ge=1, le=1024, description="Most decisions that are taken, and made durable, together")
    learn_every_ms: float = Field(250.0, gt=0, le=MS, description="Pause between two looks of the learner at the log")
    access_log: bool = Field(True, description="A line of the log for every request, not for failures alone")
    personalizer_surface: Surface = Field(Surface.WEB, description="Where callers of the Personalizer interface stand who do not say it")
    personalizer_reward: OutcomeKind = Field(OutcomeKind.CLICK, description="What a reward above 0 of the Personalizer interface means")
    request_seconds: float = Field(10.0, gt=0, le=SECONDS, description="A caller whose request has not come whole by then is hung up on")
    rate_limit: str = Field("120000/minute", description="Requests of one key to one worker, as the library `limits` writes it")

    @field_validator("rate_limit")
    @classmethod
    def _is_a_rate(cls, written: str) -> str:
        try:
            rates = parse_many(written)
        except ValueError:
            rates = []
        if len(rates) > 1:
            raise ValueError(f"{written!r} is several rates, of which only the first would hold. Write one, such as 120000/minute or 50/second")
        if not rates or rates[0].amount < 1:
            raise ValueError(f"{written!r} is no rate that lets anybody in. Write NUMBER/UNIT, such as 120000/minute or 50/second")
        return written

    @property
    def features_max_age(self) -> timedelta:
        """The same as a duration."""
        return timedelta(hours=self.features_max_age_hours)
