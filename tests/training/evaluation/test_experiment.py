from __future__ import annotations

import re

import pandas as pd
import pytest

from training.domain.errors import DataError
from training.evaluation.experiment import groups


def data(**columns):
    """Two rows of each group; `columns` replace or add."""
    return pd.DataFrame({"side": ["a", "a", "b", "b"], "bought": [0, 1, 1, 1]} | columns)


def test_the_metrics_of_both_groups():
    """Rows of other groups, and their missing values, do not matter."""
    wide = data(side=["a", "c", "b", "a"], bought=[0.0, None, 1.0, 0.5])
    first, second = groups(wide, "side", "a", "b", ["bought"])
    assert (first["bought"].tolist(), second["bought"].tolist()) == ([0.0, 0.5], [1.0])


@pytest.mark.parametrize("side", [[0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0], ["0", "0", "1", "1"], ["0.0", "0", "1.0", "1"]])
def test_group_values_are_compared_as_text(side):
    """0, 0.0 and "0" name one group."""
    first, second = groups(data(side=side), "side", "0", "1", ["bought"])
    assert (len(first["bought"]), len(second["bought"])) == (2, 2)


@pytest.mark.parametrize("bought", [[False, True, True, True], ["false", "true", "True", "TRUE"], ["0", "1", " 1", "1.0"], pd.array([0, 1, 1, 1], "Int64")])
def test_true_and_false_are_numbers(bought):
    """Written as booleans, words or digits."""
    first, second = groups(data(bought=bought), "side", "a", "b", ["bought"])
    assert (first["bought"].tolist(), second["bought"].tolist()) == ([0.0, 1.0], [1.0, 1.0])


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
    ],
)
def test_what_cannot_be_judged_is_refused(columns, arguments, said):
    """The message names the column, the group and the count."""
    with pytest.raises(DataError, match=re.escape(said)):
        groups(data(**columns), *arguments)
