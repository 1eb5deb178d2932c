"""Read logged bandit data and a target policy from files, and refuse what would bias the estimate, with the rows named and counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from training.domain.errors import DataError
from training.evaluation.estimators import Logged, Policy
from training.evaluation.intervals import Floats, Ints

LOG_COLUMNS = ("decision_id", "action", "propensity", "reward")
TARGET_COLUMNS = ("decision_id", "action", "probability")
SUM_TOLERANCE = 1e-3
"""Probabilities printed with few digits still pass; a forgotten action does not."""
IDS = ("decision_id", "action", "cluster")
_LEVELS = 30


@dataclass(frozen=True)
class Problem:
    """One off-policy question: the log, the target on the same decisions, features [n, d] for DR, the names of the action codes, and what is odd."""

    log: Logged
    target: Policy
    features: Floats
    actions: tuple[str, ...]
    notes: tuple[str, ...]


def read_table(path: Path, *, ids: tuple[str, ...] = ()) -> pa.Table:
    """A .parquet, .csv or .csv.gz file; the columns in `ids` are read as text so that 007 stays 007. Raises DataError naming the file."""
    if path.is_dir():
        raise DataError(f"{path} is a folder, so it is unclear what to judge. Give the path of one .parquet, .csv or .csv.gz file.")
    if not path.is_file():
        raise DataError(f"There is no file {path}, so there is nothing to judge. Give the path of a .parquet, .csv or .csv.gz file.")
    name = path.name.lower()
    try:
        if name.endswith((".parquet", ".pq")):
            table = pq.read_table(path, partitioning=None)
        elif name.endswith((".csv", ".csv.gz")):
            options = pacsv.ConvertOptions(column_types=dict.fromkeys(ids, pa.string()))
            table = pacsv.read_csv(path, convert_options=options)
        else:
            raise DataError(f"{path.name} is of no kind that can be read. Give a .parquet, .csv or .csv.gz file.")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a table, so nothing was judged: {error}") from error
    twice = sorted({c for c in table.column_names if table.column_names.count(c) > 1})
    if twice:
        raise DataError(f"{path} has several columns named {', '.join(twice)}: it is unclear which one is meant. Rename or remove the others.")
    return table


def build(log: pa.Table, target: pa.Table) -> Problem:
    """Check both tables and code their ids. Raises DataError for anything that would make an estimate wrong or meaningless."""
    _require(log, LOG_COLUMNS, "log")
    _require(target, TARGET_COLUMNS, "target")
    ids, wanted, _ = _codes(log, target, "decision_id")
    n = log.num_rows
    _refuse(pd.Series(ids).duplicated().to_numpy(), log, "log", "repeat an earlier decision_id: each would count twice", "Keep one row per decision")
    action, target_action, actions = _codes(log, target, "action")
    propensity = _numbers(log, "propensity", "log")
    why = "have a propensity outside of (0, 1]: their weight would be wrong or infinite"
    _refuse(~((propensity > 0) & (propensity <= 1)), log, "log", why, "Log the probability with which the action was drawn")
    reward = _numbers(log, "reward", "log")
    cluster = _codes(log, None, "cluster")[0] if "cluster" in log.column_names else np.arange(n, dtype=np.int64)
    policy, notes = _policy(log, target, ids, wanted, target_action)
    unseen = float(policy.p[~np.isin(policy.action, action)].sum()) / n
    if unseen > 0.0:
        notes.append(f"{unseen:.1%} of the target's probability lies on actions that the log never took: nothing was seen of them.")
    return Problem(Logged(action, propensity, reward, cluster), policy, features(log), actions, tuple(notes))


def _policy(log: pa.Table, target: pa.Table, ids: Ints, wanted: Ints, action: Ints) -> tuple[Policy, list[str]]:
    """Order the target's rows as the log's decisions; check that each decision has probabilities that sum to 1."""
    p = _numbers(target, "probability", "target")
    _refuse(~((p >= 0) & (p <= 1 + SUM_TOLERANCE)), target, "target", "have a probability outside of [0, 1]", "Write probabilities, not scores")
    place = np.full(int(max(ids.max(), wanted.max(initial=0))) + 1, -1, dtype=np.int64)
    place[ids] = np.arange(len(ids))
    row = place[wanted]
    _refuse(_repeated(wanted, action), target, "target", "repeat an action of the same decision", "Give each action of a decision once")
    order = _order(row)
    row, act, prob = row[order], action[order], p[order]
    counts = np.bincount(row, minlength=len(ids))
    _refuse(counts == 0, log, "log", "have no row in the target: what it would do there is unknown", "Add their probabilities")
    total = np.bincount(row, weights=prob, minlength=len(ids))
    why = "have target probabilities that do not sum to 1"
    detail = f" (the first sums to {total[np.abs(total - 1) > SUM_TOLERANCE][:1].sum():.6g})"
    _refuse(np.abs(total - 1) > SUM_TOLERANCE, log, "log", why + detail, "List every action with a probability above 0")
    extra = len(np.unique(wanted[place[wanted] < 0]))
    notes = [f"{extra} decisions of the target are not in the log and were left out."] if extra else []
    return Policy(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), act, prob), notes


def _repeated(decision: Ints, action: Ints) -> npt.NDArray[np.bool_]:
    """Which entries repeat an earlier pair. Sorting the pairs alone is much faster than finding which row repeats, and nearly always enough."""
    key = decision * (int(action.max()) + 1) + action
    ordered = np.sort(key)
    if (ordered[1:] != ordered[:-1]).all():
        return np.zeros(len(key), dtype=bool)
    return np.asarray(pd.Series(key).duplicated().to_numpy(), dtype=bool)


def _order(row: Ints) -> Ints:
    """Indices of the entries whose decision is in the log (row >= 0), by decision; most files have that order already."""
    known = np.flatnonzero(row >= 0)
    kept = row[known]
    return known if (kept[1:] >= kept[:-1]).all() else known[np.argsort(kept, kind="stable")]


def features(log: pa.Table) -> Floats:
    """Standardised design [n, d] of all `x_*` columns: numbers with their missing flag, text as indicators of its commonest values."""
    columns: list[Floats] = []
    for name in (c for c in log.column_names if c.startswith("x_")):
        if pa.types.is_nested(log[name].type):
            raise DataError(f"Feature {name} of the log holds {log[name].type}, which is not one value a row. Give numbers or text, one column each.")
        series = log[name].to_pandas()
        if pd.api.types.is_numeric_dtype(series):
            values = series.astype("float64").replace([np.inf, -np.inf], np.nan)
            columns += [values.fillna(values.mean() if values.notna().any() else 0.0).to_numpy(), values.isna().to_numpy(dtype=np.float64)]
        else:
            text = series.astype("string").fillna("")
            columns += [(text == level).to_numpy(dtype=np.float64) for level in text.value_counts().index[:_LEVELS]]
    kept = [(c - c.mean()) / c.std() for c in columns if c.std() > 1e-12 * max(1.0, float(np.abs(c).max()))]
    return np.column_stack(kept) if kept else np.zeros((log.num_rows, 0))


def _require(table: pa.Table, columns: tuple[str, ...], which: str) -> None:
    missing = [c for c in columns if c not in table.column_names]
    if missing:
        have = ", ".join(table.column_names)
        raise DataError(f"The {which} lacks the column(s) {', '.join(missing)}; it has {have}. It needs {', '.join(columns)}.")
    if table.num_rows == 0:
        raise DataError(f"The {which} has no rows, so there is nothing to judge. Give at least one decision.")


def _text(table: pa.Table, column: str, which: str) -> pa.ChunkedArray:
    values = table[column]
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    try:
        if pa.types.is_floating(values.type):
            values = values.cast(pa.int64())  # 1e15 would be written in another way than the integer that it is
    except pa.ArrowException:
        pass
    try:
        return values.cast(pa.large_string())
    except pa.ArrowException as error:
        raise DataError(f"Column {column} of the {which} holds {values.type}, which cannot name anything. Give numbers or text.") from error


def _codes(log: pa.Table, target: pa.Table | None, column: str) -> tuple[Ints, Ints, tuple[str, ...]]:
    """Codes of one id column in both tables. 3, 3.0 and "3" are the same id, whatever type a file gave it."""
    parts = [(log, "log")] if target is None else [(log, "log"), (target, "target")]
    for table, which in parts:
        text = _text(table, column, which)
        empty = pc.or_(text.is_null(), pc.equal(pc.fill_null(text, ""), ""))
        _refuse(empty.to_numpy(), table, which, f"have no {column}", "Fill it in or remove them")
    joined = pa.chunked_array([chunk for table, which in parts for chunk in _text(table, column, which).chunks], type=pa.large_string())
    encoded = joined.combine_chunks().dictionary_encode()
    plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(encoded.dictionary), r"^(-?\d+)\.0+$", r"\1")
    merged = plain.dictionary_encode()
    codes = merged.indices.to_numpy(zero_copy_only=False).astype(np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
    return codes[: log.num_rows], codes[log.num_rows :], tuple(merged.dictionary.to_pylist()) if column == "action" else ()


def _numbers(table: pa.Table, column: str, which: str) -> Floats:
    """A finite float column. Text that is not a number, missing values and infinities are refused with their count."""
    values = table[column]
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    out: Floats = np.asarray(pd.to_numeric(values.to_pandas(), errors="coerce"), dtype=np.float64)
    _refuse(~np.isfinite(out), table, which, f"have a {column} that is missing or not a finite number", "Correct or remove them")
    return out


def _refuse(bad: npt.NDArray[np.bool_], table: pa.Table, which: str, why: str, remedy: str) -> None:
    if not bad.any():
        return
    rows = np.flatnonzero(bad)[:5]
    samples = ", ".join(repr(v) for v in pc.take(table["decision_id"], pa.array(rows)).to_pylist())
    raise DataError(f"{int(bad.sum())} of {len(bad)} rows of the {which} {why} (decision_id {samples}). {remedy}.")
