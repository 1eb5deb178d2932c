"""Random bits that are held in stock."""

import os
from datetime import UTC, datetime

import numpy as np

from serving.chance import AT_ONCE, Chance

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)


def test_nothing_is_given_twice():
    """Not within a stock, not over the border of two, and not after a fork."""
    chance = Chance()
    assert len({chance.take(7) for _ in range(3 * AT_ONCE // 7)}) == 3 * AT_ONCE // 7
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, chance.take(16))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 16) != chance.take(16)
    os.close(read)
    os.close(write)


def test_draws_are_uniform():
    """In [0, 1), with mean and deviation of the uniform distribution (5 standard errors of 20,000)."""
    chance = Chance()
    u = np.array([chance.uniform() for _ in range(20_000)])
    assert 0 <= u.min() < u.max() < 1
    assert abs(u.mean() - 0.5) < 5 * (1 / 12) ** 0.5 / len(u) ** 0.5
    assert abs((u**2).mean() - 1 / 3) < 5 * (4 / 45) ** 0.5 / len(u) ** 0.5


def test_ids_are_new_and_in_the_order_of_their_time():
    """Within a millisecond by chance; an instant before 1970 or far ahead has one too."""
    chance = Chance()
    names = [chance.name(AT) for _ in range(1_000)]
    assert len(set(names)) == 1_000
    assert max(names) < chance.name(AT.replace(microsecond=1_000)) < chance.name(AT.replace(year=2400))
    assert {len(chance.name(at)) for at in (AT, AT.replace(year=1900), AT.replace(year=8999))} == {32}
