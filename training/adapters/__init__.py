"""The only place that knows Feast, GX, DuckDB, SQLAlchemy and MLflow."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T", bound=Callable[..., object])


def as_it_is(target: T) -> T:
    """Instead of `typeguard.typechecked`, with which Feast has each of its functions rewritten while it is imported: half of the seconds that this takes.

    What Feast is given is ours, and mypy and tests have seen it. Under `python -O` typeguard does the same by itself.
    """
    return target


if __debug__:
    with suppress(ImportError):  # it is Feast's, not ours
        import typeguard

        typeguard.typechecked = as_it_is  # type: ignore[assignment]
