"""Bandits from labelled rows and the wheel, by hand."""

import numpy as np
import pytest

from bench.regret.played import Scale
from bench.regret.problem import Norm, labelled, norm_of, normalised, read_labelled, wheel
from training.domain.errors import ConfigError, DataError


def test_a_csv_becomes_numbers(tmp_path):
    """Missing is -1, words are their position in sorted order, the label's classes too; a row without a label is left out."""
    (tmp_path / "d.csv").write_text("a,word,y\n1.5,red,no\n,blue,yes\n2,,no\n3,red,\n")
    features, classes = read_labelled(tmp_path / "d.csv", "y")
    assert features.tolist() == [[1.5, 1.0], [-1.0, 0.0], [2.0, -1.0]]
    assert classes.tolist() == [0, 1, 0]


def test_every_word_in_the_label_is_a_class(tmp_path, capsys):
    """Words that mean "missing" elsewhere are classes here; only an empty cell is none, and how many rows that costs is said."""
    (tmp_path / "d.csv").write_text("a,y\n1,None\n2,NA\n3,nan\n4,null\n5,\n6,None\n7\n")
    features, classes = read_labelled(tmp_path / "d.csv", "y")
    assert features[:, 0].tolist() == [1, 2, 3, 4, 6]
    assert classes.tolist() == [1, 0, 2, 3, 1]
    assert "2 of 7 rows have no 'y' and are left out" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["", "?", "NA", "n/a", "NaN", "null", "None", " ? ", '" ?"'])
def test_what_is_missing_leaves_a_column_of_numbers(tmp_path, word):
    """It is -1 there, and in a column of words: 2 and 10 stay numbers, in whatever way a missing one is written."""
    (tmp_path / "d.csv").write_text(f"a,word,y\n10,red,no\n{word},{word},yes\n2,blue,no\n")
    assert read_labelled(tmp_path / "d.csv", "y")[0].tolist() == [[10.0, 1.0], [-1.0, -1.0], [2.0, 0.0]]


def test_spaces_around_what_is_said_do_not_count(tmp_path):
    """Of names, words, numbers and classes, quoted or not: as in the census data of UCI, a comma is followed by a space."""
    (tmp_path / "d.csv").write_text('a , word, "the class"\n 1, red ,"yes "\n"2 "," blue", no\n 3 ,"red",yes\n4, blue , "no"\n')
    features, classes = read_labelled(tmp_path / "d.csv", " the class")
    assert features.tolist() == [[1.0, 1.0], [2.0, 0.0], [3.0, 1.0], [4.0, 0.0]]
    assert classes.tolist() == [1, 0, 1, 0]


def test_what_is_not_finite_is_missing(tmp_path):
    """As is a cell that a line is too short for; a whole number too large for a machine word is a number all the same."""
    (tmp_path / "d.csv").write_text("y,a,b\nno,inf,1\nyes,-inf,99999999999999999999999\nno,?\n")
    assert read_labelled(tmp_path / "d.csv", "y")[0].tolist() == [[-1.0, 1.0], [-1.0, pytest.approx(1e23)], [-1.0, -1.0]]


