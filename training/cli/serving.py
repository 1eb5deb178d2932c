"""Commands around the decision service: run it, its keys, its kill switch, its replay."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

from training.domain.errors import ConfigError, DataError, NotReadyError, RightmatchError

keys = typer.Typer(help="API keys of the decision service.", no_args_is_help=True)
arm = typer.Typer(help="The kill switch: arms that must not be shown.", no_args_is_help=True)
consent = typer.Typer(help="Consents that members withdrew by opting out.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SCOPES = ("decide", "outcomes", "read", "admin")


def serve(overrides: dict[str, object]) -> int:
    """Become the service until Ctrl-C or SIGTERM; `overrides` (host, port, workers) win over the settings."""
    import os

    from training.cli.service_process import COMMAND, ONE_THREAD
    from training.config.settings import load_settings

    for name, value in overrides.items():
        if value is not None:
            os.environ[f"RIGHTMATCH_SERVING__{name.upper()}"] = str(value)
    load_settings()  # what is wrong is said before anything starts
    os.execve(COMMAND[0], COMMAND, {**os.environ, **ONE_THREAD})  # noqa: S606 - the service is this process from here on


def replay(decision_id: str, as_json: bool) -> int:
    """Take a kept decision again from what was stored; 0 where every probability is equal to the bit and the arm the same, else 1."""
    from training.adapters.decision_log import DecisionLog
    from training.bootstrap import platform
    from training.config.settings import load_settings
    from training.domain.served import FALLBACK
    from training.model.threads import steady

    steady()
    explain: Any = import_module("serving.explain")  # by name: the library does not know the service
    settings = load_settings()
    log = DecisionLog(settings.log_url)
    served = log.find(decision_id)
    if served is None:
        raise NotReadyError(f"There is no decision {decision_id!r} in the log {settings.log_url}, so there is nothing to take again. Check the id.")
    certain = served.group == FALLBACK  # its one arm won by definition, no model took it
    again = explain.again(served, explain.model_of(served, log, platform(settings).registry, settings))
    found = {"decision_id": decision_id, "equal": again.equal, "chosen_arm": served.chosen_arm, "replayed_arm": again.chosen_arm}
    found |= {"largest_difference": again.largest, "model_version": served.model_version, "posterior": served.posterior, "arms": len(served.feasible)}
    if as_json:
        print(json.dumps(found))
    else:
        alone = "the safe default, certain by definition" if certain else "all alike"
        whose = f"model {served.model_version}, posterior {served.posterior}" if served.model_version else f"{alone} ({served.reason.value})"
        words = "equal to the bit" if again.equal else f"NOT equal: probabilities differ by up to {again.largest:.3g}"
        print(f"{decision_id}: {served.chosen_arm} out of {len(served.feasible)} arms, {whose}: {words}.")
    return 0 if again.equal else 1


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    *,
    scope: Annotated[list[str], typer.Option(help=f"What it may do: {', '.join(SCOPES)}. Repeatable.")],
    as_json: JsonOption = False,
) -> int:
    """Make a key and print it, once: only its hash is kept."""
    token = _keys().create(name, scope, datetime.now(UTC))
    print(json.dumps({"name": name, "scopes": sorted(set(scope)), "key": token}) if as_json else token)
    return 0


@keys.command("list")
def list_keys(*, as_json: JsonOption = False) -> int:
    """Show all keys without their secrets."""
    rows = [
        {"key_id": k.key_id, "name": k.name, "scopes": sorted(k.scopes), "created_at": k.created_at.isoformat(), "revoked_at": _said(k.revoked_at)}
        for k in _keys().list()
    ]
    return _show("keys", rows, as_json)


@keys.command("revoke")
def revoke_key(key_id: str) -> int:
    """Close a key; running workers refuse it within a second."""
    if not _keys().revoke(key_id, datetime.now(UTC)):
        raise NotReadyError(f"There is no open key {key_id!r}, so nothing was revoked. `rightmatch keys list` shows their ids.")
    print(f"{key_id} is revoked.")
    return 0


@arm.command("pause")
def pause(arm_id: str) -> int:
    """Show this arm to nobody, within a second. One that is in the catalog no more may still be shown, by a service that runs since."""
    from training.config.settings import load_settings
    from training.domain.catalog import load_catalog

    log, trouble, known = _log(), "", dict[str, object]()
    try:
        known.update(load_catalog(load_settings().catalog).arms)
    except (RightmatchError, OSError) as error:
        trouble = f" {error}"
    if arm_id not in known and arm_id not in _once_known(log):
        like = f" Arms are {next(iter(known))!r} and others in arms.csv." if known else ""
        raise ConfigError(f"There is no arm {arm_id!r} in the catalog, or in one that the log keeps, so nothing was paused.{like}{trouble}")
    log.pause(arm_id, datetime.now(UTC))
    print(f"{arm_id} is paused.")
    return 0


def _once_known(log: Any) -> set[str]:  # noqa: ANN401 - as `_log` gives it
    """Arms of the catalogs that decisions were taken by; a damaged one has none."""
    from training.adapters.kept_catalogs import read

    found = set[str]()
    for content in log.catalogs():
        with suppress(DataError):
            found.update(read(content).arms)
    return found


@arm.command("resume")
def resume(arm_id: str) -> int:
    """Let this arm be shown again."""
    if not _log().resume(arm_id):
        raise NotReadyError(f"{arm_id!r} is not paused, so nothing was changed. `rightmatch arm list` shows which are.")
    print(f"{arm_id} may be shown again.")
    return 0


@arm.command("list")
def paused(*, as_json: JsonOption = False) -> int:
    """Show the paused arms."""
    return _show("paused", [{"arm_id": name} for name in sorted(_log().paused())], as_json)


@consent.command("restore")
def restore(member_id: str, channel_id: str) -> int:
    """A member who opted out of a channel agreed again."""
    if not _log().restore_consent(member_id, channel_id):
        raise NotReadyError(f"Member {member_id!r} did not withdraw consent for {channel_id!r} here, so nothing was changed. Check both ids.")
    print(f"{member_id} may be reached through {channel_id} again, where the source says so too.")
    return 0


def _log() -> Any:  # noqa: ANN401 - its module is heavy, so imported late
    from training.adapters.decision_log import DecisionLog
    from training.config.settings import load_settings

    return DecisionLog(load_settings().log_url)


def _keys() -> Any:  # noqa: ANN401 - same
    from training.adapters.log_keys import ApiKeys
    from training.config.settings import load_settings

    return ApiKeys(load_settings().log_url)


def _said(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _show(name: str, rows: Sequence[dict[str, object]], as_json: bool) -> int:
    if as_json:
        print(json.dumps({name: list(rows)}))
        return 0
    _print(name, [[", ".join(v) if isinstance(v, list) else str(v or "") for v in row.values()] for row in rows], list(rows[0]) if rows else [])
    return 0


def _print(name: str, cells: Sequence[Sequence[str]], names: Sequence[str]) -> None:
    """The first column holds ids, which other commands want whole: it is never cut. A terminal folds the others, a pipe has all the width that they need."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    least = max((len(row[0]) for row in cells), default=0) + _OTHERS * len(names)
    width = max(get_terminal_size().columns if sys.stdout.isatty() else _PIPE, least)
    table = Table(*(Column(n, overflow="fold", no_wrap=not i) for i, n in enumerate(names or [f"no {name}"])))
    for row in cells:
        table.add_row(*map(Text, row))
    Console(width=width, height=len(cells)).print(table)


_PIPE, _OTHERS = 10_000, 8
"""Characters of a line in a pipe, and those that each column has on a terminal, however narrow."""
