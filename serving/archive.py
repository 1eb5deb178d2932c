"""What workers that have ended counted, in one file a kind beside those of the living ones: Prometheus' library reads every file there is at each scrape."""

from __future__ import annotations

import fcntl
import os
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from training.adapters.flock import locked

ALL = 0
"""In the place of the process of whom a file is."""
ADD_UP = ("counter", "histogram")
"""Kinds of files whose values are added; of an ended process' gauges nothing is left to know."""
TRIES, PAUSE = 20, 0.01


def fold(folder: Path) -> bool:
    """Add what ended processes counted to the archive, and delete their files. False where a scrape was under way all the time: the next call does it."""
    ended = [file for file in folder.glob("*.db") if _ended(_process(file))]
    if not ended:
        return True
    for _ in range(TRIES):
        with _folder(folder, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
            if alone:
                for kind in ADD_UP:
                    _add_up(folder / f"{kind}_{ALL}.db", [file for file in ended if file.name.startswith(f"{kind}_")])
                for file in ended:
                    file.unlink(missing_ok=True)
                return True
        sleep(PAUSE)
    return False


@contextmanager
def still(folder: Path) -> Iterator[None]:
    """Nothing is folded until the block ends, so that it reads each number once."""
    with _folder(folder, fcntl.LOCK_SH):
        yield


@contextmanager
def _folder(folder: Path, how: int) -> Iterator[bool]:
    """Its own lock, which needs no room on a full disk."""
    with locked(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), how) as alone:
        yield alone


def _process(file: Path) -> int:
    number = file.stem.rpartition("_")[2]
    return int(number) if number.isdecimal() else ALL


def _ended(process: int) -> bool:
    if process == ALL:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _add_up(archive: Path, files: Sequence[Path]) -> None:
    values: dict[str, float] = defaultdict(float)
    for file in [archive, *files]:
        for key, value in _read(file).items():
            values[key] += value
    if files:
        made = archive.with_suffix(".new")
        made.write_bytes(_written(values))  # not through a mapping, as the library does: on a full disk that is a SIGBUS instead of an error
        made.replace(archive)


def _read(file: Path) -> dict[str, float]:
    """Empty for one that its process did not come to begin."""
    from prometheus_client.mmap_dict import MmapedDict  # imported before its folder is set, the library would keep metrics in memory

    try:
        return {key: value for key, value, _, _ in MmapedDict.read_all_values_from_file(file)}  # type: ignore[no-untyped-call]
    except (FileNotFoundError, struct.error, RuntimeError, UnicodeDecodeError):
        return {}


def _written(values: Mapping[str, float]) -> bytes:
    """As the library's `MmapedDict` lays it out: the bytes that are used, then length, key, value and time of each."""
    parts = []
    for key, value in values.items():
        encoded = key.encode()
        padded = encoded + b" " * (8 - (len(encoded) + 4) % 8)
        parts.append(struct.pack(f"i{len(padded)}sdd", len(encoded), padded, value, 0.0))
    body = b"".join(parts)
    return struct.pack("ii", 8 + len(body), 0) + body
