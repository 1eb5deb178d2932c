"""The feature store: Feast over the exported marts. Feast itself is imported on first use (it takes seconds)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from training.adapters.feast_quiet import quiet
from training.config.settings import Settings
from training.domain.errors import DataError, NotReadyError
from training.domain.schema import ARM_FEATURES, ARM_VIEW, MEMBER_FEATURES, MEMBER_VIEW, Table

if TYPE_CHECKING:
    from feast import FeatureStore as Feast

VIEWS: Mapping[str, Table] = {MEMBER_VIEW: MEMBER_FEATURES, ARM_VIEW: ARM_FEATURES}
"""Each view and the mart that it reads."""

ENTITY_COLUMNS = ("member_id", "arm_id", "event_timestamp")
"""What `training_frame` needs of each decision."""

_ROW = "rightmatch_row"


@cache
def feature_names(table: Table) -> tuple[str, ...]:
    """Feature columns of a feature mart: everything but its key and its two times."""
    return tuple(name for name in table.names if name not in {*table.key, "event_timestamp", "created_timestamp"})


def frame_columns() -> tuple[str, ...]:
    """The columns that `training_frame` adds, in order: member features, then arm features prefixed `arm_`."""
    return (*feature_names(MEMBER_FEATURES), *(f"arm_{name}" for name in feature_names(ARM_FEATURES)))


class FeastStore:
    """Implements `training.adapters.ports.FeatureStore`. Hold one instance a process: two thrash a global cache of Feast."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def apply(self) -> None:
        """Register `feature_repo/definitions.py`. Raises NotReadyError if a mart that it reads was not exported yet."""
        for table in VIEWS.values():
            self._mart(table)
        with quiet():
            self._feast.apply(list(self._definitions))

    def materialize(self, until: datetime) -> int:
        """Bring the online store up to `until` (aware); returns rows written, one an entity and view.

        Reads only rows that are still valid at `until` (event time within the feature TTL before it), the newest of each entity. A rerun
        writes the same rows. An `until` before what a view already has is skipped: backfills never take today's features away.
        """
        written = 0
        for view, table in VIEWS.items():
            reached = self._reached(view)
            if reached is not None and until < reached:
                print(f"{view} is already online up to {reached.isoformat()}: {until.isoformat()} is skipped, so that older features replace none.")
                continue
            start = until - self._ttl
            rows = self._count(table, start, until)
            if rows:
                with quiet():
                    self._feast.materialize(start_date=start, end_date=until, feature_views=[view])
            print(f"{view}: {rows:,} rows written online, as of {until.isoformat()}.")
            written += rows
        return written

    def training_frame(self, decisions: pd.DataFrame) -> pd.DataFrame:
        """`decisions` plus the features known at each row's event_timestamp (aware, UTC), in the same order.

        Known means: event time and created time both at or before the decision, and not older than the feature TTL. Member features keep
        their names, arm features are prefixed `arm_`; NULL where nothing was known. Raises DataError if a column is missing or clashes.
        """
        _check_entities(decisions)
        if decisions.empty:
            return decisions.assign(**{name: pd.Series(dtype="object") for name in frame_columns()})
        entities = decisions.loc[:, list(ENTITY_COLUMNS)].reset_index(drop=True)
        entities[_ROW] = range(len(entities))
        for table in VIEWS.values():
            self._mart(table)
        with quiet():
            job = self._feast.get_historical_features(
                entity_df=entities,
                features=self._definitions.matching,
                full_feature_names=True,
                filter_by_created_timestamp=True,
            )
            joined = job.to_df().sort_values(_ROW, ignore_index=True)
        if len(joined) != len(decisions):
            raise DataError(
                f"The point-in-time join returned {len(joined)} rows for {len(decisions)} decisions: some would be learned twice. "
                "Look for repeated keys in the feature marts."
            )
        features = joined.loc[:, list(_full_names())].rename(columns=_full_names())
        features.index = decisions.index
        return pd.concat([decisions, features], axis=1)

    @property
    def local(self) -> bool:
        """Whether what is online lies in our packed file."""
        from training.adapters.feast_online import PackedSqliteOnlineStoreConfig

        return isinstance(self._feast.config.online_store, PackedSqliteOnlineStoreConfig)

    def online_members(self, member_ids: Sequence[str]) -> list[dict[str, object]]:
        """Online member features plus `consents` and `event_timestamp`, one dict a member in order; unknown members give {}."""
        return self._online(MEMBER_VIEW, "member_id", member_ids)

    def online_arms(self, arm_ids: Sequence[str]) -> list[dict[str, object]]:
        """Online arm features plus `event_timestamp`, one dict an arm in order; unknown arms give {}."""
        return self._online(ARM_VIEW, "arm_id", arm_ids)

    def _online(self, view: str, key: str, ids: Sequence[str]) -> list[dict[str, object]]:
        if not ids:
            return []
        from feast.errors import FeatureViewNotFoundException

        from training.adapters.feast_response import PackedResponse

        try:
            response = self._feast.get_online_features(features=self._references[view], entity_rows=[{key: i} for i in ids])
        except FeatureViewNotFoundException as error:
            raise NotReadyError(
                f"View {view} is not registered in the feature store: no {key} can be looked up. Run the feature DAG (`rightmatch run`) first."
            ) from error
        if isinstance(response, PackedResponse):  # Feast's columns would only be turned into rows again
            return response.each(feature_names(VIEWS[view]))
        return list(_rows(response.to_dict(include_event_timestamps=True), feature_names(VIEWS[view]), len(ids)))

    @cached_property
    def _feast(self) -> Feast:
        from training.adapters.feast_config import open_feast

        return open_feast(self._settings)

    @cached_property
    def _definitions(self) -> Any:  # noqa: ANN401 - a NamedTuple of a file that is no package
        from training.adapters.feast_config import load_definitions

        return load_definitions().define(self._settings.marts.resolve(), self._ttl)

    @cached_property
    def _references(self) -> dict[str, list[str]]:
        return {view: [f"{view}:{name}" for name in feature_names(table)] for view, table in VIEWS.items()}

    @property
    def _ttl(self) -> timedelta:
        return timedelta(days=self._settings.feature_ttl_days)

    def _reached(self, view: str) -> datetime | None:
        from feast.errors import FeatureViewNotFoundException

        try:
            reached: datetime | None = self._feast.registry.get_feature_view(view, self._feast.project).most_recent_end_time
        except FeatureViewNotFoundException as error:
            raise NotReadyError(f"View {view} is not registered, so there is nowhere to write its features. Call apply() first.") from error
        return reached

    def _mart(self, table: Table) -> str:
        path = self._settings.marts.resolve() / f"{table.name}.parquet"
        if not path.is_file():
            raise NotReadyError(f"The mart {path} does not exist, so there are no features to read. Run the warehouse build (`rightmatch run`) first.")
        return str(path)

    def _count(self, table: Table, start: datetime, until: datetime) -> int:
        import duckdb

        key = table.key[0]
        query = f"select count(distinct {key}) from read_parquet(?) where event_timestamp between ?::timestamptz and ?::timestamptz"  # noqa: S608 - names of our schema
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            row = connection.execute(query, [self._mart(table), start.isoformat(), until.isoformat()]).fetchone()
        return int(row[0]) if row else 0


