"""One step as a scheduler calls it: by its verb and a day. This is all that a DAG needs to know of Rightmatch."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from datetime import date
from importlib import import_module
from typing import Any

from training.adapters.ports import Platform
from training.config.settings import Settings, load_settings
from training.domain.errors import ConfigError

VERBS = (
    *("land", "transform", "validate", "materialize", "learn", "training_set", "train", "evaluate", "judge", "promote"),
    *("look", "ramp", "watch", "roll_back", "alarm"),
)

SHOWN = frozenset({"judge", "promote", "look", "ramp", "watch", "roll_back"})
"""Steps after which the page of promotions says something else."""

log = logging.getLogger(__name__)


def execute(verb: str, day: str) -> dict[str, Any]:
    """Run `training.steps.VERB` for `day` (YYYY-MM-DD) with the settings' own platform; returns its report as plain JSON values.

    Raises ConfigError for an unknown verb or day, and whatever the step raises.
    """
    if verb not in VERBS:
        raise ConfigError(f"There is no step {verb!r}, so nothing ran. The steps are: {', '.join(VERBS)}.")
    try:
        when = date.fromisoformat(day)
    except ValueError:
        raise ConfigError(f"{day!r} is not a day, so {verb} did not run. Write it as YYYY-MM-DD.") from None
    settings = load_settings()
    from training.bootstrap import platform  # after the settings, so that a wrong setting is named at once

    log.info("%s for %s (home %s)", verb, day, settings.home)
    step = import_module(f"training.steps.{verb}")
    wired = platform(settings)
    report: dict[str, Any] = json.loads(json.dumps(asdict(step.run(when, settings, wired)), default=str))
    if verb in SHOWN:
        show(when, settings, wired)
    log.info("%s", json.dumps(report)[:2000])
    return report


def show(day: date, settings: Settings, platform: Platform) -> None:
    """Write `reports/promotions.html` anew. That it could not be written takes back nothing of what the step did, and must stop no roll-back's alarm."""
    from training.adapters.promotions_page import write_promotions
    from training.steps.in_charge import moment

    try:
        write_promotions(settings, platform, moment(settings, day))
    except Exception:
        log.exception("The page of promotions was not written and shows what was before. The step itself is done; `rightmatch promotions` writes the page.")