def test_numbers_in_the_label_are_in_their_own_order(tmp_path, capsys):
    """9 comes before 10, and nothing is said where no label is empty."""
    (tmp_path / "d.csv").write_text("a,y\n1,10\n2,9\n3,9.0\n")
    assert read_labelled(tmp_path / "d.csv", "y")[1].tolist() == [1, 0, 0]
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("text", "label", "said"), [("a,b\n1,2\n", "y", "no column 'y'"), ("a,y\n1,2\n", "y", "1 values"), (None, "y", "cannot be read")])
def test_what_makes_no_bandit_is_refused(tmp_path, text, label, said):
    """The error names the file and the reason."""
    if text is not None:
        (tmp_path / "d.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_labelled(tmp_path / "d.csv", label)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"a, b ,c\n1,2,3\n", "Its columns: 'a', 'b', 'c'.$"),
        (b"a;b;y\n1;2;3\n", "'a;b;y'. They look separated by ';'"),
        (b"a\ty\n1,5\t2\n1,5,7\t2\n", r"They look separated by '\\t'"),
        ("a,word,y\n1,bleué,no\n".encode("latin1"), "is not UTF-8.*iconv"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, written, said):
    """The names as they are to be given, a separator that is no comma, an encoding."""
    (tmp_path / "d.csv").write_bytes(written)
    with pytest.raises(DataError, match=said):
        read_labelled(tmp_path / "d.csv", "y")


def test_the_right_class_is_the_only_paying_arm():
    """Shuffled by the seed, cut to the rounds, and every row keeps its class."""
    features = np.array([[1.0, 2.0], [3.0, 1.0], [5.0, 7.0], [1.0, 8.0]])
    problem = labelled(features, np.array([0, 1, 2, 1]), 3, Norm.L2, 5)
    assert problem.rates.shape == (3, 3)
    for row, rates in zip(problem.x, problem.rates, strict=True):
        whole = next(i for i, f in enumerate(features) if np.allclose(f / np.linalg.norm(f), row))
        assert rates.argmax() == [0, 1, 2, 1][whole]
        assert rates.sum() == 1
    assert np.array_equal(problem.x, labelled(features, np.array([0, 1, 2, 1]), 3, Norm.L2, 5).x)


def test_standardising_looks_at_past_rows_only():
    """Third row by hand: past 1 and 3 have mean 2 and deviation 1, so 5 is 3; what comes later changes nothing."""
    x = np.array([[1.0], [3.0], [5.0], [100.0]])
    found = normalised(x, Norm.STANDARD)
    assert found[2, 0] == pytest.approx(3.0)
    assert np.allclose(found[:3], normalised(x[:3], Norm.STANDARD))


def test_a_row_of_zeros_stays():
    """Its length is 0: nothing is divided."""
    assert normalised(np.zeros((1, 3)), Norm.L2).tolist() == [[0.0, 0.0, 0.0]]


def test_the_length_of_a_row_may_be_larger_than_any_number():
    """3 and 4 have length 5 whatever their unit, and rows of usual size keep their bits."""
    for unit in (1e300, 1.0, 1e-300):
        assert normalised(np.array([[3.0, 4.0]]) * unit, Norm.L2)[0] == pytest.approx([0.6, 0.8], rel=1e-12)
    x = np.random.default_rng(1).lognormal(0, 5, (200, 7))
    assert np.array_equal(normalised(x, Norm.L2), x / np.linalg.norm(x, axis=1, keepdims=True))


def test_what_cannot_be_standardised_is_refused():
    """The error says which column; up to there all numbers are finite."""
    x = np.array([[0.0, -1e37], [1.0, 1e37], [2.0, 0.0], [3.0, 5e36]])
    fine = labelled(x, np.arange(4) % 2, 4, Norm.STANDARD, 1)
    assert np.isfinite(fine.x).all()
    assert np.isfinite(fine.unscaled).all()
    with pytest.raises(DataError, match=r"Column 2 .* holds 1e\+300"):
        labelled(np.array([[0.0, -1e300], [1.0, 1.0]]), np.array([0, 1]), 2, Norm.STANDARD, 1)


def test_the_wheel():
    """Within the radius the first arm is best by a little, beyond it one arm a quarter by far; delta is the square root of the inner share."""
    problem = wheel(0.5, 4000, 1)
    radius = np.linalg.norm(problem.x, axis=1)
    best = problem.rates.argmax(axis=1)
    assert (best[radius < 0.499] == 0).all()
    outer = radius > 0.501
    assert (best[outer] > 0).all()
    assert set(best[outer]) == {1, 2, 3, 4}
    assert outer.mean() == pytest.approx(0.75, abs=0.03)
    assert problem.rates.max() == 1.0


def test_an_unknown_scaling_is_refused():
    """The error names the two that exist."""
    with pytest.raises(ConfigError, match="l2, standard"):
        norm_of("minmax")


def test_unscaled_rows_tell_nothing_more():
    """Each follows from the standardised ones up to it: by hand, undo the scaling with the mean and deviation of those already undone."""
    problem = labelled(np.random.default_rng(1).normal(size=(50, 2)), np.arange(50) % 2, 50, Norm.STANDARD, 3)
    undone = np.zeros((1, 2))
    for row in problem.x[1:].astype(np.float64):
        deviation = undone.std(axis=0)
        undone = np.vstack([undone, row * np.where(deviation > 1e-9, deviation, 1.0) + undone.mean(axis=0)])
    assert np.allclose(undone, problem.unscaled, atol=1e-4)


def test_rows_of_length_1_are_the_same_for_all():
    """Nothing was scaled by other rows, so there is nothing to scale again."""
    assert labelled(np.ones((4, 2)), np.arange(4) % 2, 4, Norm.L2, 3).unscaled is None


@pytest.mark.parametrize("rows", ["1,2,no,\n3,4,yes,\n", "r1,1,2,no\nr2,3,4,yes\n", "1,2,no,\n3,4,yes\n", "1,2,no,8,9\n3,4,yes,8,9\n", "1,2,no\n3,4,yes,\n"])
@pytest.mark.parametrize("label", ["y", "b"])
def test_rows_of_more_fields_than_the_header_names_are_refused(tmp_path, rows, label):
    """Pandas takes what stands in front for names of the rows, and every name then for the column beside its own: another column was the label."""
    (tmp_path / "d.csv").write_text("a,b,y\n" + rows)
    with pytest.raises(DataError, match="d.csv.*(more fields than its header names.*comma|Expected 3 fields in line 3)"):
        read_labelled(tmp_path / "d.csv", label)


def test_a_comma_that_ends_the_header_too_names_a_column(tmp_path):
    """One without a name or a value."""
    (tmp_path / "d.csv").write_text("a,y,\n1,no,\n3,yes,\n")
    features, classes = read_labelled(tmp_path / "d.csv", "y")
    assert features.tolist() == [[1, -1], [3, -1]]
    assert classes.tolist() == [0, 1]


@pytest.mark.parametrize("header", ["a,y,y", "y,a,y", "y, y,a", '"y",a,y'])
@pytest.mark.parametrize("label", ["y", "y.1"])
def test_a_label_that_is_there_twice_is_refused(tmp_path, header, label):
    """The second one, "y.1" for pandas, was a feature that tells the answer."""
    (tmp_path / "d.csv").write_text(header + "\n1,0,0\n0,1,1\n")
    with pytest.raises(DataError, match="2 columns 'y'.*answer.*--label" if label == "y" else "no column 'y.1'"):
        read_labelled(tmp_path / "d.csv", label)


def test_features_of_the_same_name_are_both_read(tmp_path):
    """As is a label that is called what pandas calls the second of them."""
    (tmp_path / "d.csv").write_text("a,a,a.1\n1,2,no\n3,4,yes\n")
    features, classes = read_labelled(tmp_path / "d.csv", "a.1")
    assert features.tolist() == [[1, 2], [3, 4]]
    assert classes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "places"),
    [
        ("007 7 10 7", [1, 0, 2, 0]),
        ("100000000000000000000 100000000000000000001 9", [1, 2, 0]),
        ("9007199254740992.0 9007199254740993 9007199254740992", [0, 1, 0]),
        ("1 1.0 2 01 +1 1e0", [0, 0, 2, 1, 0, 0]),
        ("10 9 9.0 -1.5 2.25", [3, 2, 2, 0, 1]),
        ("10 9 b 9.0 007", [1, 2, 4, 3, 0]),
        ("1e400 10 9 inf", [1, 0, 2, 3]),
        ("0.5 0.50 00.5 0 -0", [1, 1, 2, 0, 0]),
    ],
)
def test_a_class_is_a_word_or_a_number(tmp_path, labels, places):
    """One number in two ways is one class; numbers that only float64 takes for one, and words with a zero in front, are classes of their own."""
    (tmp_path / "d.csv").write_text("\n".join(["a,y", *(f"1,{label}" for label in labels.split())]))
    assert read_labelled(tmp_path / "d.csv", "y")[1].tolist() == places