def _full_names() -> dict[str, str]:
    """Feast's name of each feature -> our name in the training frame."""
    members = {f"{MEMBER_VIEW}__{name}": name for name in feature_names(MEMBER_FEATURES)}
    return members | {f"{ARM_VIEW}__{name}": f"arm_{name}" for name in feature_names(ARM_FEATURES)}


def _check_entities(decisions: pd.DataFrame) -> None:
    missing = [name for name in ENTITY_COLUMNS if name not in decisions.columns]
    clash = [name for name in frame_columns() if name in decisions.columns]
    if missing or clash:
        raise DataError(
            f"Decisions lack the column(s) {missing} or already have {clash}: the join would be ambiguous. "
            f"Give {', '.join(ENTITY_COLUMNS)} and no feature columns."
        )
    if not isinstance(decisions["event_timestamp"].dtype, pd.DatetimeTZDtype):
        raise DataError("event_timestamp carries no time zone, so features of the wrong hour could be joined. Convert it to UTC first.")


def _rows(answer: Mapping[str, Sequence[Any]], names: Sequence[str], count: int) -> Iterator[dict[str, object]]:
    """One dict an entity; {} where Feast has no event time, that is, no row."""
    for i in range(count):
        seconds = max(answer[f"{name}__ts"][i] for name in names)
        if seconds <= 0:
            yield {}
        else:
            yield {name: answer[name][i] for name in names} | {"event_timestamp": datetime.fromtimestamp(seconds, UTC)}
