"""Labelled files as pandas reads them, and what is wrong with those that it does not."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pandas as pd

from training.domain.errors import DataError

DAMAGED = (EOFError, ImportError, RuntimeError, gzip.BadGzipFile, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
"""What is raised for archives that cannot be unpacked: cut short, changed, of another kind, or by a library that is not here."""


def read(path: Path, **how: Any) -> pd.DataFrame:  # noqa: ANN401 - pandas' own options
    """The rows of a CSV or CSV.gz; spaces after commas do not count and no word means "missing". Raises DataError that says what the file is instead."""
    try:
        frame: pd.DataFrame = pd.read_csv(path, low_memory=False, keep_default_na=False, skipinitialspace=True, **how)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 ({error}), so its words cannot be told apart. Convert it, for example with `iconv -f latin1 -t utf-8`."
        ) from error
    except DAMAGED as error:
        raise DataError(
            f"{path} cannot be unpacked ({_first(error)}), so nothing was measured: it is damaged, or not the archive that its name says. "
            "Fetch it again, or give what is in it as CSV or CSV.gz."
        ) from error
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path} cannot be read as CSV ({_first(error)}): there is nothing to learn from. Give a CSV or CSV.gz file with a header.") from error
    return frame


def _first(error: BaseException) -> str:
    """The first line of its text."""
    return str(error).partition("\n")[0]
