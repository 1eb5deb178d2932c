"""`rightmatch decide MEMBER_ID --surface web`: what the champion would do for this member, and with which probability."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from training.cli.lookup import refuse
from training.domain.aliases import CHAMPION
from training.domain.errors import ConfigError, DataError
from training.domain.nouns import Context, Decision, Member, Surface

if TYPE_CHECKING:
    from training.adapters.ports import Platform
    from training.config.settings import Settings

SHOWN = 12
"""Rows of the table; JSON has all."""
LATER = timedelta(hours=12)
"""Features stand at midnight and serve the day after it; its noon is a time at which members are really met."""


def decide(member_id: str, surface: str, seed: int | None, as_json: bool) -> int:
    """Print one decision of the champion; returns the exit code, 1 where there is no champion or the store does not know the member.

    The decision is taken at noon after the instant of the member's online features, so the same store, champion and seed give the same decision.
    JSON is one object in each case: a decision, or {"error", "member_id", "surface", "champion", "found"} where `champion` is null without one
    and `found` is false for a member that the store does not know (null where nobody looked). The error is also said on standard error.
    Raises ConfigError for an unknown surface and NotReadyError if nothing was registered yet.
    """
    from training.bootstrap import platform
    from training.config.settings import load_settings

    where = _surface(surface)
    settings = load_settings()
    wired = platform(settings)
    version = wired.registry.version(CHAMPION)
    if version is None:
        reason = "There is no champion yet, so offers stay with the logging policy. Run `rightmatch run` until a challenger is promoted."
        return refuse(reason, as_json, member_id=member_id, surface=where.value, champion=None, found=None)
    (features,) = wired.features.online_members([member_id])
    if not features:
        reason = f"Member {member_id!r} is not in the online store, so nothing can be decided. Check the id, or materialize a day that has the member."
        return refuse(reason, as_json, member_id=member_id, surface=where.value, champion=version, found=False)
    used = secrets.randbits(32) if seed is None else seed
    decision = take(wired, settings, version, _member(member_id, features), where, used)
    if as_json:
        print(json.dumps(_plain(decision, used)))
    else:
        _table(decision, used)
    return 0


def take(wired: Platform, settings: Settings, version: str, member: Member, surface: Surface, seed: int) -> Decision:
    """Let `version` decide for `member`, whose features carry `event_timestamp` and `consents`, from the arms that surface and consent allow.

    Probabilities are those of the posterior as trained; `seed` picks the arm from them.
    """
    import numpy as np

    from training.domain.catalog import load_catalog
    from training.model.compiled import Compiled, pick
    from training.model.matching import MatchingModel
    from training.model.threads import steady

    steady()
    catalog, at = load_catalog(settings.catalog), _instant(member)
    consents = [c.strip() for c in str(member.features.get("consents") or "").split(",") if c.strip()]
    feasible = catalog.feasible(surface, consents)
    champion = Compiled.build(MatchingModel.load(wired.registry.fetch(version)), catalog, settings, version)
    champion = champion.with_arms(dict(zip(feasible, wired.features.online_arms(feasible), strict=True)), at.isoformat())
    context, index = Context(surface, at.hour, at.weekday()), {arm: i for i, arm in enumerate(champion.arm_ids)}
    p = champion.score(member.features, context, [index[arm] for arm in feasible]).p
    return Decision(
        decision_id=str(uuid5(NAMESPACE_URL, f"rightmatch:{member.member_id}:{surface.value}:{at.isoformat()}:{version}:{seed}")),
        member_id=member.member_id,
        decided_at=at,
        context=context,
        chosen_arm=feasible[pick(p, float(np.random.default_rng(seed).random()))],
        propensities=dict(zip(feasible, p.tolist(), strict=True)),
        model_version=version,
        excluded={arm: why for arm, why in catalog.excluded(surface, consents).items() if why},
    )


def _surface(name: str) -> Surface:
    try:
        return Surface(name)
    except ValueError:
        known = ", ".join(s.value for s in Surface)
        raise ConfigError(f"There is no surface {name!r}, so no arm could be shown there. Use one of: {known}.") from None


def _member(member_id: str, features: Mapping[str, object]) -> Member:
    return Member(member_id, features)  # type: ignore[arg-type]


def _instant(member: Member) -> datetime:
    at: object = member.features.get("event_timestamp")
    if not isinstance(at, datetime):
        raise DataError(f"The online features of member {member.member_id!r} have no event_timestamp, so nobody knows how old they are. Materialize again.")
    return at + LATER


def _plain(decision: Decision, seed: int) -> dict[str, object]:
    return {
        "decision_id": decision.decision_id,
        "member_id": decision.member_id,
        "surface": decision.context.surface.value,
        "decided_at": decision.decided_at.isoformat(),
        "chosen_arm": decision.chosen_arm,
        "propensity": decision.propensity,
        "propensities": dict(decision.propensities),
        "excluded": dict(decision.excluded),
        "model_version": decision.model_version,
        "seed": seed,
    }


def _table(decision: Decision, seed: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    caption = f"model version {decision.model_version}, as of {decision.decided_at.isoformat()}, seed {seed}; {len(decision.excluded)} arms not feasible"
    title = f"{escape(decision.chosen_arm)} with propensity {decision.propensity:.4f}"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for column in ("arm", "propensity", "chosen"):
        table.add_column(column, justify="right" if column == "propensity" else "left")
    ranked = sorted(decision.propensities.items(), key=lambda item: -item[1])
    for arm, p in ranked[:SHOWN]:
        table.add_row(escape(arm), f"{p:.4f}", "[green]yes[/]" if arm == decision.chosen_arm else "")
    rest = ranked[SHOWN:]
    if rest:
        table.add_row(f"[dim]{len(rest)} more[/]", f"{sum(p for _, p in rest):.4f}", "[green]yes[/]" if decision.chosen_arm in dict(rest) else "")
    Console().print(table)
