"""What Airflow calls when a roll-back was not acknowledged in time. Replace it by the company's pager."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


def tell(hours: float) -> None:
    """Log it as critical."""
    log.critical("Nobody has acknowledged a roll-back within %g h. Open the DAG `incident`, Required Actions; docs/runbook.md says what to look at.", hours)
