"""What is served of members, in memory, with the two rules of the real store: no row replaces one of a later time, and of one time the last writer wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import asdict

from training.adapters.recent import COUNTED, Counts, Found


class FakeOnline:
    """The contract of `recent.Online`; `materialize` is the other writer. `fails` are rows that are not written, as if the process were killed before."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, object]] = {}
        self.done: tuple[datetime, int] | None = None
        self.written: list[str] = []
        self.fails = False

    def materialize(self, until: datetime, rows: Mapping[str, float]) -> None:
        """Rows in which every count is the given number."""
        self._put({member: {"country": "NL", "event_timestamp": until, **dict.fromkeys(COUNTED, float(count))} for member, count in rows.items()})
        self.done = (until, self.done[1] + 1 if self.done else 1)

    def counts_online(self, member_ids: Sequence[str]) -> list[Found | None]:
        """See `recent.Online`."""
        return [Found.of(dict(self.rows.get(member, {}))) for member in member_ids]

    def write_counts(self, rows: Mapping[str, tuple[Found, Counts]]) -> int:
        """See `recent.Online`."""
        if self.fails:
            raise OSError("killed")
        same = {member: {**found.row, **asdict(counts)} for member, (found, counts) in rows.items() if self.rows[member] == found.row}
        self.written += same
        self._put(same)
        return len(same)

    def materialized(self) -> tuple[datetime, int] | None:
        """See `recent.Online`."""
        return self.done

    def counts(self, member: str) -> list[object]:
        """messages_7d, messages_28d, clicks_28d, dismissals_28d."""
        return [self.rows[member][name] for name in COUNTED]

    def _put(self, rows: Mapping[str, Mapping[str, object]]) -> None:
        for member, row in rows.items():
            before = self.rows.get(member)
            if before is None or row["event_timestamp"] >= before["event_timestamp"]:  # type: ignore[operator]
                self.rows[member] = dict(row)
