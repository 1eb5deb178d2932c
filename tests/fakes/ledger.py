"""A ledger in memory."""

from training.domain.nouns import AT, Verdict


class FakeLedger:
    """Same contract as `SqlLedger`, held in a dict."""

    def __init__(self) -> None:
        self._rows: dict[str, Verdict] = {}

    def record(self, verdict: Verdict) -> None:
        """Keep or replace by run_id."""
        self._rows[verdict.run_id] = verdict

    def verdicts(self) -> list[Verdict]:
        """Of the screen, newest first."""
        return sorted((v for v in self._rows.values() if AT not in v.run_id), key=lambda v: (v.judged_at, v.run_id), reverse=True)

    def looks(self, subject: str) -> list[Verdict]:
        """At `subject`, oldest first."""
        return sorted((v for v in self._rows.values() if v.run_id.startswith(subject + AT)), key=lambda v: (v.judged_at, v.run_id))
