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
from training.evaluation.columns import numbers, plain, text
from training.evaluation.features import features
from training.evaluation.intervals import Floats, Ints
from training.evaluation.logged import Logged, Policy
from training.evaluation.magnitude import unit

LOG_COLUMNS = ("decision_id", "action", "propensity", "reward")
TARGET_COLUMNS = ("decision_id", "action", "probability")
SUM_TOLERANCE = 1e-3
"""Probabilities printed with few digits still pass; a forgotten action does not."""
IDS = ("decision_id", "action", "cluster")
SMALLEST = 1e-30
"""Propensities below were not drawn from: no log is that long, and one such weight would swamp every other row."""


@dataclass(frozen=True)
class Problem:
    """One off-policy question: the log, the target on the same decisions, features [n, d] for DR, the names of the action codes, and what is odd.

    The log's rewards are in units of `unit`, a power of two, so that their squares are finite.
    """

    log: Logged
    target: Policy
    features: Floats
    actions: tuple[str, ...]
    notes: tuple[str, ...]
    unit: float


def read_table(path: Path, *, ids: tuple[str, ...] = ()) -> pa.Table:
    """A .parquet, .csv or .csv.gz file; the columns in `ids` are read as text so that 007 stays 007. Raises DataError naming the file."""
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise DataError(f"{str(path)[:80]} cannot be a file, so there is nothing to judge: {error.strerror}. Give another path.") from error
    if is_folder:
        raise DataError(f"{path} is a folder, so it is unclear what to judge. Give the path of one .parquet, .csv or .csv.gz file.")
    if not is_file:
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
    why = f"have a propensity below {SMALLEST:g}: an action that unlikely is never drawn, and its weight would swamp all others"
    _refuse(propensity < SMALLEST, log, "log", why, "Log the probability with which the action was drawn")
    reward = _numbers(log, "reward", "log")
    size = unit(reward)
    cluster = _codes(log, None, "cluster")[0] if "cluster" in log.column_names else np.arange(n, dtype=np.int64)
    policy, notes = _policy(log, target, ids, wanted, target_action)
    return Problem(Logged(action, propensity, reward / size, cluster), policy, features(log), actions, tuple(notes), size)


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


def _require(table: pa.Table, columns: tuple[str, ...], which: str) -> None:
    missing = [c for c in columns if c not in table.column_names]
    if missing:
        have = ", ".join(table.column_names)
        raise DataError(f"The {which} lacks the column(s) {', '.join(missing)}; it has {have}. It needs {', '.join(columns)}.")
    if table.num_rows == 0:
        raise DataError(f"The {which} has no rows, so there is nothing to judge. Give at least one decision.")


def _codes(log: pa.Table, target: pa.Table | None, column: str) -> tuple[Ints, Ints, tuple[str, ...]]:
    """Codes of one id column in both tables. 3, 3.0 and "3" are the same id, whatever type a file gave it."""
    parts = [(log, "log")] if target is None else [(log, "log"), (target, "target")]
    chunks = [chunk for table, which in parts for chunk in _text(table, column, which).chunks]
    encoded = pa.chunked_array(chunks, type=pa.large_string()).combine_chunks().dictionary_encode()
    merged = plain(encoded.dictionary).dictionary_encode()
    names = tuple(merged.dictionary.to_pylist())
    code = np.append(merged.indices.to_numpy(zero_copy_only=False), -1).astype(np.int64)
    if "" in names:
        code[code == names.index("")] = -1
    codes = code[pc.fill_null(encoded.indices, len(code) - 1).to_numpy(zero_copy_only=False)]
    found = codes[: log.num_rows], codes[log.num_rows :]
    for (table, which), mine in zip(parts, found, strict=False):
        _refuse(mine < 0, table, which, f"have no {column}", "Fill it in or remove them")
    return *found, names


def _numbers(table: pa.Table, column: str, which: str) -> Floats:
    """A finite float column. Text that is not a number, missing values and infinities are refused with their count."""
    out = numbers(table[column], f"Column {column} of the {which}")
    _refuse(~np.isfinite(out), table, which, f"have a {column} that is missing or not a finite number", "Correct or remove them")
    return out


def _text(table: pa.Table, column: str, which: str) -> pa.ChunkedArray:
    return text(table[column], f"Column {column} of the {which}")


def _refuse(bad: npt.NDArray[np.bool_], table: pa.Table, which: str, why: str, remedy: str) -> None:
    if not bad.any():
        return
    rows = np.flatnonzero(bad)[:5]
    samples = ", ".join(repr(v) for v in pc.take(_text(table, "decision_id", which), pa.array(rows)).to_pylist())
    raise DataError(f"{int(bad.sum())} of {len(bad)} rows of the {which} {why} (decision_id {samples}). {remedy}.")
