"""Settings that all tests share."""

import os

os.environ.setdefault("RIGHTMATCH_TRAINING__TEXT_ENCODER", "hashed")
"""Quick, and there on every machine; the tests of the sentence encoder name it."""
