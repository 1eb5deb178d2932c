from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from training.domain.errors import DataError
from training.evaluation.tables import IDS, build, read_table

NOT_TEXT = pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(np.arange(4, dtype=np.int32)), pa.py_buffer(b"\xff" * 3)])
"""Bytes that are no UTF-8, as a file may well hold."""


def log(**columns):
    """Three decisions; `columns` replace or add."""
    return pa.table({"decision_id": ["a", "b", "c"], "action": ["x", "y", "x"], "propensity": [0.5, 0.5, 0.25], "reward": [1, 0, 1]} | columns)


def target(**columns):
    """Probabilities of two actions for each decision of `log`; `columns` replace or add."""
    long = {"decision_id": ["a", "a", "b", "b", "c", "c"], "action": ["x", "y"] * 3, "probability": [0.4, 0.6, 1.0, 0.0, 0.3, 0.7]}
    return pa.table(long | columns)


def test_ids_match_whatever_their_order_and_type():
    """The target may come in any order, with 1 for "1" and 1.0 for 1; actions that it leaves out have probability 0."""
    problem = build(
        log(decision_id=[1.0, 2.0, 3.0], action=[10, 20, 10]),
        pa.table({"decision_id": ["3", "1", "2", "1"], "action": ["10", "20.0", "10", "10"], "probability": [1.0, 0.25, 1.0, 0.75]}),
    )
    named = [problem.actions[a] for a in problem.target.action]
    assert problem.target.offsets.tolist() == [0, 2, 3, 4]
    assert list(zip(named, problem.target.p.tolist(), strict=True)) == [("20", 0.25), ("10", 0.75), ("10", 1.0), ("10", 1.0)]
    assert [problem.actions[a] for a in problem.log.action] == ["10", "20", "10"]
    assert problem.notes == ()


def test_without_a_cluster_each_row_is_its_own():
    """With the column, equal values share a code."""
    assert build(log(), target()).log.cluster.tolist() == [0, 1, 2]
    assert build(log(cluster=["m", "n", "m"]), target()).log.cluster.tolist() == [0, 1, 0]


def test_foreign_decisions_are_a_note():
    """They are not wrong, but a reader must know. An action that only the target knows gets a code of its own."""
    more = target(decision_id=["a", "a", "b", "b", "c", "z"], action=["x", "y", "x", "y", "new", "x"], probability=[0.4, 0.6, 1.0, 0.0, 1.0, 1.0])
    problem = build(log(), more)
    assert problem.notes == ("1 decisions of the target are not in the log and were left out.",)
    assert problem.actions == ("x", "y", "new")


@pytest.mark.parametrize(
    ("logged", "wanted", "said"),
    [
        ({"decision_id": ["a", "a", "c"]}, {}, "1 of 3 rows of the log repeat an earlier decision_id"),
        ({"decision_id": ["a", None, "c"]}, {}, "1 of 3 rows of the log have no decision_id"),
        ({"action": ["x", "", "x"]}, {}, "1 of 3 rows of the log have no action (decision_id 'b')"),
        ({"propensity": [0.5, 0.0, 0.5]}, {}, "1 of 3 rows of the log have a propensity outside of (0, 1]"),
        ({"propensity": [0.5, 1.5, 0.5]}, {}, "propensity outside of (0, 1]"),
        ({"propensity": [0.5, np.nan, 0.5]}, {}, "1 of 3 rows of the log have a propensity that is missing"),
        ({"propensity": ["a", "b", "c"]}, {}, "3 of 3 rows of the log have a propensity that is missing or not a finite number"),
        ({"reward": [1.0, np.inf, None]}, {}, "2 of 3 rows of the log have a reward that is missing"),
        ({"cluster": ["m", None, "m"]}, {}, "have no cluster"),
        (
            {"decision_id": [1.0, float("nan"), 3.0]},
            {"decision_id": [1.0, 1.0, float("nan"), float("nan"), 3.0, 3.0]},
            "1 of 3 rows of the log have no decision_id",
        ),
        ({"decision_id": ["a", "  ", "c"]}, {}, "1 of 3 rows of the log have no decision_id"),
        ({"propensity": [0.5, 1e-310, 0.5]}, {}, "1 of 3 rows of the log have a propensity below 1e-30"),
        ({"reward": pa.array([1, 2, 3], pa.timestamp("us"))}, {}, "Column reward of the log holds times (timestamp[us])"),
        ({"reward": pa.array([1, 2, 3], pa.duration("us"))}, {}, "Column reward of the log holds times"),
        ({"reward": pa.array([1, 2, 3], pa.date32())}, {}, "Column reward of the log holds times"),
        ({"reward": [b"\xff"] * 3}, {}, "Column reward of the log holds binary, which is no number"),
        ({"reward": [[1], [2], [3]]}, {}, "Column reward of the log holds list"),
        ({"cluster": [b"\xff"] * 3}, {}, "Column cluster of the log holds binary"),
        ({"cluster": pa.array([1, 2, 3], pa.timestamp("us", "Mars/Phobos"))}, {}, "Column cluster of the log holds timestamp"),
        ({"cluster": pa.array([-5, 2, 3], pa.time64("us"))}, {}, "Column cluster of the log holds a value that is not valid time64"),
        ({"x_place": [b"\xff"] * 3}, {}, "Feature x_place of the log holds binary"),
        ({"x_place": NOT_TEXT}, {}, "Feature x_place of the log holds a value that is not valid string"),
        ({"x_place": pa.array([1, 2, 3], pa.timestamp("us", "Mars/Phobos"))}, {}, "Feature x_place of the log holds timestamp"),
        ({"action": [["x"], ["y"], ["x"]]}, {}, "Column action of the log holds list"),
        ({"x_place": [[1], [2], [3]]}, {}, "Feature x_place of the log holds list"),
        ({}, {"probability": [0.4, 0.4, 1.0, 0.0, 0.3, 0.7]}, "1 of 3 rows of the log have target probabilities that do not sum to 1 (the first sums to 0.8)"),
        ({}, {"probability": [0.4, 0.6, 1.0, 0.0, -0.3, 1.3]}, "2 of 6 rows of the target have a probability outside of [0, 1]"),
        ({}, {"probability": [0.4, np.nan, 1.0, 0.0, 0.3, 0.7]}, "1 of 6 rows of the target have a probability that is missing"),
        ({}, {"action": ["x", "x", "x", "y", "x", "y"]}, "1 of 6 rows of the target repeat an action of the same decision"),
        ({}, {"decision_id": ["a", "a", "a", "a", "c", "c"], "action": ["x", "y", "z", "w", "x", "y"]}, "1 of 3 rows of the log have no row in the target"),
    ],
)
def test_what_would_bias_is_refused(logged, wanted, said):
    """Each refusal counts the rows and names the first."""
    with pytest.raises(DataError, match=re.escape(said)):
        build(log(**logged), target(**wanted))


