"""A ledger in memory."""

from training.domain.nouns import Verdict


class FakeLedger:
    """Same contract as `SqlLedger`, held in a dict."""

    def __init__(self) -> None:
        self._rows: dict[str, Verdict] = {}

    def record(self, verdict: Verdict) -> None:
        """Keep or replace by run_id."""
        self._rows[verdict.run_id] = verdict

    def verdicts(self) -> list[Verdict]:
        """Newest first."""
        return sorted(self._rows.values(), key=lambda v: (v.judged_at, v.run_id), reverse=True)
