from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import optimize, stats

from training.config.settings import ROOT
from training.evaluation.crossing import crossing
from training.evaluation.sequential import FIRST, LAST, TAIL, level, mixture, multiplier, planned_error, radius, rho2


def paper(t, sd, rho, alpha):
    """One-sided radius of Waudby-Smith et al. as printed, with rows as the clock."""
    return sd * np.sqrt(2 * (t * rho**2 + 1) / (t**2 * rho**2) * np.log(1 + np.sqrt(t * rho**2 + 1) / (2 * alpha)))


def test_the_radius_is_the_papers():
    """At sd 0.3 and rho tuned for 10,000 rows, within 1% below the printed formula from 1,000 to 100,000 rows."""
    t, rho = np.array([1e3, 1e4, 1e5]), np.sqrt(float(rho2(np.array(0.05))) / 1e4)
    ours = 0.3 / np.sqrt(t) * mixture(t / 1e4, np.array(0.05))
    ratio = ours / paper(t, 0.3, rho, 0.05)
    assert (ratio < 1.0).all()
    assert (ratio > 0.99).all()


def test_rho_is_the_best_one():
    """No other rho has a smaller radius at the planned sample (the formula's ln(sqrt / (2 alpha)), minimised by scipy)."""

    def height(log_v):
        v = np.exp(log_v)
        return np.sqrt(2 * (1 + 1 / v) * np.log(np.sqrt(1 + v) / 0.1))

    assert np.exp(optimize.minimize_scalar(height, bounds=(-3, 5), method="bounded").x) == pytest.approx(float(rho2(np.array(0.05))), rel=1e-3)


def test_crossing_of_a_level_as_known():
    """A constant boundary c over one look's time is P(z > c); from progress 1 to e^2 it is Monte Carlo's value within 4 standard errors."""
    found = crossing(lambda progress, heights: heights + 0.0 * progress, np.array([2.0]), 1.0, np.exp(2.0))
    rng = np.random.default_rng(4)
    time = np.exp(np.linspace(0.0, 2.0, 2001))
    steps = np.sqrt(np.diff(time, prepend=0.0))
    crossed = np.mean([((rng.normal(size=(500, 2001)) * steps).cumsum(axis=1) > 2.0 * np.sqrt(time)).any(axis=1).mean() for _ in range(12)])
    assert found[0] == pytest.approx(crossed, abs=4 * np.sqrt(crossed / 6000) + 0.004)
    assert found[0] > stats.norm.sf(2.0)


@pytest.mark.parametrize("slope", [0.5, 1.0])
def test_crossing_of_a_line_between_the_steps_too(slope):
    """Brownian motion reaches 1 + b t by time T with probability P(B(T) > 1 + b T) + exp(-2 b) P(B(T) > 1 - b T), whenever one looks."""
    last = 8.0
    found = crossing(lambda time, shift: (1.0 + slope * time) / np.sqrt(time) + shift, np.array([0.0]), 0.02, last)
    above, mirrored = stats.norm.sf((1.0 + slope * last) / np.sqrt(last)), stats.norm.sf((1.0 - slope * last) / np.sqrt(last))
    assert found[0] == pytest.approx(above + np.exp(-2.0 * slope) * mirrored, rel=0.005)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_it_errs_at_most_alpha_over_all_looks(alpha):
    """Brownian motion at 1,000 looks, from before the first to ten times the last: at most alpha of 20,000 paths leave, and 3/4 of it do."""
    rng = np.random.default_rng(6)
    progress = np.geomspace(FIRST / 2, 10 * LAST, 1000)
    height = multiplier(progress, alpha) * np.sqrt(progress)
    steps = np.sqrt(np.diff(progress, prepend=0.0))
    crossed = np.mean([((rng.normal(size=(1000, 1000)) * steps).cumsum(axis=1) > height).any(axis=1).mean() for _ in range(20)])
    assert 0.75 * alpha < crossed < alpha + 3 * np.sqrt(alpha / 20_000)


def test_looks_before_the_first_say_nothing():
    """Nor does an estimate without variation."""
    assert np.isinf(multiplier(0.99 * FIRST, 0.05))
    assert np.isfinite(multiplier(FIRST, 0.05))
    assert np.isinf(radius(np.array([0.0, np.inf, np.nan]), 1.0, 0.05)).all()


def test_it_is_a_little_wider_than_one_fixed_look():
    """At the planned sample: wider than z, narrower than the untightened mixture."""
    assert stats.norm.isf(0.05) < multiplier(1.0, 0.05) < mixture(np.array(1.0), np.array(0.05))
    assert level(0.05) > 0.05


def test_planned_error_is_the_textbooks():
    """0.5 points at alpha 5% and power 90%: 0.095 / error^2 pairs, n = 2 p q (z_a + z_b)^2 / margin^2 = 32,543."""
    assert 0.095 / planned_error(0.005, 0.05) ** 2 == pytest.approx(32_543, abs=1)
    with pytest.raises(ValueError, match="no sample is large enough"):
        planned_error(0.0, 0.05)


@pytest.mark.parametrize("alpha", [1e-4, 0.002, 0.2, 0.45])
def test_any_alpha_has_a_level(alpha):
    """Alpha investing asks for small ones: crossed as often as wanted, as far as a level below one half can."""
    wanted = (1 - TAIL) * alpha
    assert crossing(mixture, np.array([level(alpha)]), FIRST, LAST)[0] == pytest.approx(wanted, rel=0.03) or level(alpha) > 0.4
    assert crossing(mixture, np.array([level(alpha)]), FIRST, LAST)[0] < 1.03 * wanted


def test_a_level_does_not_depend_on_the_processors():
    """To the last bit, so that a rerun on another machine records the same row."""
    found = set()
    for threads in ("1", "2"):
        env = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        command = [sys.executable, "-c", "from training.evaluation.sequential import level; print(repr(level(0.05)))"]
        found.add(subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1
