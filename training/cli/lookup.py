"""`rightmatch lookup MEMBER_ID`: what the online store would tell a decision about this member now."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime


def lookup(member_id: str, as_json: bool) -> int:
    """Print the online features of a member; returns the exit code, 1 where the store does not know the member.

    Raises NotReadyError if nothing was registered yet.
    """
    from training.bootstrap import platform
    from training.config.settings import load_settings

    (features,) = platform(load_settings()).features.online_members([member_id])
    if not features:
        print(
            f"Member {member_id!r} is not in the online store: a decision for this member would have no features. "
            "Check the id, or materialize a day that has the member.",
            file=sys.stderr,
        )
        return 1
    if as_json:
        print(json.dumps({"member_id": member_id, **features}, default=_plain))
    else:
        _table(member_id, features)
    return 0


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form; add it to lookup.")


def _table(member_id: str, features: Mapping[str, object]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"Member {escape(member_id)}", caption=f"as of {features['event_timestamp']}", title_justify="left", caption_justify="left")
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
