"""Places of members."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from scipy import stats

from training.domain.assignment import Group, Split, counted, place


def test_places_are_uniform_and_salts_independent():
    """By Kolmogorov's test, and by the correlation of two salts."""
    one, two = (np.array([place(salt, f"m{i}") for i in range(5000)]) for salt in ("a", "b"))
    assert stats.kstest(one, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05


def test_a_larger_share_moves_nobody_out():
    """And the place of a member is known for good."""
    small, large = ({i for i in range(1000) if place("s", f"m{i}") < share} for share in (0.1, 0.25))
    assert small < large
    assert round(place("salt", "m0000017"), 6) == 0.882333


DAY = date(2026, 3, 1)
SPLIT = Split("salt", holdback=0.1, control=0.05, experiment="e1", stages=((DAY, 0.1), (DAY + timedelta(5), 0.25), (DAY + timedelta(9), 0.75)))
MEMBERS = [f"m{i}" for i in range(20_000)]


def test_each_group_has_its_share_on_each_day():
    """The challenger's is of the members outside holdback and control; before the first stage there is none."""
    for days, share in ((-1, 0.0), (0, 0.1), (4, 0.1), (5, 0.25), (30, 0.75)):
        found = Counter(SPLIT.group(m, DAY + timedelta(days)) for m in MEMBERS)
        assert found[Group.HOLDBACK] / len(MEMBERS) == pytest.approx(0.1, abs=0.01)
        assert found[Group.CONTROL] / len(MEMBERS) == pytest.approx(0.05, abs=0.01)
        assert found[Group.CHALLENGER] / len(MEMBERS) == pytest.approx(0.85 * share, abs=0.012)


def test_a_ramp_takes_nobody_out_of_the_challenger_and_touches_neither_holdback_nor_control():
    """From one stage to the next members only move from champion to challenger."""
    first, last = ([SPLIT.group(m, DAY + timedelta(days)) for m in MEMBERS] for days in (0, 9))
    moved = {(a, b) for a, b in zip(first, last, strict=True) if a is not b}
    assert moved == {(Group.CHAMPION, Group.CHALLENGER)}


def test_another_experiment_draws_its_challengers_anew():
    """Membership of one says nothing of the other, so an effect that one leaves behind is spread evenly over the next."""
    other = replace(SPLIT, experiment="e2")
    day = DAY + timedelta(5)
    both = [(SPLIT.group(m, day) is Group.CHALLENGER, other.group(m, day) is Group.CHALLENGER) for m in MEMBERS]
    assert sum(a and b for a, b in both) / sum(a for a, _ in both) == pytest.approx(0.25 * 0.85 / 0.85, abs=0.03)


def test_shares_grow_without_moving_the_other_group():
    """A larger holdback keeps who is in it, and leaves control alone."""
    larger = replace(SPLIT, holdback=0.2)
    for m in MEMBERS[:5000]:
        before, after = SPLIT.group(m, DAY), larger.group(m, DAY)
        assert after is before or after is Group.HOLDBACK
        assert before is not Group.CONTROL or after is Group.CONTROL


@pytest.mark.parametrize(("share", "champions"), [(0.1, 0.1), (0.25, 0.25), (0.5, 0.5), (0.75, 0.25)])
def test_as_many_champions_as_challengers_are_counted(share, champions):
    """Up to half; then all that are left. Whoever is between is new to the experiment when the ramp comes to them."""
    places = np.linspace(0, 1, 10_000, endpoint=False)
    found = [counted(u, share) for u in places]
    assert np.mean([c for u, c in zip(places, found, strict=True) if u < share]) == 1
    assert np.mean([c and u >= share for u, c in zip(places, found, strict=True)]) == pytest.approx(champions, abs=1e-3)
