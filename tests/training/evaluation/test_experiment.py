from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from training.domain.errors import DataError
from training.evaluation.experiment import groups


def data(**columns):
    """Two rows of each group; `columns` replace or add."""
    return pa.table({"side": ["a", "a", "b", "b"], "bought": [0, 1, 1, 1]} | columns)


def not_text(rows=4):
    """A text column whose bytes are no UTF-8, as a file may well hold."""
    return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(np.arange(rows + 1, dtype=np.int32)), pa.py_buffer(b"\xff" * rows)])


def test_the_metrics_of_both_groups():
    """Rows of other groups, and their missing values, do not matter."""
    wide = data(side=["a", "c", "b", "a"], bought=[0.0, None, 1.0, 0.5])
    found = groups(wide, "side", "a", "b", ["bought"])
    assert (found.control["bought"].tolist(), found.treatment["bought"].tolist(), found.notes) == ([0.0, 0.5], [1.0], ())


@pytest.mark.parametrize("side", [[0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0], ["0", "0", "1", "1"], ["0.0", "0", "1.0", "1"]])
def test_group_values_are_compared_as_text(side):
    """0, 0.0 and "0" name one group."""
    found = groups(data(side=side), "side", "0", "1", ["bought"])
    assert (len(found.control["bought"]), len(found.treatment["bought"])) == (2, 2)


@pytest.mark.parametrize("side", [[False, False, True, True], ["False", "FALSE", "true", "True"]])
def test_true_and_false_name_groups(side):
    """However they are written, in the data and in the option."""
    found = groups(data(side=side), "side", "false", "True", ["bought"])
    assert (found.control["bought"].tolist(), found.treatment["bought"].tolist()) == ([0.0, 1.0], [1.0, 1.0])


def test_rows_without_a_group_are_counted():
    """An empty name is none; both kinds of missing are told, because whoever lacks a group may answer otherwise."""
    found = groups(data(side=["a", None, "b", " "]), "side", "a", "b", ["bought"])
    assert found.notes[0].startswith("2 of 4 rows have no side and were left out")


def test_other_columns_are_not_looked_at():
    """Times that no calendar knows, text that is none: nobody asked for them."""
    wide = data(
        when=pa.array([2**62] * 4, pa.timestamp("us")),
        words=not_text(),
        day=pa.array([2**30] * 4, pa.date32()),
        zone=pa.array([1] * 4, pa.timestamp("us", "Mars/Phobos")),
    )
    assert groups(wide, "side", "a", "b", ["bought"]).treatment["bought"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "bought",
    [
        [False, True, True, True],
        ["false", "true", "True", "TRUE"],
        ["0", "1", " 1", "1.0"],
        pd.array([0, 1, 1, 1], "Int64"),
        [Decimal(0), Decimal(1), Decimal(1), Decimal(1)],
    ],
)
def test_true_and_false_are_numbers(bought):
    """Written as booleans, words or digits."""
    found = groups(data(bought=bought), "side", "a", "b", ["bought"])
    assert (found.control["bought"].tolist(), found.treatment["bought"].tolist()) == ([0.0, 1.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("columns", "arguments", "said"),
    [
        ({}, ("side", "a", "b", ["sold"]), "The data lack the column(s) sold"),
        ({}, ("team", "a", "b", ["bought"]), "The data lack the column(s) team"),
        ({}, ("side", "a", "z", ["bought"]), "Column side has no group 'z', so there is nobody to compare. It has: 'a', 'b'."),
        ({}, ("side", "a", "a", ["bought"]), "both 'a'"),
        ({"bought": [0, 1, None, 1]}, ("side", "a", "b", ["bought"]), "1 of 2 rows of group 'b' have a bought that is missing"),
        (
            {"bought": ["0", "much", "1", "1"]},
            ("side", "a", "b", ["bought"]),
            "1 of 2 rows of group 'a' have a bought that is missing or not a finite number ('much')",
        ),
        ({"bought": [0, float("inf"), 1, 1]}, ("side", "a", "b", ["bought"]), "not a finite number"),
        ({"bought": pd.to_datetime(["2026-01-01"] * 4)}, ("side", "a", "b", ["bought"]), "holds times"),
        ({"bought": pd.to_timedelta(["1h"] * 4)}, ("side", "a", "b", ["bought"]), "holds times"),
        ({"bought": [[1], [0], [1], [1]]}, ("side", "a", "b", ["bought"]), "Column bought holds list<item: int64>, which is not one value a row"),
        ({"bought": [{"of": 1}] * 4}, ("side", "a", "b", ["bought"]), "Column bought holds struct"),
        ({"bought": [b"\xff"] * 4}, ("side", "a", "b", ["bought"]), "Column bought holds binary, which is no number"),
        ({"bought": not_text()}, ("side", "a", "b", ["bought"]), "Column bought holds a value that is not valid string"),
        ({"side": [["a"], ["a"], ["b"], ["b"]]}, ("side", "a", "b", ["bought"]), "Column side holds list"),
        ({"side": [{"of": "a"}] * 4}, ("side", "a", "b", ["bought"]), "Column side holds struct"),
        ({"side": [b"\xff"] * 4}, ("side", "a", "b", ["bought"]), "Column side holds binary, of which a value cannot be read as a name"),
        ({"side": not_text()}, ("side", "a", "b", ["bought"]), "Column side holds a value that is not valid string"),
        ({"side": [None] * 4}, ("side", "a", "b", ["bought"]), "It has: no values."),
        ({}, ("side", "a ", "a", ["bought"]), "both 'a'"),
        ({"side": [0, 0, 1, 1]}, ("side", "0", "1", ["side"]), "Column side says the group"),
    ],
)
def test_what_cannot_be_judged_is_refused(columns, arguments, said):
    """The message names the column, the group and the count."""
    with pytest.raises(DataError, match=re.escape(said)):
        groups(data(**columns), *arguments)
