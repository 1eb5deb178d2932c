"""`rightmatch lookup MEMBER_ID`: what the online store would tell a decision about this member now."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime


def lookup(member_id: str, as_json: bool) -> int:
    """Print the online features of a member; returns the exit code, 1 where the store does not know the member.

    JSON is one object in each case: {"member_id", every feature}, or {"error", "member_id", "found": false}. The error is also said on standard error.
    Raises NotReadyError if nothing was registered yet.
    """
    from training.bootstrap import platform
    from training.config.settings import load_settings

    (features,) = platform(load_settings()).features.online_members([member_id])
    if not features:
        reason = f"Member {member_id!r} is not in the online store: a decision for this member would have no features. "
        return refuse(reason + "Check the id, or materialize a day that has the member.", as_json, member_id=member_id, found=False)
    if as_json:
        print(json.dumps({"member_id": member_id, **features}, default=_plain))
    else:
        _table(member_id, features)
    return 0


def refuse(reason: str, as_json: bool, **facts: object) -> int:
    """Say on standard error why there is no answer, and with `as_json` also as an object of `facts`; returns exit code 1."""
    print(reason, file=sys.stderr)
    if as_json:
        print(json.dumps({"error": reason, **facts}))
    return 1


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form; add it to lookup.")


def _table(member_id: str, features: Mapping[str, object]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    title, caption = f"Member {escape(member_id)}, as the online store knows them", f"as of {features['event_timestamp']}"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", title_style="bold", min_width=len(title))
    table.add_column("feature")
    table.add_column("value", justify="right")
    for name, value in features.items():
        if name != "event_timestamp":
            table.add_row(name, _cell(value))
    Console().print(table)


def _cell(value: object) -> str:
    from rich.markup import escape

    if value is None:
        return "[dim]unknown[/dim]"
    return f"{value:,.6g}" if isinstance(value, float) else escape(str(value))
