"""Settings that all tests share."""

import os

from tests.distribute import pytest_collection_modifyitems, pytest_xdist_make_scheduler

__all__ = ["pytest_collection_modifyitems", "pytest_make_parametrize_id", "pytest_xdist_make_scheduler"]

os.environ.setdefault("RIGHTMATCH_TRAINING__TEXT_ENCODER", "hashed")
"""Quick, and there on every machine; the tests of the sentence encoder name it."""


def pytest_make_parametrize_id(val, argname):
    """Bytes are named by their argument: archives carry the second in which they were packed, and then two workers collect different names."""
    return argname if isinstance(val, bytes) else None