def test_missing_columns_and_empty_tables_are_refused():
    """The message lists what is there and what is needed."""
    with pytest.raises(DataError, match="The log lacks the column\\(s\\) reward"):
        build(log().drop_columns(["reward"]), target())
    with pytest.raises(DataError, match="The target has no rows"):
        build(log(), target().slice(0, 0))


def test_features_are_standardised_and_missing_is_a_feature():
    """A number gives itself and a missing flag; a text its values; constants vanish."""
    x = build(log(x_age=[20.0, None, 40.0], x_place=["u", "v", "u"], x_same=[1, 1, 1]), target()).features
    assert x.shape == (3, 4)
    assert x.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-12)
    assert x.std(axis=0) == pytest.approx(np.ones(4))


def test_features_of_any_type_and_size():
    """Decimals, halves and booleans are numbers, however large; days and times are names, also those that no calendar knows."""
    wide = log(
        x_decimal=pa.array([Decimal("1.5"), Decimal("2.5"), None]),
        x_half=pa.array(np.array([1, 2, 4], np.float16)),
        x_truth=[True, None, False],
        x_huge=[1e308, -1e308, 1.7e308],
        x_tiny=[1e-320, 2e-320, 4e-320],
        x_day=pa.array([2**30, 1, 1], pa.date32()),
    )
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        x = build(wide, target()).features
    assert x.shape == (3, 9)
    assert x.std(axis=0) == pytest.approx(np.ones(9))
    half, tiny = x[:, 2], x[:, 6]
    assert half == pytest.approx(tiny)


@pytest.mark.parametrize(("reward", "unit"), [([1, 0, 1], 1.0), ([3.0, 0.5, 1.0], 1.0), ([4.0, 0.0, 4.0], 2.0), ([0.0, 2.0**-400, 0.0], 2.0**-401)])
def test_rewards_are_read_in_units_of_their_size(reward, unit):
    """A power of two, so that nothing is rounded, and never one that would make a reward 0/1 that is not."""
    problem = build(log(reward=reward), target())
    assert problem.unit == unit
    assert (problem.log.reward * unit).tolist() == reward


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.parquet"])
def test_the_three_kinds_of_file(tmp_path, name):
    """Ids stay text, so that 007 is not 7."""
    frame = pd.DataFrame({"decision_id": ["007", "008"], "reward": [1.5, 2.0]})
    path = tmp_path / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    assert read_table(path, ids=IDS).to_pydict() == {"decision_id": ["007", "008"], "reward": [1.5, 2.0]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.csv", None, "There is no file"),
        ("empty.csv", b"", "cannot be read as a table"),
        ("broken.parquet", b"PAR1 no", "cannot be read as a table"),
        ("broken.csv.gz", b"not gzip", "cannot be read as a table"),
        ("notes.txt", b"a,b\n1,2\n", "of no kind that can be read"),
        ("twice.csv", b"a,a\n1,2\n", "several columns named a"),
    ],
)
def test_unreadable_files_are_refused(tmp_path, name, content, said):
    """Each with its own reason."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_table(tmp_path / name)


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    """The system itself refuses to look for it."""
    with pytest.raises(DataError, match="cannot be a file, so there is nothing to judge: File name too long"):
        read_table(tmp_path / ("a" * 300 + ".csv"))


def test_a_folder_is_refused(tmp_path):
    """It could hold anything."""
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
