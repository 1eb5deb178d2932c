"""Customers as raw tables.

The data are one experiment without clock times, so the times here are a convention:

- first day: members as they were known, with the purchase `recency` months (of 30 days) ago;
- second day, noon: one decision each, uniform over `none` and the two e-mails (propensity 1/3, which is how the experiment was randomised);
- a day later: a visit to the site (`activity`), two hours after it the purchase (`conversion`, worth what was spent);
- last day, 15 days after the decision: nothing; `converted` and `visited` (14 days) are mature by then, `retained` (28 days) never is.

Column by column: region = zip_code, interest = what was bought before, acquisition_channel = channel (where earlier purchases were made),
lifetime_value = history. `newbie` (first purchase within a year) gives signup_at: half a year ago, or at the last purchase if that is
longer ago; two years ago for the others.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sources.hillstrom.read import SEGMENTS
from sources.write import empty
from training.domain.catalog import Catalog
from training.domain.errors import ConfigError
from training.domain.nouns import NONE, Surface
from training.domain.schema import RAW

ARMS = dict(zip(SEGMENTS, (NONE, "mens.mens_mail.email", "womens.womens_mail.email"), strict=True))
GROUP = "random"
"""Assignment group of each decision: the randomised experiment."""
DECIDED_AFTER, LAST_AFTER = 1, 16
"""Days from the first day to the decisions, and to the last day."""
_DAY, _HOUR, _SECOND = 86_400_000_000, 3_600_000_000, 1_000_000
_MONTH, _NEW, _OLD = 30 * _DAY, 182 * _DAY, 730 * _DAY

Ints = NDArray[np.int64]


def tables_by_day(customers: pa.Table, start: date, catalog: Catalog) -> dict[date, dict[str, pa.Table]]:
    """All five raw tables of every day from `start` to the last one, empty where nothing happened.

    Raises ConfigError if the catalog does not offer exactly the experiment's choices.
    """
    feasible = catalog.feasible(Surface.OUTBOUND, ())
    if sorted(feasible) != sorted(ARMS.values()):
        raise ConfigError(
            f"The catalog offers {', '.join(feasible)}, but the experiment chose among {', '.join(ARMS.values())}: "
            "its propensities of 1/3 would be wrong. Use the seeds in dbt/seeds/hillstrom."
        )
    noon = int(np.datetime64(start, "us").astype(np.int64)) + DECIDED_AFTER * _DAY + 12 * _HOUR
    days = {start + timedelta(days=k): {name: empty(name) for name in RAW} for k in range(LAST_AFTER + 1)}
    decided, answered = start + timedelta(days=DECIDED_AFTER), start + timedelta(days=DECIDED_AFTER + 1)
    days[start] |= {"members": _members(customers, start, noon), "activity": _history(customers, noon)}
    days[decided] |= {"decisions": _decisions(customers, noon, feasible), "outcomes": _impressions(customers, noon)}
    days[answered] |= {"activity": _answers(customers, noon + _DAY), "outcomes": _conversions(customers, noon + _DAY)}
    return days


def _members(customers: pa.Table, start: date, noon: int) -> pa.Table:
    bought_ago = _ints(customers, "recency") * _MONTH
    age = np.where(_ints(customers, "newbie") == 1, np.maximum(bought_ago, _NEW), _OLD)
    interest = np.array(["neither", "mens", "womens", "both"])[_ints(customers, "mens") + 2 * _ints(customers, "womens")]
    return pa.table(
        {
            "member_id": _ids("c", _all(customers)),
            "signup_at": _times(noon - age),
            "region": customers["zip_code"],
            "interest": pa.array(interest),
            "acquisition_channel": customers["channel"],
            "lifetime_value": customers["history"],
            "consents": _same("", customers.num_rows),
            "updated_at": _times(np.full(customers.num_rows, np.datetime64(start, "us").astype(np.int64))),
        }
    )


def _history(customers: pa.Table, noon: int) -> pa.Table:
    who = _all(customers)
    return _activity("h", who, "purchase", noon - _ints(customers, "recency") * _MONTH)


def _answers(customers: pa.Table, at: int) -> pa.Table:
    visited, bought = _where(customers, "visit"), _where(customers, "conversion")
    visits = _activity("v", visited, "visit", np.full(len(visited), at))
    return pa.concat_tables([visits, _activity("p", bought, "purchase", np.full(len(bought), at + 2 * _HOUR))])


def _decisions(customers: pa.Table, noon: int, feasible: list[str]) -> pa.Table:
    n, width = customers.num_rows, len(feasible)
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * width)
    return pa.table(
        {
            "decision_id": _ids("d", _all(customers)),
            "member_id": _ids("c", _all(customers)),
            "decided_at": _times(np.full(n, noon)),
            "surface": _same(Surface.OUTBOUND.value, n),
            "feasible_arms": pa.ListArray.from_arrays(offsets, pa.array(feasible * n, pa.string())),
            "propensities": pa.ListArray.from_arrays(offsets, pa.array(np.full(n * width, 1.0 / width))),
            "chosen_arm": _arms(customers),
            "propensity": pa.array(np.full(n, 1.0 / width)),
            "assignment_group": _same(GROUP, n),
        }
    )


def _impressions(customers: pa.Table, noon: int) -> pa.Table:
    shown = np.flatnonzero(np.asarray(pc.not_equal(_arms(customers), NONE)))
    return _outcomes("impression", shown, pa.nulls(len(shown), pa.float64()), noon + _SECOND)


def _conversions(customers: pa.Table, at: int) -> pa.Table:
    bought = _where(customers, "conversion")
    return _outcomes("conversion", bought, customers["spend"].combine_chunks().take(pa.array(bought)), at + 2 * _HOUR)


def _outcomes(kind: str, who: Ints, value: pa.Array, at: int) -> pa.Table:
    columns = {"outcome_id": _ids(f"{kind}-", who), "decision_id": _ids("d", who), "kind": _same(kind, len(who)), "value": value}
    return pa.table(columns | {"occurred_at": _times(np.full(len(who), at))})


def _activity(prefix: str, who: Ints, kind: str, at: Ints) -> pa.Table:
    return pa.table({"event_id": _ids(prefix, who), "member_id": _ids("c", who), "kind": _same(kind, len(who)), "occurred_at": _times(at)})


def _arms(customers: pa.Table) -> pa.Array:
    return pa.array(list(ARMS.values())).take(pc.index_in(customers["segment"].combine_chunks(), pa.array(list(ARMS))))


def _all(customers: pa.Table) -> Ints:
    return np.arange(customers.num_rows)


def _where(customers: pa.Table, flag: str) -> Ints:
    return np.flatnonzero(_ints(customers, flag))


def _ints(customers: pa.Table, name: str) -> Ints:
    values: Ints = customers[name].to_numpy()
    return values


def _ids(prefix: str, rows: Ints) -> pa.Array:
    """Id of the customer in each row of the file, counted from 1: `c00017`."""
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(pa.array(rows + 1).cast(pa.string()), 5, "0"), "")


def _same(word: str, n: int) -> pa.Array:
    return pa.array([word] * n, pa.string())


def _times(us: Ints) -> pa.Array:
    return pa.array(us.astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC"))
