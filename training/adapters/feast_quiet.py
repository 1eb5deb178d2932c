"""Keeps Feast's own chatter out of our logs: our lines say what was written."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what Feast prints during a batch operation (colours, progress bars) and one warning of ibis under DuckDB 2; errors pass.

    It redirects the whole process's standard output, so it is not for code that serves requests in threads.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", message=r"fetch_arrow_table\(\) is deprecated", category=DeprecationWarning)
        yield