@pytest.mark.parametrize("unit", [2.0**-60, 2.0**-100, 2.0**60])
def test_standardised_rows_do_not_depend_on_units(unit):
    """From the third row on, which is the first with a deviation before it; what a policy keeps is scaled alike. A deviation below 1e-9 was none."""
    x = np.random.default_rng(1).normal(size=(50, 2))
    assert np.array_equal(normalised(x * unit, Norm.STANDARD)[2:], normalised(x, Norm.STANDARD)[2:])
    kept, in_units = (labelled(x * u, np.arange(50) % 2, 50, Norm.STANDARD, 3).unscaled for u in (1.0, unit))
    assert np.array_equal(Scale.of(in_units).scaled(in_units), Scale.of(kept).scaled(kept))


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, 1e9 / 3, -3e15, 1e30])
def test_what_differs_by_rounding_alone_is_constant(value):
    """Such columns stay 0, of however large numbers."""
    x = value * (1 + np.random.default_rng(1).integers(-2, 3, size=(50, 2)) * 2.0**-52)
    problem = labelled(x, np.arange(50) % 2, 50, Norm.STANDARD, 3)
    assert not problem.x.any()
    assert not Scale.of(problem.unscaled).scaled(problem.unscaled).any()


def test_a_column_that_begins_to_vary_late_is_scaled():
    """By hand: 0, 0, 0, 4 have mean 1 and deviation sqrt(3)."""
    assert normalised(np.array([[7.0], [7.0], [7.0], [11.0], [11.0]]) * 1e-12, Norm.STANDARD)[4, 0] == pytest.approx(3 / 3**0.5)
