"""Settings that all tests share."""

import os

import pytest

from tests.distribute import pytest_collection_modifyitems, pytest_xdist_make_scheduler

__all__ = ["pytest_collection_modifyitems", "pytest_make_parametrize_id", "pytest_xdist_make_scheduler"]

os.environ.setdefault("RIGHTMATCH_TRAINING__TEXT_ENCODER", "hashed")
"""Quick, and there on every machine; the tests of the sentence encoder name it."""


def pytest_make_parametrize_id(val, argname):
    """Bytes are named by their argument: archives carry the second in which they were packed, and then two workers collect different names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """As all commands have it (`training.model.threads`): two workers whose torch takes two threads each wait for each other most of the time."""
    from training.model.threads import steady

    steady()
