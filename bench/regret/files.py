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

GZIP = b"\x1f\x8b"
MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""What text in other encodings begins with; the longer marks come first."""
NO_TEXT = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1a\x1b")
"""Bytes that no text holds."""
BEGINNING = 4096
"""Bytes that tell what a file is."""
DAMAGED = (EOFError, ImportError, RuntimeError, gzip.BadGzipFile, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
"""What is raised for archives that cannot be unpacked: cut short, changed, of another kind, or by a library that is not here."""


def read(path: Path, **how: Any) -> pd.DataFrame:  # noqa: ANN401 - pandas' own options
    """The rows of a CSV or CSV.gz; spaces after commas do not count and no word means "missing". Raises DataError that says what the file is instead."""
    try:
        _encoded(path)
        frame: pd.DataFrame = pd.read_csv(path, low_memory=False, keep_default_na=False, skipinitialspace=True, **how)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} {_not_utf8(error)}") from error
    except DAMAGED as error:
        raise DataError(
            f"{path} cannot be unpacked ({_first(error)}), so nothing was measured: it is damaged, or not the archive that its name says. "
            "Fetch it again, or give what is in it as CSV or CSV.gz."
        ) from error
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path} cannot be read as CSV ({_first(error)}): there is nothing to learn from. Give a CSV or CSV.gz file with a header.") from error
    if len(frame) and not isinstance(frame.index, pd.RangeIndex):  # pandas takes what is too much, in front, for names of the rows
        raise DataError(
            f"Rows of {path} have more fields than its header names ({frame.index.nlevels} more), so which column is which cannot be told. "
            "Name every column, or take away the commas that end the rows."
        )
    return frame


def names(path: Path) -> list[str]:
    """What the header says, without the spaces around names: pandas renames the second of two equal ones."""
    return [name.strip() for name in read(path, header=None, nrows=1, dtype=str).iloc[0]]


def _encoded(path: Path) -> None:
    """Raises DataError for gzip under another name and for UTF-16, some of which could be taken for UTF-8."""
    unpacked = path.suffix.lower() == ".gz"
    with gzip.open(path) if unpacked else path.open("rb") as file:
        head = file.read(BEGINNING)
    if head.startswith(GZIP) and not unpacked:
        raise DataError(f"{path} is gzip, which its name does not say, so nothing was read. Give it a name that ends in .csv.gz.")
    encoding = next((name for mark, name in MARKS.items() if head.startswith(mark)), None) or _unmarked(head)
    if encoding:
        raise DataError(f"{path} is {encoding.upper()}, so its words cannot be told apart. Convert it with `iconv -f {encoding} -t utf-8`.")


def _unmarked(head: bytes) -> str | None:
    """UTF-16 without a mark: of the two bytes of most characters one is 0, and the other never is."""
    even, odd = head[::2], head[1::2]
    for zeros, others, name in ((odd, even, "utf-16le"), (even, odd, "utf-16be")):
        if zeros.count(0) > len(zeros) / 2 and not others.count(0):
            return name
    return None


def _first(error: BaseException) -> str:
    """The first line of its text."""
    return str(error).partition("\n")[0]


def _not_utf8(error: UnicodeDecodeError) -> str:
    if NO_TEXT & set(error.object[:BEGINNING]):
        return "holds bytes that are no text in any encoding, so there are no rows to learn from. Give a CSV or CSV.gz file with a header."
    return f"is not UTF-8 ({error}), so its words cannot be told apart. Convert it, for example with `iconv -f latin1 -t utf-8`."
