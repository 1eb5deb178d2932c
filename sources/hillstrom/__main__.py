"""`python -m sources.hillstrom --data FILE`: import the challenge's file into an inbox. It is one experiment: a later run adds nothing."""

from __future__ import annotations

import sys
from collections import Counter

from sources.arguments import parser
from sources.hillstrom.read import read_customers
from sources.hillstrom.rows import tables_by_day
from sources.write import report, write_day
from training.domain.catalog import load_catalog
from training.domain.errors import RightmatchError
from training.domain.schema import RAW


def main() -> int:
    """Run; one JSON object as the last line on standard output. 1 with the reason on standard error if nothing can be imported."""
    a = parser("hillstrom", __doc__ or "").parse_args()
    try:
        days = tables_by_day(read_customers(a.data), a.start, load_catalog(a.catalog))
    except RightmatchError as error:
        print(error, file=sys.stderr)
        return 1
    total: Counter[str] = Counter()
    for day, tables in days.items():
        total.update(write_day(a.out, day, tables))
    print(report(min(days), max(days), {name: total[name] for name in RAW}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
